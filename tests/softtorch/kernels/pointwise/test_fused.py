"""Passes made by hand: the numbers of the plain form, in value and derivatives, whatever the size and layout."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import softtorch
from softtorch.kernels.numeric import tracing
from softtorch.kernels.pointwise import fused, slopes
from tests.softtorch.pointwise_table import CASES, MODES, edges, operands

each_mode = pytest.mark.parametrize("mode", MODES)
each_case = pytest.mark.parametrize("case", CASES, ids=str)


WAYS = (nullcontext, tracing.plain_operators)
"""By passes made by hand, and by torch's own operators."""


@pytest.fixture(autouse=True)
def passes_at_every_size(monkeypatch):
    monkeypatch.setattr(slopes, "SMALL", 0)


def value_and_grads(case, xs, weight, **options):
    xs = [x.detach().clone().requires_grad_() for x in xs]
    out = case.soft(*xs, **options)
    return out.detach(), torch.autograd.grad((out * weight).sum(), xs)


@each_case
@each_mode
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("softness", [1e-4, 0.1, 0.7, 10.0])
def test_passes_give_what_plain_operators_give(case, mode, dtype, softness):
    xs = operands(case.arity, 3, 500, dtype=dtype)
    weight = operands(1, 3, 500, seed=1, dtype=dtype)[0]
    results = []
    for way in WAYS:
        with way():
            results.append(value_and_grads(case, xs, weight, softness=softness, mode=mode))
    (value, grads), (plain_value, plain_grads) = results
    # rounding of a dozen operations on numbers up to 10, divided by the softness in slopes
    precision = 200 * torch.finfo(dtype).eps
    assert torch.allclose(value, plain_value, rtol=precision, atol=precision)
    for grad, plain in zip(grads, plain_grads, strict=True):
        assert torch.allclose(grad, plain, rtol=10 * precision, atol=10 * precision)


@each_case
@each_mode
def test_passes_treat_infinities_and_nan_as_plain_operators_do(case, mode):
    xs = edges(case.arity, torch.float64)
    results = []
    for way in WAYS:
        with way():
            # at softness 0.13 no edge is where c0 has a corner, at which each of them may take either slope
            results.append(value_and_grads(case, xs, torch.ones(()), mode=mode, softness=0.13))
    (value, grads), (plain_value, plain_grads) = results
    # fmod and remainder subtract multiples of a divisor as large as 1e30: rounding is relative to the operands
    size = 4e-15 * sum(x.abs().nan_to_num(0.0, 0.0, 0.0) for x in xs)
    rounding = (value - plain_value).abs() <= size
    assert torch.allclose(value.masked_fill(rounding, 0.0), plain_value.masked_fill(rounding, 0.0), equal_nan=True)
    numbers = torch.stack([~x.isnan() for x in xs]).all(0)
    if case.at_infinity:
        assert all(grad[numbers].isfinite().all() for grad in grads)
    finite = torch.stack([x.abs() < 1e20 for x in xs]).all(0)
    for grad, plain in zip(grads, plain_grads, strict=True):
        assert torch.allclose(grad[finite], plain[finite], atol=1e-9, equal_nan=True)  # fmod by 0


@each_case
@pytest.mark.parametrize("mode", ["smooth", "c2"])
def test_first_and_second_derivatives_of_the_passes(case, mode):
    xs = tuple(x.requires_grad_() for x in operands(case.arity, 8))
    weight = operands(1, 8, seed=1)[0]
    assert gradcheck(lambda *xs: case.soft(*xs, softness=0.4, mode=mode) * weight, xs, fast_mode=True)
    assert gradgradcheck(lambda *xs: case.soft(*xs, softness=0.4, mode=mode) * weight, xs, fast_mode=True)


@each_case
def test_vmap_and_torch_func_go_through_the_passes(case):
    xs = operands(case.arity, 3, 4)
    want = case.soft(*xs)
    assert torch.allclose(torch.func.vmap(case.soft)(*xs), want)
    turned = [x.T for x in xs]
    assert torch.allclose(torch.func.vmap(case.soft, in_dims=1, out_dims=1)(*turned), want.T)
    if case.arity == 2:
        some = torch.func.vmap(case.soft, in_dims=(0, None))(xs[0], xs[1][0])
        assert torch.allclose(some, case.soft(xs[0], xs[1][0]))

    def total(*xs):
        return (case.soft(*xs) * torch.arange(4.0)).sum()

    leaf = xs[0].clone().requires_grad_()
    (want,) = torch.autograd.grad(total(leaf, *xs[1:]), leaf)
    assert torch.allclose(torch.func.grad(total)(*xs), want)
    rows = torch.func.vmap(torch.func.grad(total))(*xs)
    assert torch.allclose(rows, want)
    jacobian = torch.func.jacrev(lambda x: case.soft(x, *(x[0] for x in xs[1:])))(xs[0][0])
    assert torch.allclose(torch.func.jacfwd(lambda x: case.soft(x, *(x[0] for x in xs[1:])))(xs[0][0]), jacobian)


