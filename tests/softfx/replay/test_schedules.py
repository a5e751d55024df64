"""Softness that changes from step to step: one recording serves all of a schedule, and gives what is interpreted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from softfx.replay.softness import SiteSoftness
from softfx.rules import RULES
from tests.helpers import Outcome, assert_same, outcome
from tests.softfx.replay.recorded import CALLS, deciding, inputs, softened, tapes_of, unrecorded

SCHEDULE = [0.5 * 0.8**step for step in range(2 * CALLS)]


def looping(x: Tensor, y: Tensor) -> Tensor:
    for scale in (1.0, 10.0, 100.0):
        x = (x * scale > y).float() * x + x
    return x


def asking(x: Tensor, y: Tensor) -> Tensor:
    """A program that asks for what made a number, which is another thing in each run."""
    made = (x * y).grad_fn
    return (x > y).float() * x if made is not None else x


def scheduled(soft: Any, settings: list[Any], given: tuple[Tensor, ...]) -> list[Outcome]:
    found = []
    for setting in settings:
        softfx.set_softness(soft, setting)
        found.append(outcome(soft, given, catch=True))
    return found


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("policy", ["gradients", "straight-through"])
@pytest.mark.parametrize("program", [deciding, looping, asking])
def test_a_schedule_goes_by_one_recording(program: Callable[..., Any], policy: str, relative: bool) -> None:
    settings = [{"relative": number} if relative else number for number in SCHEDULE]
    soft, other = softened(program, *inputs(), policy=policy), unrecorded(softened(program, *inputs(), policy=policy))
    for ours, theirs in zip(scheduled(soft, settings, inputs()), scheduled(other, settings, inputs()), strict=True):
        assert_same(ours, theirs)
    assert soft.report.to_dict() == other.report.to_dict()
    (tape,) = tapes_of(soft)
    assert (tape.replayed, tape.left) == (len(SCHEDULE) - 2, 0)


def test_each_step_has_its_own_softness() -> None:
    x = inputs(1)[0].requires_grad_()
    soft = softened(lambda x: torch.sigmoid(8 * x).round() * x, x)
    found = []
    for softness in SCHEDULE:
        softfx.set_softness(soft, softness)
        found.append(torch.autograd.grad(soft(x).sum(), x)[0])
    assert all(not torch.allclose(one, other) for one, other in itertools.pairwise(found))


def shifted(context: Any, input: Tensor, values: Tensor) -> Tensor:
    """The relaxation of a rule that computes with its softness."""
    return context.call(torch.sigmoid, context.call(torch.div, input, 2 * context.options["softness"]))


def test_a_rule_that_computes_with_its_softness_is_recorded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> Any:
        return softened(lambda x, y: torch.heaviside(x, y.detach()) * x, *inputs(), policy="straight-through")

    monkeypatch.setitem(RULES, "heaviside", replace(RULES["heaviside"], relax=shifted))
    soft, other = made(), unrecorded(made())
    settings = [0.3] * CALLS + [0.1] * CALLS
    for ours, theirs in zip(scheduled(soft, settings, inputs()), scheduled(other, settings, inputs()), strict=True):
        assert_same(ours, theirs)
    (tape,) = tapes_of(soft)
    assert tape.is_of_softness and tape.replayed == CALLS - 2  # of the second softness


def test_a_soft_form_gets_a_plain_number() -> None:
    found: list[type] = []

    def form(x: Tensor, softness: float = 0.1) -> Tensor:
        found.append(type(softness))
        return softtorch.sign(x, softness=softness)

    with softfx.registered_rule(torch.special.i1e, form, op="test_i1e", options=("softness",)):
        soft = softened(torch.special.i1e, *inputs(1), policy="straight-through")
        scheduled(soft, [0.3] * CALLS, inputs(1))
    assert set(found[-CALLS:]) == {float}  # a graph was written with a tensor of none


@pytest.mark.parametrize(
    "compute", [lambda s: s * 2, lambda s: 2 - s, lambda s: s < 1, lambda s: -s, bool, float, round]
)
def test_what_is_computed_with_a_softness_is_noticed(compute: Callable[[Any], Any]) -> None:
    found: list[int] = []
    softness = SiteSoftness.of(0.5, 0, None, lambda: found.append(0))
    assert hash(softness) == hash(0.5) and not found
    assert compute(softness) == compute(0.5)
    assert type(compute(softness)) is type(compute(0.5)) and found
