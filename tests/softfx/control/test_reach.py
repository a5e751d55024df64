"""Conditions that are far from their thresholds, and turns that are nearly certain to change nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
from softfx.control.choices import Turn
from softfx.control.turns import inclusion
from tests.softfx.control.programs import policy

AT = 0.2


def gradient(program: Callable[[Tensor], Tensor], **fields: Any) -> float:
    x = torch.tensor(AT, requires_grad=True)
    soft = softfx.soften(program, policy(**fields), example_inputs=(x,))
    value = soft(x)
    assert torch.equal(value, program(x.detach()))
    return float(torch.autograd.grad(value, x)[0])


def far(x: Tensor) -> Tensor:
    """One condition, which is 20 units away at the default softness: its margin is the spread."""
    return x * 0 + (1.0 if x > 1.0 else 0.0)


def far_choice(x: Tensor) -> Tensor:
    return x * 0 + float(torch.stack([x, torch.tensor(1.0), torch.tensor(0.9)]).argmax() == 0)


def near(x: Tensor) -> Tensor:
    return x * 0 + sum(1.0 for edge in (0.19, 0.21, 0.6, 1.0) if x > edge)


def one_near(x: Tensor) -> Tensor:
    return x * 0 + sum(1.0 for edge in (0.19, 0.6, 1.0) if x > edge)


def test_a_site_that_is_far_from_its_threshold_is_as_soft_as_two_units_away() -> None:
    p, unit = 1.0 / (1.0 + math.exp(2.0)), (1.0 - AT) / 2.0
    assert gradient(far, samples=0) == pytest.approx(p * (1.0 - p) / unit, rel=1e-4)


def test_the_second_nearest_of_several_conditions_is_two_units_away() -> None:
    unit = (0.6 - AT) / 2.0
    slopes = [p * (1.0 - p) / unit for p in (1.0 / (1.0 + math.exp(m / unit)) for m in (0.01, 0.4, 0.8))]
    assert gradient(one_near, samples=0) == pytest.approx(sum(slopes), rel=1e-4)


@pytest.mark.parametrize("fields", [{"samples": 0, "softness": 0.05}, {"samples": 1}])
def test_a_softness_that_is_given_and_drawn_paths_stay_as_they_are(fields: dict[str, Any]) -> None:
    assert abs(gradient(far, **fields)) < 1e-6


def test_a_schedule_gives_a_softness_too() -> None:
    x = torch.tensor(AT, requires_grad=True)
    soft = softfx.soften(far, policy(samples=0), example_inputs=(x,))
    softfx.set_softness(soft, 0.06)
    (found,) = torch.autograd.grad(soft(x), x)
    assert 0.0 < found < 1e-4


def test_a_choice_among_numbers_is_reached_for_as_well() -> None:
    assert gradient(far_choice, samples=0) > 1e-2 > abs(gradient(far_choice, samples=0, softness=0.05))


def test_a_site_with_two_conditions_near_their_thresholds_stays_as_it_is() -> None:
    assert gradient(near, samples=0) == gradient(near, samples=0, softness=0.05) > 1.0


def turn(weight: float) -> Turn:
    return Turn(lambda: (), weight, ((True, 1.0),), -1.0)


def test_what_is_nearly_certain_leaves_most_of_the_budget_to_the_others() -> None:
    many = [turn(0.25), turn(0.2), *(turn(1e-9) for _ in range(500))]
    found = inclusion(many, 8)
    assert found[:2] == [1.0, 1.0] and sum(found) == pytest.approx(8.0) and min(found) > 0.0
    one_open = [turn(0.02), *(turn(1e-9) for _ in range(99))]
    assert inclusion(one_open, 8)[0] == 1.0


def test_turns_without_any_weight_are_made_alike() -> None:
    assert inclusion([turn(0.0)] * 16, 8) == pytest.approx([0.5] * 16)
