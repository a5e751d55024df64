"""Soft logic: Boolean logic at 0 and 1, the laws of probabilities of independent events between."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as drawn
from torch.autograd import gradcheck, gradgradcheck

import softtorch
from softtorch.errors import DimensionError

probability = drawn.floats(0, 1)
BINARY = {
    softtorch.logical_and: torch.logical_and,
    softtorch.logical_or: torch.logical_or,
    softtorch.logical_xor: torch.logical_xor,
}


def tensor(x):
    return torch.tensor(x, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.bfloat16])
def test_truth_tables(dtype):
    x, y = (torch.tensor(column) for column in zip(*itertools.product([False, True], repeat=2), strict=True))
    for soft, hard in BINARY.items():
        out = soft(x.to(dtype), y.to(dtype))
        assert out.dtype == (torch.float32 if dtype == torch.bool else dtype)
        assert torch.equal(out.bool(), hard(x, y)) and set(out.tolist()) <= {0.0, 1.0}
        geometric = soft(x.to(dtype), y.to(dtype), use_geometric_mean=True)
        assert torch.allclose(geometric.float(), hard(x, y).float(), atol=0.01)  # sqrt of the floor, composed
    assert torch.equal(softtorch.logical_not(x.to(dtype)).bool(), ~x)


@pytest.mark.parametrize("dim", [-1, 0, 1, None])
@pytest.mark.parametrize("keepdim", [False, True])
def test_all_and_any_are_torchs_at_0_and_1(dim, keepdim):
    for seed in range(5):
        x = torch.rand(3, 4, generator=torch.Generator().manual_seed(seed)) > 0.3
        for soft, hard in ((softtorch.all, torch.all), (softtorch.any, torch.any)):
            want = hard(x) if dim is None else hard(x, dim, keepdim=keepdim)
            want = want.reshape(1, 1) if dim is None and keepdim else want
            for given_x in (x, x.double()):
                assert torch.equal(soft(given_x, dim, keepdim=keepdim).bool(), want)


@given(probability, probability, probability)
def test_laws(a, b, c):
    x, y, z = tensor(a), tensor(b), tensor(c)
    land, lor, lnot = softtorch.logical_and, softtorch.logical_or, softtorch.logical_not
    close = lambda p, q: torch.allclose(p, q, atol=1e-14)  # noqa: E731  # rounding of a few operations
    assert close(lnot(lnot(x)), x)
    assert close(land(x, y), land(y, x)) and close(lor(x, y), lor(y, x))
    assert close(land(land(x, y), z), land(x, land(y, z))) and close(lor(lor(x, y), z), lor(x, lor(y, z)))
    assert close(lnot(land(x, y)), lor(lnot(x), lnot(y))) and close(lnot(lor(x, y)), land(lnot(x), lnot(y)))
    assert close(land(x, tensor(1.0)), x) and close(lor(x, tensor(0.0)), x)
    for p in (land(x, y), lor(x, y), softtorch.logical_xor(x, y)):
        assert -1e-15 <= p <= 1 + 1e-15
    together = torch.stack([x, y, z])
    assert close(softtorch.all(together), land(land(x, y), z)) and close(softtorch.any(together), lor(lor(x, y), z))


def test_the_geometric_mean_keeps_the_scale_of_its_operands():
    x = torch.full((10,), 0.5, dtype=torch.float64)
    assert torch.allclose(softtorch.all(x, use_geometric_mean=True), tensor(0.5))
    assert torch.allclose(softtorch.logical_and(x, x, use_geometric_mean=True), x)
    assert torch.allclose(softtorch.any(x, use_geometric_mean=True), tensor(0.5))


def test_gradients_are_finite_at_0_and_1():
    for geometric in (False, True):
        x = torch.tensor([[0.0, 1.0, 0.5], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]], requires_grad=True)
        for fn in (softtorch.all, softtorch.any):
            out = fn(x, use_geometric_mean=geometric).sum()
            assert torch.autograd.grad(out, x)[0].isfinite().all()
        for fn in BINARY:
            out = fn(x, x.T, use_geometric_mean=geometric).sum()
            assert torch.autograd.grad(out, x)[0].isfinite().all()


def test_derivatives():
    x, y = (torch.rand(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weight = torch.randn(3, 4, dtype=torch.float64)
    for geometric, check in itertools.product((False, True), (gradcheck, gradgradcheck)):
        for fn in BINARY:
            assert check(lambda x, y, fn=fn: fn(x, y, geometric) * weight, (x, y), fast_mode=True)  # noqa: B023
        for fn in (softtorch.all, softtorch.any):
            assert check(lambda x, fn=fn: fn(x, 1, use_geometric_mean=geometric) * weight[:, 0], (x,), fast_mode=True)  # noqa: B023


def test_half_precision_is_computed_in_float32():
    x, y = torch.rand(50).bfloat16(), torch.rand(50).bfloat16()
    for fn in BINARY:
        assert torch.equal(fn(x, y), fn(x.float(), y.float()).bfloat16())


def test_transforms_see_through():
    x, y = torch.rand(3, 4), torch.rand(3, 4)
    for fn in BINARY:
        assert torch.allclose(torch.func.vmap(fn)(x, y), fn(x, y))
        assert torch.allclose(torch.compile(fn, fullgraph=True, backend="aot_eager")(x, y), fn(x, y))
    assert torch.allclose(torch.func.vmap(softtorch.any)(x), softtorch.any(x))
    tangent = torch.func.jvp(softtorch.all, (x,), (y,))[1]
    assert torch.allclose(tangent, (torch.autograd.functional.jacobian(softtorch.all, x) * y).sum((1, 2)))


def test_a_dim_out_of_range_is_an_error():
    with pytest.raises(DimensionError, match=r"all: dim=2 is out of range for input \(2, 2\)"):
        softtorch.all(torch.ones(2, 2), dim=2)
    with pytest.raises(DimensionError, match="any: dim=2"):
        softtorch.any(torch.ones(2, 2), dim=2)
