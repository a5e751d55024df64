"""Calls that read memory which they write themselves: torch reads there what it has written already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR, assert_same, gradient, identical, outcome

X = torch.tensor([[1.2, -2.7, 0.6], [0.4, 3.3, -1.1], [-1.6, 0.2, 2.3]])


def less_the_first(x: Tensor) -> Tensor:
    column = x.round()[:, :1]
    column -= column[0]  # 0 in the first row, so that nothing is taken from the others
    return column


def less_a_corner(x: Tensor) -> Tensor:
    signs = x.sign().T
    signs[0] += signs.diagonal()[0]
    return signs * x


def products(x: Tensor) -> Tensor:
    rounded = x.round().T
    return rounded.addcmul_(rounded[0], rounded[1])


def masks(x: Tensor) -> Tensor:
    positive = (x > 0)[:, :1]
    positive &= ~positive[0]
    return positive * x


def indices(x: Tensor) -> Tensor:
    order = x.argsort(-1)[:, :1]
    order += order[1]
    return x.flatten()[order]


def given_as_out(x: Tensor) -> Tensor:
    column = x.round()[:, :1]
    torch.sub(column, column[0], out=column)
    return column * 2


PROGRAMS = [less_the_first, less_a_corner, products, masks, indices, given_as_out]


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("program", PROGRAMS)
def test_values_are_the_originals(program: Callable[[Tensor], Tensor], policy: str, executor: str) -> None:
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    other = X * 1.5 + 0.1
    for x in (X, other):
        assert_same(outcome(soft, [x], requires_gradient=False), outcome(program, [x], requires_gradient=False))
        assert identical(soft(x.clone().requires_grad_()).detach(), program(x))


def test_the_programs_read_what_they_have_written() -> None:
    apart = X.round()[:, :1] - X.round()[0, :1]
    assert not torch.equal(less_the_first(X), apart) and torch.equal(less_the_first(X)[1:], X.round()[1:, :1])


@EXECUTOR
def test_the_derivative_is_that_of_the_operation(executor: str) -> None:
    soft = softfx.soften(less_the_first, {"preset": "gradients"}, example_inputs=(X,), executor=executor)
    rounded = softfx.soften(lambda x: x.round(), {"preset": "gradients"}, example_inputs=(X,), executor=executor)
    slopes = gradient(lambda x: rounded(x)[:, :1], X)
    found = gradient(soft, X)
    torch.testing.assert_close(found[1:], slopes[1:])  # what is taken from a row is the first row's alone
    assert bool(found.isfinite().all()) and not torch.equal(found[0], slopes[0])


@pytest.mark.parametrize("policy", ["smooth", {"preset": "smooth", "default": {"mode": "c2"}}])
@pytest.mark.parametrize("program", PROGRAMS)
def test_branches_go_by_the_originals_value_under_a_soft_policy(
    program: Callable[[Tensor], Tensor], policy: Any
) -> None:
    def asks(x: Tensor) -> Tensor:
        result = program(x)
        return result.sum() if result.sum() > 0 else result.sum() - 100.0

    soft = softfx.soften(asks, policy, example_inputs=(X,), executor="eager")
    for x in (X, -X, X + 1):
        assert (float(soft(x)) < -50) == (float(asks(x)) < -50)