@each_mode
def test_any_layout_and_size_is_taken(mode, monkeypatch):
    x = torch.randn(7, 5, 6, dtype=torch.float64)
    want = softtorch.abs(x, mode=mode)
    monkeypatch.setattr(fused, "BLOCK", 11)  # blocks that do not divide the size
    for layout in (x, x.transpose(0, 1), x[:, ::2], x.expand(2, 7, 5, 6)):
        leaf = layout.detach().requires_grad_()
        out = softtorch.abs(leaf, mode=mode)
        assert torch.allclose(out, softtorch.abs(layout.clone(memory_format=torch.contiguous_format), mode=mode))
        (grad,) = torch.autograd.grad(out.sum(), leaf)  # an incoming gradient without strides of its own
        assert torch.allclose(grad, 2 * out / layout - out / layout, atol=1) and grad.shape == layout.shape
    assert torch.allclose(softtorch.abs(x, mode=mode), want)
    hard = softtorch.abs_st(x.transpose(0, 1).requires_grad_(), mode=mode)
    assert torch.equal(hard.detach(), x.transpose(0, 1).abs())


@each_mode
@pytest.mark.parametrize("name", ["abs", "ceil", "floor", "heaviside", "relu", "round", "sign", "sigmoidal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_straight_forms_take_the_derivative_alone(mode, name, dtype):
    x = operands(1, 300, dtype=dtype)[0].requires_grad_()
    hard, soft = (getattr(softtorch, n)(x, mode=mode) for n in (f"{name}_st", name))
    one, other = (torch.autograd.grad(out.sum(), x)[0] for out in (hard, soft))
    assert torch.allclose(one, other, rtol=100 * torch.finfo(dtype).eps, atol=1e-5)
    twice = torch.autograd.grad(getattr(softtorch, f"{name}_st")(x, mode=mode).sum(), x, create_graph=True)[0]
    if mode in ("smooth", "c2"):
        assert torch.autograd.grad(twice.sum(), x)[0].isfinite().all()
    rows = torch.func.vmap(lambda x: getattr(softtorch, f"{name}_st")(x, mode=mode))(x.detach().reshape(3, 100))
    assert torch.equal(rows.reshape(-1), hard.detach())


@pytest.mark.parametrize(
    ("low", "high"), [(-0.5, 0.5), (-3.0, 40.0), (0.0, 6.0), (-1e-3, 1e-3), (0.0, 1e6), (1.0, -1.0)]
)
@each_mode
@pytest.mark.parametrize("softness", [0.03, 0.1, 1.0])
def test_clamps_between_any_bounds(low, high, mode, softness):
    x = torch.cat([torch.linspace(-5, 8, 300), torch.linspace(low, high, 50), torch.tensor([1e30, -1e30])]).double()
    results = []
    for way in WAYS:
        leaf = x.clone().requires_grad_()
        with way():
            out = softtorch.clamp(leaf, low, high, softness, mode)
            results.append((out.detach(), torch.autograd.grad(out.sum(), leaf)[0]))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def test_two_vectors_beside_the_input_are_kept_for_backward_at_most():
    x = torch.randn(1000, requires_grad=True)
    for fn in (softtorch.abs, softtorch.sign, lambda x: softtorch.clamp(x, -1.0, 1.0), softtorch.round):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):  # noqa: B023
            fn(x)
        assert sum(saved) <= 3000


@pytest.mark.parametrize("softness", [1e-4, 0.1, 10.0])
def test_softplus_is_as_precise_as_its_argument_in_float32(softness):
    x = torch.linspace(-80.0 * softness, 80.0 * softness, 100_001)
    exact = softness * torch.nn.functional.softplus(x.double() / softness, threshold=1000.0)
    off = ((softtorch.relu(x, softness=softness).double() - exact) / exact).abs().max()
    # e^u is off by its argument's rounding, |u| eps / 2 for u up to 80, three times over; the logarithm adds a few eps
    assert off < (1.5 * 80.0 + 4.0) * torch.finfo(torch.float32).eps


def test_short_inputs_agree_with_the_same_numbers_among_many(monkeypatch):
    for case in CASES:
        xs = operands(case.arity, 5, 7)
        for mode in MODES:
            alone = case.soft(*xs, mode=mode)
            with monkeypatch.context() as patch:
                patch.setattr(slopes, "SMALL", math.inf)  # plain forms where they are short
                assert torch.allclose(case.soft(*xs, mode=mode), alone, rtol=1e-9, atol=1e-12), (case, mode)


def test_stand_ins_for_tensors_are_left_to_plain_operators():
    class Own(torch.Tensor):
        pass

    x = torch.randn(4)
    assert fused.passes_possible(x) and fused.passes_possible(torch.nn.Parameter(x))
    assert not fused.passes_possible(x.as_subclass(Own)) and not fused.passes_possible(x.to("meta"))


@each_mode
@pytest.mark.parametrize("name", ["greater", "less", "eq", "isclose", "maximum"])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 1), (3, 4), ()], ids=str)
def test_second_operands_are_broadcast(shape, name, mode):
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(size, generator=generator, dtype=torch.float64) for size in ((3, 4), shape))
    found = []
    for way in WAYS:
        xs = [v.detach().clone().requires_grad_() for v in (x, y)]
        with way():
            out = getattr(softtorch, name)(*xs, softness=0.4, mode=mode)
            found.append((out, *torch.autograd.grad((out * (1 + x.detach())).sum(), xs)))
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape and torch.allclose(one, other, atol=1e-12)  # rounding in float64
