"""Linear calls carry the derivative of straight-through operands: the program's own call, no shadow beside it."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor

import softfx
from softfx.interpreter.backends import Direct
from tests.helpers import assert_same, identical, outcome, run_eagerly

X, Y = torch.tensor([0.2, 0.7, 0.4, 0.9]), torch.tensor([1.0, 0.0, 1.0, 1.0])


def linear(x: Tensor, y: Tensor) -> Tensor:
    mask = (x > 0.5).float()
    return (3 * (1 - mask) * y.detach() + mask).reshape(2, 2).sum(0).mean() / 2


def quotient(x: Tensor, y: Tensor) -> Tensor:
    mask, y = (x > 0.5).float(), y.detach()
    hits = (mask * y).sum()
    return 2 * hits / (2 * hits + (mask * (1 - y)).sum() + ((1 - mask) * y).sum())


def of_reals(x: Tensor, y: Tensor) -> Tensor:
    scaled = (x > 0.5).float() * 0.3
    weighted = 2 * ((x > 0.5).float() * y.detach().exp()).sum() + 1
    return scaled / (scaled + 0.1) + (x.round() - 0.5).square() + torch.where(weighted > 3, x, weighted / y.exp())


def compared(x: Tensor, y: Tensor) -> Tensor:
    count = (x > 0.5).float().cumsum(0) - 1
    return torch.where(count > 0.5, x, y) + torch.where(count.sum() > 0, x, -x)


def of_indices(x: Tensor, y: Tensor) -> Tensor:
    place = x.argmax().float() * 2 + 1
    return y[(place - 1).long() // 2] + place / (place + 1)


def of_parameters(x: Tensor, y: Tensor) -> Tensor:
    mask = (x > 0.5).float()
    return (mask * y).sum() + (mask / y.exp()).sum() + mask @ y


def infinite(x: Tensor, y: Tensor) -> Tensor:
    mask, edge = (x > 0.5).float(), torch.tensor([torch.inf, 1.0, -torch.inf, torch.nan])
    return torch.stack([torch.where(mask > 0, mask * edge, 0.0), mask + edge])


def written(x: Tensor, y: Tensor) -> Tensor:
    factor = y.detach().clone()
    kept = (x > 0.5).float() * factor
    factor.zero_()
    return kept / (kept.sum() + 1)


def written_operand(x: Tensor, y: Tensor) -> Tensor:
    mask = (x > 0.5).float()
    total = mask.cumsum(0) + 1  # its shadow is asked for after the write, and is of what the mask was before
    mask[0] = 2.0
    return total / (1 + total) + mask / (3 + mask)


def written_view(x: Tensor, y: Tensor) -> Tensor:
    mask = (x > 0.5).float()
    rows = (mask * 2).reshape(2, 2)
    rows[0] = y.detach()[:2]
    flat = rows.reshape(-1)
    return flat / (1 + flat) + torch.where(rows.sum() > 2, x, -x)


def written_elsewhere(x: Tensor, y: Tensor) -> Tensor:
    total, made = (x > 0.5).float().sum() + 1, torch.zeros(4)
    for place in range(4):
        made[place] = y[place].detach() * 2
    return made / (total + 1) + total / (total + 2)


def written_beside_a_count(x: Tensor, y: Tensor) -> Tensor:
    hits = (x > 0.5).float() * y.detach()
    weights = torch.ones(4)
    weights[hits == 0] = 0.0
    return (weights * x).sum() / weights.sum() + (hits.sum() - 1) / (hits.sum() + 1)


def deep(x: Tensor, y: Tensor) -> Tensor:
    total = mask = (x > 0.5).float()
    for _ in range(40):
        total = total + mask
    return total / (1 + total)


def without_gradients(x: Tensor, y: Tensor) -> Tensor:
    count = (x > 0.5).float().sum() * 2
    with torch.no_grad():
        scale = 1 / (count + 1)
    return scale * count / (count + 1)


def in_transforms(x: Tensor, y: Tensor) -> Tensor:
    count = (x > 0.5).float() + 1
    rows = torch.vmap(lambda row: row / count)(torch.stack([y, y + 1]))
    return rows + torch.func.grad(lambda z: (z / count).sum())(y) + count / (count + 1)


def bits(x: Tensor, y: Tensor) -> Tensor:
    rounded = x.round() * 1
    exponents = rounded.view(torch.int32) >> 23
    return exponents.float() * y + rounded


PROGRAMS = [
    bits, linear, quotient, of_reals, compared, of_indices, of_parameters, infinite, written, written_operand,
    written_view, written_elsewhere, written_beside_a_count, deep, without_gradients, in_transforms,
]  # fmt: skip


@pytest.mark.parametrize("policy", ["gradients", "straight-through"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_values_and_gradients_are_those_of_the_full_interpretation(
    program: Callable[[Tensor, Tensor], Tensor], policy: str
) -> None:
    fast, full = (run_eagerly(program, policy, (X, Y), way, True) for way in (True, False))
    assert fast.error is None
    assert_same(fast, full)
    (hard,) = outcome(program, (X, Y)).results
    assert identical(fast.results[0], hard)


def added_calls(program: Callable[[Tensor, Tensor], Tensor]) -> int:
    """The calls that softening adds to a run, but for the detached results by which shadows are made later."""
    x = X.clone().requires_grad_()
    soft = softfx.soften(program, example_inputs=(x, Y), executor="eager")
    with mock.patch.object(Direct, "emit", autospec=True, side_effect=Direct.emit) as emit:
        soft(x, Y)
    return sum(call.args[1] is not torch.detach for call in emit.call_args_list)


def test_linear_calls_add_no_call() -> None:
    assert added_calls(linear) == added_calls(lambda x, y: (x > 0.5).float())


def test_a_quotient_of_counts_adds_one_call_for_each_number_and_its_own() -> None:
    mask = added_calls(lambda x, y: (x > 0.5).float())
    assert added_calls(quotient) == mask + 11 + 2  # the numbers; the division and what joins it to the hard one


def shaped_by_a_list(x: Tensor, y: Tensor) -> Tensor:
    shape = [2, 2]
    count = (x > 0.5).float().reshape(shape)
    shape[0] = 1  # once the call is made the list is the program's own again
    return count / (count + y.reshape(2, 2).exp()) + count.sum() // 2


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
def test_what_is_made_later_has_the_arguments_of_the_call(policy: str) -> None:
    fast, full = (run_eagerly(shaped_by_a_list, policy, (X, Y), way, True) for way in (True, False))
    assert fast.error is None
    assert_same(fast, full)
