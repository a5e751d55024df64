"""Both executors know the same of a value: that a constant is whole, and what a softened number would be unsoftened."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTORS, assert_same, outcome

X = torch.tensor([0.5, -0.5, 1.0, 2.0])


def table_of_whole_numbers(x: Tensor) -> Tensor:
    return torch.tensor([1.0, 2.0, 3.0, 5.0])[x.argmax()] * x


def table_of_other_numbers(x: Tensor) -> Tensor:
    return torch.tensor([1.0, 2.5, 3.0, 5.0])[x.argmax()] * x


def table_that_is_computed(x: Tensor) -> Tensor:
    return (torch.linspace(0.0, 6.0, 4) / 2)[x.argmax()] * x


def table_that_is_written(x: Tensor) -> Tensor:
    table = torch.ones(4)
    table[1:].mul_(0.5)
    return table[x.argmax()] * x


def table_of_the_input(x: Tensor) -> Tensor:
    table = torch.zeros(4)
    table[2] = x[0]
    return table[x.argmax()] * x


def kept_comparison(x: Tensor) -> tuple[Tensor, Tensor]:
    least = torch.minimum(x, x.new_tensor(0.5))
    with torch.no_grad():
        above = x > least
    return least, above.to(x.dtype) * x


def kept_order(x: Tensor) -> tuple[Tensor, Tensor]:
    gentle = x.clamp(-0.6, 1.1)
    with torch.no_grad():
        order = gentle.argsort()
    return gentle, x[order]


def raised_in_place(x: Tensor) -> Tensor:
    power = x * 1
    power **= 2
    power[1:] **= power.round()[1:]
    return power.round() + power


PROGRAMS = [
    table_of_whole_numbers, table_of_other_numbers, table_that_is_computed, table_that_is_written, table_of_the_input,
    kept_comparison, kept_order, raised_in_place,
]  # fmt: skip


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_graph_gives_what_the_original_python_gives(program: Callable[..., Tensor], policy: str) -> None:
    one, other = (
        outcome(softfx.soften(program, policy, example_inputs=(X,), executor=executor), (X,)) for executor in EXECUTORS
    )
    assert one.gradients[0] is not None and bool(one.gradients[0].any())
    assert_same(one, other)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_decision_that_is_kept_goes_by_the_unsoftened_value(executor: str) -> None:
    soft = softfx.soften(kept_comparison, "smooth", example_inputs=(X,), executor=executor)
    least, masked = soft(X)
    assert bool((least < torch.minimum(X, torch.tensor(0.5)))[0])
    assert torch.equal(masked, kept_comparison(X)[1])
