"""straight_through, st and grad_replace: every bit of the hard value, the derivative of the soft one."""

import warnings
from typing import NamedTuple

import pytest
import torch

from softtorch.errors import OptionError, ShapeError
from softtorch.straight_through.joining import grad_replace, st, straight_through
from tests.helpers import identical

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
EDGES = [0.0, -0.0, 1.5, -2.5, 1e-30, float("inf"), -float("inf"), float("nan"), 3e4]


def step(x, softness=0.1, mode="smooth"):
    return torch.sign(x) if mode == "hard" else torch.tanh(x / softness)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_bit_of_the_hard_value_comes_through(dtype):
    hard = torch.tensor(EDGES, dtype=dtype).repeat_interleave(len(EDGES))
    soft = torch.tensor(EDGES, dtype=dtype).repeat(len(EDGES)).requires_grad_()
    assert identical(straight_through(hard, soft).detach(), hard)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_bit_comes_through_under_compile(dtype):
    hard = torch.tensor(EDGES, dtype=dtype).repeat_interleave(len(EDGES))
    x = torch.tensor(EDGES, dtype=dtype).repeat(len(EDGES)).requires_grad_()
    compiled = torch.compile(lambda h, x: straight_through(h, 3 * x * x), fullgraph=True, backend="aot_eager")
    assert identical(compiled(hard, x).detach(), hard)


@pytest.mark.parametrize("hard_dtype", FLOATS)
@pytest.mark.parametrize("soft_dtype", FLOATS)
def test_the_result_has_the_dtype_of_hard_and_the_gradient_that_of_soft(hard_dtype, soft_dtype):
    soft = torch.randn(4, dtype=soft_dtype, requires_grad=True)
    out = straight_through(torch.ones(4, dtype=hard_dtype), soft)
    (grad,) = torch.autograd.grad(out.sum(), soft)
    assert out.dtype == hard_dtype
    assert torch.equal(grad, torch.ones(4, dtype=soft_dtype))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_an_integer_or_bool_value_comes_back_in_the_dtype_of_soft(dtype):
    soft = torch.randn(3, dtype=torch.float64, requires_grad=True)
    out = straight_through(torch.tensor([0, 1, 1], dtype=dtype), soft)
    assert out.dtype == torch.float64 and out.tolist() == [0.0, 1.0, 1.0]
    assert torch.autograd.grad(out.sum(), soft)[0].tolist() == [1.0, 1.0, 1.0]


def test_the_hard_side_gets_no_gradient():
    hard = torch.ones(3, requires_grad=True)
    soft = torch.zeros(3, requires_grad=True)
    loss = (straight_through(hard, soft) * torch.arange(3.0)).sum()
    grads = torch.autograd.grad(loss, [hard, soft], allow_unused=True)
    assert grads[0] is None or not grads[0].any()
    assert torch.equal(grads[1], torch.arange(3.0))


@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), float("nan")])
def test_what_is_not_finite_in_soft_gives_no_gradient_and_leaves_the_others_alone(bad):
    soft = torch.tensor([1.0, bad, 2.0], requires_grad=True)
    for function in (straight_through, torch.compile(straight_through, fullgraph=True, backend="aot_eager")):
        (grad,) = torch.autograd.grad(function(torch.zeros(3), soft).sum(), soft)
        assert grad.tolist() == [1.0, 0.0, 1.0]


def test_the_result_is_a_new_tensor_that_may_be_changed_in_place():
    hard, soft = torch.zeros(3), torch.ones(3, requires_grad=True)
    out = straight_through(hard, soft)
    out += 1
    assert hard.tolist() == [0.0, 0.0, 0.0]
    assert torch.autograd.grad(out.sum(), soft)[0].tolist() == [1.0, 1.0, 1.0]


def test_first_and_second_derivatives_are_those_of_soft():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)

    def out(function, x):
        return (function(x) * torch.arange(1.0, 6.0, dtype=torch.float64)).sum()

    def soft(x):
        return torch.tanh(x) ** 2

    def joined(x):
        return straight_through(torch.sign(x), soft(x))

    for derivative in (torch.func.grad, torch.func.jacfwd, torch.func.hessian):
        want = derivative(lambda x: out(soft, x))(x.detach())
        got = derivative(lambda x: out(joined, x))(x.detach())
        assert torch.allclose(got, want, atol=1e-14)  # rounding only


def test_vmap_over_either_side_or_both():
    hard, soft = torch.randn(3, 4), torch.randn(3, 4)
    assert torch.equal(torch.func.vmap(straight_through)(hard, soft), hard)
    assert torch.equal(torch.func.vmap(straight_through, (None, 0))(hard[0], soft), hard[0].expand(3, 4))
    assert torch.equal(torch.func.vmap(straight_through, (0, None))(hard, soft[0]), hard)
    grads = torch.func.vmap(torch.func.grad(lambda s, h: (straight_through(h, 2 * s)).sum()))(soft, hard)
    assert torch.equal(grads, torch.full((3, 4), 2.0))


def test_forward_mode_gives_the_tangent_of_soft_even_under_no_grad():
    x, tangent = torch.randn(4), torch.randn(4)
    for context in (torch.enable_grad(), torch.no_grad()):
        with context:
            value, out = torch.func.jvp(lambda x: st(step)(x, 1.0), (x,), (tangent,))
        assert torch.equal(value, torch.sign(x))
        assert torch.allclose(out, (1 - torch.tanh(x) ** 2) * tangent)


