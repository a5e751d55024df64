"""The derivative is that of the smoothed program: over an interval its mean is the difference at the ends."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import softfx
from tests.softfx.control.programs import policy
from tests.softfx.control.simulators import SIMULATORS, Simulator


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
    places = 2 * (torch.arange(draws) + torch.rand(draws, generator=random)) / draws - 1
    found = []
    for place in places:
        x = (center + place * step).requires_grad_()
        value = soft(x)
        assert torch.equal(value, program.function(x))
        gradient = torch.autograd.grad(value, x)[0] if value.requires_grad else torch.zeros(len(center))
        found.append(gradient[coordinate])
    estimates = torch.stack(found).double()
    with torch.no_grad():
        ends = [torch.stack([smooth(center + side * step) for _ in range(draws)]).double() for side in (1, -1)]
    difference: Tensor = (ends[0].mean() - ends[1].mean()) / (2 * h)
    variance = estimates.var() + (ends[0].var() + ends[1].var()) / (2 * h) ** 2
    allowed = 3 * math.sqrt(variance / draws) + 1e-3 * estimates.abs().max().item()
    return abs(estimates.mean() - difference).item(), allowed


def _outside(draws: int, turns: int) -> tuple[list[str], int]:
    """The coordinates at which the two differ by more than they may, and how many there are."""
    outside, count = [], 0
    for program in SIMULATORS:
        for coordinate in range(len(program.at)):
            error, allowed = _error(program, coordinate, draws, turns)
            count += 1
            if error > allowed:
                outside.append(f"{program} {coordinate}: {error:.3g} above {allowed:.3g}")
    return outside, count


@pytest.mark.parametrize("turns", [8, 3])
def test_few_draws_of_each_simulator_agree_with_the_smoothed_program(turns: int) -> None:
    outside, count = _outside(40, turns)
    assert len(outside) <= 0.05 * count + 1, outside


@pytest.mark.draws
@pytest.mark.parametrize("turns", [8, 3])
def test_many_draws_of_each_simulator_agree_with_the_smoothed_program(turns: int) -> None:
    outside, count = _outside(4000, turns)
    assert len(outside) <= 0.05 * count, outside
