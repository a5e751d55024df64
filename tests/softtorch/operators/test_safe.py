"""Safe functions: torch's value bit for bit where it is finite, a finite gradient everywhere."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import softtorch
from tests.helpers import identical
from tests.softtorch.pointwise_table import FLOATS, INF, NAN

UNARY = {
    softtorch.sqrt: torch.sqrt,
    softtorch.log: torch.log,
    softtorch.arcsin: torch.arcsin,
    softtorch.arccos: torch.arccos,
}
POINTS = [0.0, -0.0, 1.0, -1.0, 0.3, -0.3, 5.0, -5.0, 1e-30, 1e-42, 1e30, 0.9999999, INF, -INF, NAN]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("soft", UNARY, ids=lambda f: f.__name__)
def test_values_are_torchs_where_finite_and_gradients_finite_everywhere(soft, dtype):
    x = torch.tensor(POINTS).to(dtype).requires_grad_()
    want, out = UNARY[soft](x.detach()), soft(x)
    assert identical(out.detach()[want.isfinite()], want[want.isfinite()])
    assert torch.equal(out.isnan(), x.isnan())
    assert torch.autograd.grad(out[~x.isnan()].clamp(-1e3, 1e3).sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("soft", UNARY, ids=lambda f: f.__name__)
def test_gradients_are_torchs_where_those_are_finite(soft):
    x = torch.tensor([0.1, 0.5, 0.9, 1e-20], requires_grad=True)
    want, got = (torch.autograd.grad(f(x).sum(), x)[0] for f in (UNARY[soft], soft))
    assert torch.equal(want, got)


def test_at_the_edge_and_beyond_values_are_the_limit_or_0():
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert softtorch.sqrt(x).tolist()[:3] == [0.0] * 3 and softtorch.log(x).tolist()[:3] == [0.0] * 3
    half = math.pi / 2
    assert softtorch.arcsin(x).tolist() == pytest.approx([-half, -half, 0.0, half, half])
    assert softtorch.arccos(x).tolist() == pytest.approx([math.pi, math.pi, half, 0.0, 0.0])


@pytest.mark.parametrize("dtype", FLOATS)
def test_div_is_torchs_but_for_divisors_of_0(dtype):
    values = torch.tensor(POINTS).to(dtype)
    x = values.repeat_interleave(len(POINTS)).requires_grad_()
    y = values.repeat(len(POINTS)).requires_grad_()
    want, out = (x / y).detach(), softtorch.div(x, y)
    divides = y.detach() != 0
    assert identical(out.detach()[divides], want[divides])
    assert (out[~divides & x.isfinite()] == 0).all()
    for grad in torch.autograd.grad(out.nan_to_num(0, 0, 0).clamp(-1e3, 1e3).sum(), [x, y]):
        assert grad.isfinite().all()
    assert softtorch.div(torch.tensor([3, 1]), 2).tolist() == [1.5, 0.5]


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, INF])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_norm_is_torchs_with_a_gradient_at_0(p, dim, keepdim):
    x = torch.randn(3, 4)
    x[0] = 0.0
    x.requires_grad_()
    out = softtorch.norm(x, p, dim, keepdim)
    assert identical(out.detach(), torch.linalg.vector_norm(x.detach(), p, dim, keepdim))
    (grad,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    assert grad.isfinite().all() and torch.autograd.grad(grad.square().sum(), x)[0].isfinite().all()


def test_norm_of_infinities_and_of_nothing():
    x = torch.tensor([[INF, 1.0], [NAN, 1.0], [3.0, 4.0]], requires_grad=True)
    out = softtorch.norm(x, dim=1)
    assert out[0] == INF and out[1].isnan() and out[2] == 5
    assert torch.autograd.grad(out[[0, 2]].clamp(max=9).sum(), x)[0].isfinite().all()
    assert softtorch.norm(torch.zeros(0, 3), dim=1).shape == (0,)
    assert softtorch.norm(torch.zeros(0, 3)).item() == 0.0


def test_derivatives():
    x = torch.tensor([0.2, 0.7, 0.4], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for fn in (*UNARY, lambda x: softtorch.div(weight, x), lambda x: softtorch.norm(x).expand(3)):
        assert gradcheck(lambda x, fn=fn: fn(x) * weight, (x,), check_forward_ad=True)
        assert gradgradcheck(lambda x, fn=fn: fn(x) * weight, (x,))


def test_transforms_see_through():
    x = torch.rand(3, 4)
    for fn in (*UNARY, lambda x: softtorch.div(1.0 + x, x), lambda x: softtorch.norm(x, dim=-1)):
        assert torch.allclose(torch.func.vmap(fn)(x), fn(x))
        assert torch.equal(torch.compile(fn, fullgraph=True, backend="aot_eager")(x), fn(x))
        assert fn(x.to("meta")).shape == fn(x).shape


def test_straight_through_forms_are_torchs_value_everywhere():
    x = torch.tensor(POINTS, requires_grad=True)
    for soft, hard in UNARY.items():
        guarded = getattr(softtorch, f"{soft.__name__}_st")
        assert identical(guarded(x).detach(), hard(x.detach()))
        got = torch.autograd.grad(guarded(x).nan_to_num(0, 0, 0).sum(), x)[0]
        assert got.isfinite().all()
