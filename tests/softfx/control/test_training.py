"""Training by control flow: schedules that measure spreads again, and the best iterate."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.decisions.spreads import Spreads, mean_difference
from tests.softfx.control.programs import heater, policy


def spread(soft: object) -> float:
    state = soft._softfx  # type: ignore[attr-defined]  # of whatever soften returned
    (site,) = [decision.id for decision in state.sites if decision.rule.family == "control"]
    found: float = state.evidence.control.spreads.of(site)
    return found


def scaled(x: Tensor, scale: Tensor) -> Tensor:
    total = x * 0
    for edge in (1.0, 2.0, 4.0):
        total = total + (x if x * scale > edge * scale else -x)
    return total


@pytest.mark.parametrize("samples", [0, 1])
@pytest.mark.parametrize("remeasure", [True, False])
def test_a_schedule_has_the_spreads_measured_again_unless_the_policy_keeps_them(samples: int, remeasure: bool) -> None:
    x = torch.tensor(3.0, requires_grad=True)
    wanted = policy(samples=samples, remeasure=remeasure)
    soft = softfx.soften(scaled, wanted, example_inputs=(x, torch.tensor(1.0)))
    before = spread(soft)
    soft(x, torch.tensor(10.0))
    assert spread(soft) == before, "it stays within a schedule's step"
    schedule = softfx.GeometricSoftness(soft, total_iters=4)
    schedule.step()
    soft(x, torch.tensor(10.0))
    assert spread(soft) == pytest.approx(10 * before if remeasure else before)


def test_the_spread_is_the_mean_difference_of_margins_and_else_their_mean_size() -> None:
    assert mean_difference([1.0, 2.0, 4.0]) == pytest.approx(2.0)
    spreads = Spreads()
    spreads.met(0, [2.0, 2.0])
    spreads.met(1, [0.0])
    spreads.met(2, [math.nan, math.inf])
    spreads.settle()
    assert [spreads.of(site) for site in (0, 1, 2)] == [2.0, 2.0, 2.0]
    assert Spreads().of(5) == 1.0


def test_adam_finds_the_optimum_that_a_grid_finds() -> None:
    """The unsoftened program's derivative does not see that a target decides how often heating is on."""
    grid = torch.linspace(12.0, 22.0, 400)
    costs = torch.stack([heater(x) for x in grid])
    target = nn.Parameter(torch.tensor(13.0))
    start = heater(target).item()
    torch.manual_seed(0)
    soft = softfx.soften(heater, policy(samples=1), example_inputs=(target,))
    optimizer, best = torch.optim.Adam([target], lr=0.2), softfx.KeepBest([target])
    schedule = softfx.GeometricSoftness(soft, total_iters=60)
    for _ in range(60):
        optimizer.zero_grad()
        cost = soft(target)
        best.update(cost)
        cost.backward()
        optimizer.step()
        schedule.step()
    best.restore()
    assert heater(target).item() == pytest.approx(best.loss)
    assert (best.loss - costs.min()) / (start - costs.min()) <= 0.05


def test_the_best_parameters_are_kept_and_a_loss_that_is_no_number_never_is_the_best() -> None:
    layer = nn.Linear(1, 1)
    best = softfx.KeepBest(layer)
    before = layer.weight.detach().clone()
    assert best.update(torch.tensor(1.0)) and not best.update(math.nan) and not best.update(1.0)
    with torch.no_grad():
        layer.weight.add_(1.0)
    saved = best.state_dict()
    best.restore()
    assert torch.equal(layer.weight, before)
    other = softfx.KeepBest(layer)
    other.load_state_dict(saved)
    assert other.loss == 1.0


def test_nothing_to_keep_is_refused() -> None:
    with pytest.raises(softfx.ScheduleError, match="there are no parameters to keep"):
        softfx.KeepBest([])


def test_a_site_that_drawn_paths_alone_meet_is_measured_without_gradients_too() -> None:
    def program(x: Tensor) -> Tensor:
        if x > 0.5:
            return x + 1.0 if x > -3.0 else x  # the program itself never comes here
        return x * 2.0

    x = torch.tensor(0.4)
    soft = softfx.soften(program, policy("soft", samples=1, seed=0, softness=1.0), example_inputs=(x,))
    with torch.no_grad():
        for _ in range(20):
            soft(x)
    state = soft._softfx
    control = [site.id for site in state.sites if site.rule.family == "control"]
    found = [state.evidence.control.spreads.of(site) for site in control]
    assert found == pytest.approx([0.1, 3.4]), "of a site that is not measured it is the mean of the others'"
