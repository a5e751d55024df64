"""A loop over numbers in different units: each turn has a spread of its own, as each threshold of a comparison has."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import softfx
from tests.helpers import EXECUTOR

UNITS = torch.tensor([1.0, 300.0, 0.01])
X = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)) * UNITS
LOW = torch.tensor([-0.5, -0.4, -0.3]) * UNITS


def at_once(x: Tensor, low: Tensor) -> Tensor:
    return (x > low).all(-1).float().mean()


def by_column(x: Tensor, low: Tensor) -> Tensor:
    inside = x[:, 0] > low[0]
    for column in range(1, low.numel()):
        inside = inside & (x[:, column] > low[column])
    return inside.float().mean()


def in_loop(x: Tensor, low: Tensor) -> Tensor:
    inside = torch.ones(len(x), dtype=torch.bool)
    for column in range(low.numel()):
        inside = inside & (x[:, column] > low[column])
    return inside.float().mean()


def direction(soft: Any, x: Tensor = X, low: Tensor = LOW) -> Tensor:
    """The gradient of the thresholds, in units of each."""
    leaf = low.clone().requires_grad_()
    return torch.autograd.grad(soft(x, leaf), leaf)[0] * UNITS[: len(low)]


def softened(executor: Any = "auto") -> Any:
    return softfx.soften(in_loop, example_inputs=(X, LOW.clone().requires_grad_()), executor=executor)


@EXECUTOR
def test_a_loop_over_columns_has_the_derivative_of_their_comparison_at_once(executor: Any) -> None:
    expected = direction(softfx.soften(at_once, example_inputs=(X, LOW.clone().requires_grad_()), executor=executor))
    soft = softened(executor)
    torch.testing.assert_close(direction(soft), expected)
    assert "one for each of 3 turns of a loop" in softfx.report_of(soft).sites[0].reason


@EXECUTOR
def test_other_settings_hold_for_all_turns(executor: Any) -> None:
    soft, before = softened(executor), direction(softened(executor))
    softfx.set_softness(soft, {"*": {"relative": 0.4}})
    assert not torch.allclose(direction(soft), before)
    softfx.set_softness(soft, 30.0)
    assert direction(soft)[1].abs() > 9 * direction(soft)[[0, 2]].abs().max()  # a number is one in any unit
    learned = torch.nn.Parameter(torch.tensor(30.0))
    softfx.set_softness(soft, {"gt": learned})
    direction(soft)
    softfx.set_softness(soft, {"*": "auto"})
    torch.testing.assert_close(direction(soft), before)


@EXECUTOR
def test_turns_are_measured_again(executor: Any) -> None:
    soft = softened(executor)
    before = direction(soft)
    softfx.remeasure(soft, 10 * X, 10 * LOW)
    torch.testing.assert_close(10 * direction(soft, 10 * X, 10 * LOW), before)
    again = softfx.Remeasure(soft, every=1, momentum=0.5)
    again.step()
    soft(X, LOW)
    again.step(X, LOW)
    assert direction(soft).abs().min() > 0
    assert "3 turns of a loop" in softfx.report_of(soft).sites[0].reason


def test_turns_are_kept_in_copies_and_in_the_state() -> None:
    soft = softened()
    expected = direction(soft)
    for other in (copy.deepcopy(soft), pickle.loads(pickle.dumps(soft))):
        torch.testing.assert_close(direction(other), expected)
    elsewhere = softfx.soften(in_loop, example_inputs=(torch.ones_like(X), LOW.clone().requires_grad_()))
    softfx.load_softness_state(elsewhere, json.loads(json.dumps(softfx.softness_state(soft))))
    torch.testing.assert_close(direction(elsewhere), expected)


def test_a_block_that_is_computed_again_goes_on_at_its_turn() -> None:
    def in_blocks(x: Tensor, low: Tensor) -> Tensor:
        inside = torch.ones(len(x), dtype=x.dtype)
        for column in range(3):

            def block(numbers: Tensor, threshold: Tensor) -> Tensor:
                return (numbers > threshold).to(numbers.dtype).square()

            inside = inside * checkpoint(block, x[:, column], low[column], use_reentrant=False)
        return inside.mean()

    def plain(x: Tensor, low: Tensor) -> Tensor:
        inside = torch.ones(len(x), dtype=x.dtype)
        for column in range(3):
            inside = inside * (x[:, column] > low[column]).to(x.dtype).square()
        return inside.mean()

    given = (X, LOW.clone().requires_grad_())
    blocks, expected = (softfx.soften(function, example_inputs=given) for function in (in_blocks, plain))
    torch.testing.assert_close(direction(blocks), direction(expected))


def test_turns_beyond_those_that_were_measured_take_the_mean() -> None:
    soft = softfx.soften(in_loop, example_inputs=(X[:, :2], LOW[:2].clone().requires_grad_()))
    assert direction(soft)[2].abs() > 0


def test_turns_that_are_alike_share_one_spread() -> None:
    soft = softfx.soften(in_loop, example_inputs=(X / UNITS, (LOW / UNITS).requires_grad_()))
    assert "turns of" not in soft.report.sites[0].reason


@pytest.mark.parametrize("turns", [[0.1, -1.0], ["much"], [0.0, 1.0]])
def test_a_state_with_other_turns_is_refused(turns: list[object]) -> None:
    soft = softened()
    state = softfx.softness_state(soft)
    state["sites"][0]["turns"] = turns
    with pytest.raises(softfx.PolicyError, match="is no softness"):
        softfx.load_softness_state(soft, state)


def test_an_audit_counts_the_margins_of_each_turn_in_its_own_softness() -> None:
    report = softfx.audit(in_loop, example_inputs=(X, LOW), samples=64)
    spread = [abs(margin) for margin in report.sites[0].margins]
    assert 5.0 < sorted(spread)[len(spread) // 2] < 12.0  # 0.115 spreads each: half are within 0.67 / 0.115
