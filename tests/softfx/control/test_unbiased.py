"""The derivative is that of the smoothed program: over an interval its mean is the difference at the ends."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import softfx
from tests.softfx.control.errands import ERRANDS
from tests.softfx.control.programs import policy
from tests.softfx.control.records import RECORDS
from tests.softfx.control.simulators import SIMULATORS, Simulator
from tests.softfx.control.worlds import WORLDS


def _error(program: Simulator, coordinate: int, draws: int, turns: int) -> tuple[float, float]:
    """By how much the two differ along one coordinate, and how much they may: three standard errors."""
    h, center = program.within, torch.tensor(program.at)
    step = h * torch.eye(len(center))[coordinate]

    def softened(action: str, seed: int) -> softfx.SoftFunction:
        generator = torch.Generator().manual_seed(seed)
        wanted = policy(action, softness=0.3, samples=1, turns=turns)
        example = (center.clone().requires_grad_(),)
        return softfx.soften(program.function, wanted, example_inputs=example, generator=generator)

    soft, smooth = softened("straight_through", 1), softened("soft", 2)
    random = torch.Generator().manual_seed(3)
    torch.manual_seed(4)  # of what the program draws itself
    places = 2 * (torch.arange(draws) + torch.rand(draws, generator=random)) / draws - 1
    found = []
    for place in places:
        x = (center + place * step).requires_grad_()
        state = torch.get_rng_state()
        value = soft(x)
        torch.set_rng_state(state)
        assert torch.equal(value, program.function(x.detach()))
        gradient = torch.autograd.grad(value, x)[0] if value.requires_grad else torch.zeros(len(center))
        found.append(gradient[coordinate])
    estimates = torch.stack(found).double()
    with torch.no_grad():
        ends = [torch.stack([smooth(center + side * step) for _ in range(draws)]).double() for side in (1, -1)]
    difference: Tensor = (ends[0].mean() - ends[1].mean()) / (2 * h)
    variance = estimates.var() + (ends[0].var() + ends[1].var()) / (2 * h) ** 2
    allowed = 3 * math.sqrt(variance / draws) + 1e-3 * estimates.abs().max().item()
    return abs(estimates.mean() - difference).item(), allowed


def _outside(programs: list[Simulator], draws: int, turns: int) -> tuple[list[str], int]:
    """The coordinates at which the two differ by more than they may, and how many there are."""
    outside, count = [], 0
    for program in programs:
        for coordinate in range(len(program.at)):
            error, allowed = _error(program, coordinate, draws, turns)
            count += 1
            if error > allowed:
                outside.append(f"{program} {coordinate}: {error:.3g} above {allowed:.3g}")
    return outside, count


@pytest.mark.parametrize("turns", [8, 3])
def test_few_draws_of_each_simulator_agree_with_the_smoothed_program(turns: int) -> None:
    outside, count = _outside(SIMULATORS, 40, turns)
    assert len(outside) <= 0.05 * count + 1, outside


@pytest.mark.parametrize("program", [*WORLDS, *ERRANDS, *RECORDS], ids=repr)
def test_a_call_has_the_hard_value_and_the_same_derivative_twice_and_leaves_no_trace(program: Simulator) -> None:
    def calls() -> tuple[list[Tensor], Tensor]:
        torch.manual_seed(0)
        x = torch.tensor(program.at).requires_grad_()
        soft = softfx.soften(program.function, policy(softness=0.3, samples=1, seed=1), example_inputs=(x,))
        found = []
        for offset in (-1.0, 1.0):
            place = (x.detach() + offset * program.within).requires_grad_()
            state = torch.get_rng_state()
            value = soft(place)
            after = torch.get_rng_state()
            torch.set_rng_state(state)
            assert torch.equal(value, program.function(place.detach()))
            assert torch.equal(torch.get_rng_state(), after)
            found.append(torch.autograd.grad(value, place)[0])
        return found, torch.get_rng_state()

    first, second = calls(), calls()
    assert all(map(torch.equal, first[0], second[0])) and torch.equal(first[1], second[1])


@pytest.mark.draws
@pytest.mark.parametrize("turns", [8, 3])
@pytest.mark.parametrize(
    "programs", [SIMULATORS, WORLDS, ERRANDS, RECORDS], ids=["simulators", "worlds", "errands", "records"]
)
def test_many_draws_of_each_program_agree_with_the_smoothed_one(programs: list[Simulator], turns: int) -> None:
    outside, count = _outside(programs, 4000, turns)
    assert len(outside) <= 0.05 * count, outside
