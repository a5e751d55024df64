"""A traced function gives what the function gives, to the bit: values, gradients, and gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softtorch
from softfx.traces.traced import Traced

Function = Callable[..., Any]
CALLS = 4  # the first is the function's own, and is traced

OPERATORS: dict[str, Function] = {
    "greater": lambda x: softtorch.greater(x, 0.25, softness=0.1, mode="tailed"),
    "greater of two": lambda x: softtorch.greater(x, x.flip(-1), softness=0.1),
    "isclose": lambda x: softtorch.isclose(x, torch.full_like(x, 0.5), softness=0.3),
    "sign": lambda x: softtorch.sign(x, mode="c1"),
    "round": softtorch.round,
    "clamp": lambda x: softtorch.clamp(x, -0.5, 0.5),
    "abs": lambda x: softtorch.abs(x, mode="c2"),
    "gelu": lambda x: softtorch.relu(x) * x.sin().exp(),
    "argmax": softtorch.argmax,
    "argmax, straight-through": softtorch.argmax_st,
    "max": lambda x: softtorch.max(x, -1),
    "sort": lambda x: softtorch.sort(x, -1),
    "sort by lapsum": lambda x: softtorch.sort(x, -1, method="lapsum"),
    "rank by lapsum, tailed": lambda x: softtorch.rank(x, -1, method="lapsum", mode="tailed"),
    "topk": lambda x: softtorch.topk(x, 2, -1, method="lapsum"),
    "topk_mask": lambda x: softtorch.topk_mask(x, 2, -1),
    "quantile": lambda x: softtorch.quantile(x, 0.3, -1),
    "median": lambda x: softtorch.median(x, -1),
    "rounded, joined": softtorch.round_st,
    "where": lambda x: softtorch.where(softtorch.sigmoidal(x), x, -x),
}


def operands(dtype: torch.dtype = torch.float64, seed: int = 0, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape or (3, 5), generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def tensors(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else [x for x in result if isinstance(x, Tensor)]


def weights(results: list[Tensor], expanded: bool) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    numbers = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in results]
    return [w.sum().expand(w.shape) for w in numbers] if expanded else numbers


def gradient(results: list[Tensor], x: Tensor, expanded: bool = False) -> Tensor:
    found = [y for y in results if y.requires_grad]
    return torch.autograd.grad(found, x, weights(found, expanded), retain_graph=True)[0]


def assert_equal(ours: Any, theirs: Any) -> None:
    for one, other in zip(tensors(ours), tensors(theirs), strict=True):
        assert one.dtype == other.dtype
        assert one.stride() == other.stride()
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", OPERATORS)
def test_values_and_gradients_are_the_functions_own(name: str, dtype: torch.dtype) -> None:
    function = OPERATORS[name]
    traced = Traced(function)
    for seed in range(CALLS):
        x = operands(dtype, seed)
        ours, theirs = traced(x), function(x)
        assert_equal(ours, theirs)
        for expanded in (False, True):
            assert_equal(gradient(tensors(ours), x, expanded), gradient(tensors(theirs), x, expanded))
    assert traced.is_traced


def test_a_derivative_that_is_another_formula_where_calls_are_seen_is_the_functions_own() -> None:
    def function(x: Tensor) -> Tensor:
        return softtorch.any(softtorch.greater(x, 0.2, softness=0.1), 0)

    for seed in range(8):
        traced, x = Traced(function), operands(torch.float32, seed)
        for _ in range(CALLS):
            assert_equal(gradient([traced(x)], x), gradient([function(x)], x))
        assert not traced.is_traced, "torch divides the product by each factor, or leaves each out"


SHAPED_BY_DATA: dict[str, Function] = {
    "a selection": lambda x: (x[x > 0] * 2).exp().sum() + x.sin().sum(),
    "places": lambda x: x[(x > 0).nonzero(as_tuple=True)].exp() * 2,
    "a one-hot": lambda x: torch.nn.functional.one_hot(x.argmax(-1)).to(x.dtype).sum() * x.exp(),
}


@pytest.mark.parametrize("name", SHAPED_BY_DATA)
def test_shapes_and_integers_that_the_data_say_are_asked_for(name: str) -> None:
    function = SHAPED_BY_DATA[name]
    traced = Traced(function)
    for seed in (0, 0, 0, 1, 2, 3, 0):
        x = operands(torch.float64, seed)
        ours, theirs = traced(x), function(x)
        assert_equal(ours, theirs)
        assert_equal(gradient([ours], x), gradient([theirs], x))
    assert traced.is_traced


def test_a_trace_that_never_fits_is_given_up() -> None:
    traced = Traced(SHAPED_BY_DATA["a selection"])
    x = torch.linspace(-1, 1, 15, dtype=torch.float64).requires_grad_()
    traced(x)
    assert traced.is_traced
    for _ in range(15):
        traced((x + 0.4).detach().requires_grad_())
    assert traced.is_traced, "as long as it may"
    traced((x + 0.4).detach().requires_grad_())
    assert not traced.is_traced


@pytest.mark.parametrize("name", ["greater", "argmax", "sort by lapsum", "round"])
def test_what_comes_to_a_tensor_is_added_up_in_the_functions_order(name: str) -> None:
    function = OPERATORS[name]

    def several(x: Tensor) -> Tensor:
        first = tensors(function(x))[0]
        return (first * x.sum(-1, keepdim=True)).sum() + x.exp().sum() * tensors(function(x * 0.1))[0].sum()

    traced = Traced(several)
    for seed in range(CALLS):
        x = operands(torch.float32, seed)

        def whole(call: Function, x: Tensor = x) -> Tensor:
            early = (x * 1.7).sin().sum()
            middle = call(x)
            return early + middle + (x / 3.1).cos().sum() * middle + x.prod()  # type: ignore[no-any-return]

        ours, theirs = (torch.autograd.grad(whole(call), x)[0] for call in (traced, several))
        assert_equal(ours, theirs)
    assert traced.is_traced


def test_numbers_that_answer_a_question_otherwise_are_the_functions() -> None:
    for function in (OPERATORS["argmax"], OPERATORS["sort"], OPERATORS["greater of two"]):
        traced = Traced(function)
        for value in (0.5, 0.25, torch.inf, torch.nan, 1e200, 0.75):
            x = operands()
            with torch.no_grad():
                x[0, 1] = value
            assert_equal(traced(x), function(x))
            assert_equal(gradient(tensors(traced(x)), x), gradient(tensors(function(x)), x))


def test_other_forms_and_plain_values_are_served() -> None:
    def function(x: Tensor, softness: float) -> Tensor:
        return softtorch.round(x, softness=softness).sum(-1) * x.sum(-1)

    traced = Traced(function)
    for softness in (0.1, 0.1, 0.3, 0.1, 1):
        for x in (
            operands(),
            operands(torch.float32),
            operands(torch.float64, 1, 5),
            operands().mT,
            operands().detach(),
        ):
            assert_equal(traced(x, softness), function(x, softness))
        with torch.no_grad():
            assert_equal(traced(operands(), softness), function(operands(), softness))
    twice = Traced(lambda x, y: (x * y).exp() + x.sin())
    x, y = operands(), operands(torch.float64, 1)
    for pair in ((x, y), (x, x), (y, x), (x, x)):
        assert_equal(twice(*pair), (pair[0] * pair[1]).exp() + pair[0].sin())


@pytest.mark.parametrize("name", ["greater", "argmax", "round", "sort by lapsum"])
def test_derivatives_of_derivatives_are_the_functions(name: str) -> None:
    function = OPERATORS[name]
    traced = Traced(function)
    for seed in range(CALLS):
        x = operands(torch.float64, seed)

        def second(call: Function, x: Tensor = x) -> Tensor:
            (first,) = torch.autograd.grad(tensors(call(x))[0].square().sum(), x, create_graph=True)
            return torch.autograd.grad((first * weights([first], False)[0]).sum(), x)[0]

        torch.testing.assert_close(second(traced), second(function), rtol=1e-12, atol=1e-12)
    assert traced.is_traced
    assert torch.autograd.gradgradcheck(lambda x: tensors(traced(x))[0], operands(torch.float64, 9, 4))


def test_results_that_are_not_used_have_no_part() -> None:
    def function(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (x.exp() * y.sin()).cos(), (y * y).sum(-1).exp()

    traced = Traced(function)
    x, y = operands(), operands(torch.float64, 1)
    for _ in range(CALLS):
        for place in (0, 1):
            ours, theirs = (
                torch.autograd.grad(call(x, y)[place].sum(), (x, y), allow_unused=True) for call in (traced, function)
            )
            for one, other in zip(ours, theirs, strict=True):
                assert (one is None) == (other is None) or not one.any()
                if other is not None:
                    assert_equal(one, other)


def test_what_a_program_writes_behind_a_call() -> None:
    def function(x: Tensor, constant: Tensor) -> Tensor:
        return (x.sin() + constant.cos()).exp().neg()  # which needs neither the constant nor what it gives

    traced = Traced(function)
    for _ in range(CALLS):
        grads = []
        for call in (traced, function):
            leaf, constant = operands(), operands(torch.float64, 1).detach()
            y = call(leaf * 2, constant)
            constant.mul_(3)
            y.add_(1)
            grads.append(torch.autograd.grad((y.square() * constant).sum(), leaf)[0])
        assert_equal(*grads)
    x = operands() * 2
    y = Traced(lambda x: x.sin().exp().cos())
    for _ in range(2):
        z = y(x)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
