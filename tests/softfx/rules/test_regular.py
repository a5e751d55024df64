"""What is said to be regular has finite derivatives, and the guard's own ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from softfx.runtime import guards
from softfx.runtime.regular import is_regular, is_regular_number

NUMBERS = [0.0, 1e-12, 1e-3, 0.5, 1.0, 3.0, 90.0, 1e19, 1e38, math.inf, math.nan]
SMOOTH = [torch.exp, torch.sqrt, torch.log, torch.square, torch.reciprocal]
ONE = ["exp", "exp2", "sinh", "square", "reciprocal", "rsqrt", "log2", "log1p", "acosh", "atanh", "erfinv", "lgamma"]


def gradients(function: object, *operands: Tensor) -> list[Tensor]:
    leaves = [operand.clone().requires_grad_() for operand in operands]
    result = function(*leaves)  # type: ignore[operator]  # one of torch's
    return list(torch.autograd.grad(result.sum(), leaves))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ONE)
def test_a_regular_call_has_the_derivative_of_its_guard(name: str, dtype: torch.dtype) -> None:
    own = getattr(torch, name)
    for number in [*NUMBERS, *(-n for n in NUMBERS)]:
        for shape in ((), (3,)):
            x = torch.full(shape, number, dtype=dtype)
            if is_regular(own, (x.clone().requires_grad_(),)):
                found, expected = gradients(own, x), gradients(getattr(guards, name), x)
                assert found[0].isfinite().all() and torch.equal(found[0], expected[0]), number


@pytest.mark.parametrize("name", ["pow", "div"])
def test_so_do_calls_of_two_operands(name: str) -> None:
    own = getattr(torch, name)
    for left in NUMBERS:
        for right in [*NUMBERS, *(-n for n in NUMBERS)]:
            x, y = torch.tensor(left), torch.tensor(right)
            if is_regular(own, (x.clone().requires_grad_(), y.clone().requires_grad_())):
                found, expected = gradients(own, x, y), gradients(getattr(guards, name), x, y)
                assert all(map(torch.equal, found, expected)), (left, right)
                assert all(each.isfinite().all() for each in found), (left, right)


@pytest.mark.parametrize("name", ["pow", "div", "exp", "sqrt", "log", "square", "reciprocal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_numbers_alone_say_is_so(name: str, dtype: torch.dtype) -> None:
    own, signed = getattr(torch, name), [*NUMBERS, *(-n for n in NUMBERS)]
    ways = 0
    for left in signed:
        x = torch.tensor(left, dtype=dtype)
        others = [torch.tensor(n, dtype=dtype) for n in signed] if name in ("pow", "div") else [None]
        for other in [*others, *((1, 2, 3, 7, 0.5, -1.5) if name == "pow" else ())]:
            operands = [x] if other is None else [x, other]
            leaves = [each.clone().requires_grad_() for each in operands if isinstance(each, Tensor)]
            given = [*leaves, other][: len(operands)]
            if is_regular_number(own, given):
                ways += 1
                found = torch.autograd.grad(own(*given), leaves)
                assert own(*given).isfinite() and all(each.isfinite() for each in found), operands
    assert ways > 1


def test_most_calls_are_regular_and_short_numbers_are_not_said_to_be() -> None:
    x = torch.tensor([0.5, 2.0], requires_grad=True)
    assert all(is_regular(function, (x,)) for function in SMOOTH)
    assert is_regular(torch.pow, (x, 2)) and is_regular(torch.pow, (x, 0.5)) and is_regular(torch.div, (1.0, x))
    assert not is_regular(torch.pow, (x - 0.5, 0.5)) and not is_regular(torch.div, (x, 0.0))
    assert not is_regular(torch.exp, (x.half(),)) and not is_regular(torch.sin, (x,))