@pytest.mark.parametrize("strict", [True, False])
def test_the_gradient_survives_export(strict):
    class Model(torch.nn.Module):
        def forward(self, x):
            return st(step)(x, 1.0)

    x = torch.randn(4, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its own internals while exporting
        exported = torch.export.export(Model(), (x,), strict=strict).module()
    out = exported(x)
    assert torch.equal(out.detach(), torch.sign(x.detach()))
    assert torch.allclose(torch.autograd.grad(out.sum(), x)[0], 1 - torch.tanh(x.detach()) ** 2)


def test_the_gradient_survives_make_fx():
    from torch.fx.experimental.proxy_tensor import make_fx

    x = torch.randn(4)
    graph = make_fx(lambda x: st(step)(x, 1.0))(x)
    x.requires_grad_()
    assert torch.allclose(torch.autograd.grad(graph(x).sum(), x)[0], 1 - torch.tanh(x.detach()) ** 2)


def test_st_runs_only_the_hard_side_where_gradients_are_disabled():
    modes = []

    def recorded(x, mode="smooth"):
        modes.append(mode)
        return x

    with torch.no_grad():
        st(recorded)(torch.ones(2))
    with torch.inference_mode():
        st(recorded)(torch.ones(2), mode="c0")
    st(recorded)(torch.ones(2), mode="hard")
    assert modes == ["hard", "hard", "hard"]
    st(recorded)(torch.ones(2), mode="c0")
    assert modes[3:] == ["hard", "c0"]


def test_mode_may_be_given_by_place_or_by_name_and_has_the_default_of_the_function():
    x = torch.tensor([0.3], requires_grad=True)
    fn = st(step)
    outs = fn(x, softness=1.0, mode="c0"), fn(x, 1.0, "c0"), fn(x, 1.0)
    grads = [torch.autograd.grad(out.sum(), x)[0].item() for out in outs]
    assert grads[0] == grads[1] == grads[2]
    assert fn(x, 1.0, "hard").grad_fn is not None  # torch's own sign, with its derivative of 0


class Pair(NamedTuple):
    values: torch.Tensor
    indices: torch.Tensor | None


def test_structures_of_results_are_kept():
    x = torch.tensor([3.0, 1.0], requires_grad=True)

    def several(x, *, mode="smooth"):
        y = torch.round(x) if mode == "hard" else 2 * x
        index = y if mode == "hard" else None
        return Pair(y, index), [y, 7, "word"], {"key": (y, None)}, torch.return_types.sort((y, y))

    pair, many, table, torch_pair = st(several)(x)
    # What only the hard side has comes through without a derivative, as under no_grad.
    assert isinstance(pair, Pair) and torch.equal(pair.indices, st(several)(x.detach())[0].indices)
    assert not pair.indices.requires_grad
    assert many[1:] == [7, "word"] and table["key"][1] is None
    assert isinstance(torch_pair, torch.return_types.sort)
    for leaf in (pair.values, many[0], table["key"][0], torch_pair.values, torch_pair.indices):
        (grad,) = torch.autograd.grad(leaf.sum(), x, retain_graph=True)
        assert torch.equal(leaf, x) and grad.tolist() == [2.0, 2.0]


def test_wrapping_the_product_has_another_gradient_than_the_product_of_wrapped_factors():
    x = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)

    def square(x, mode="smooth"):
        return (step(x, mode=mode) + 0.5) ** 2

    soft, slope = torch.tanh(x / 0.1).item(), 10 * (1 - torch.tanh(x / 0.1).item() ** 2)
    (whole,) = torch.autograd.grad(st(square)(x), x)
    (parts,) = torch.autograd.grad((st(step)(x) + 0.5) ** 2, x)
    assert whole.item() == pytest.approx(2 * (soft + 0.5) * slope)
    assert parts.item() == pytest.approx(2 * (1.0 + 0.5) * slope)


def test_grad_replace_takes_the_value_forward_and_the_derivative_of_the_other():
    calls = []

    @grad_replace
    def fn(x, scale=1.0, *, forward=True):
        calls.append(forward)
        return torch.floor(x) if forward else scale * x

    x = torch.tensor([1.7], requires_grad=True)
    out = fn(x, scale=4.0)
    assert out.item() == 1.0 and torch.autograd.grad(out.sum(), x)[0].item() == 4.0
    with torch.no_grad():
        fn(x)
    assert calls == [True, False, True]


def test_compile_takes_st_whole():
    x = torch.randn(6, requires_grad=True)
    out = torch.compile(st(step), fullgraph=True, backend="aot_eager")(x, 1.0)
    assert torch.equal(out.detach(), torch.sign(x.detach()))
    assert torch.allclose(torch.autograd.grad(out.sum(), x)[0], 1 - torch.tanh(x.detach()) ** 2)


def test_errors_name_what_is_wrong_and_what_to_do():
    with pytest.raises(ShapeError, match=r"^straight_through: hard has shape \(2,\) and soft .* \(2, 1\)\. "):
        straight_through(torch.ones(2), torch.ones(2, 1))
    with pytest.raises(ShapeError, match=r"soft has dtype torch\.int64, .* floating type\. Convert"):
        straight_through(torch.ones(2), torch.ones(2, dtype=torch.int64))
    with pytest.raises(OptionError, match=r"st: 'fn' takes no argument named mode\. .* Use grad_replace"):

        def fn(x):
            return x

        st(fn)
