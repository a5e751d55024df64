"""The derivative of control flow: unbiased, by an identity without step error, and with the hard value to the bit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
from softfx.control.paths import all_paths
from tests.softfx.control.programs import (
    PROGRAMS,
    Program,
    both,
    by_cond,
    heater,
    measured,
    nested,
    policy,
    settled,
    total,
)

DRAWS = 300
EACH = pytest.mark.parametrize("program", PROGRAMS, ids=repr)


def at(value: float) -> Tensor:
    return torch.tensor(value, requires_grad=True)


def softened(program: Program, action: str = "straight_through", **fields: Any) -> Any:
    generator = torch.Generator().manual_seed(0 if action == "soft" else 1)
    wanted = policy(action, **fields)
    return softfx.soften(program.function, wanted, example_inputs=(at(program.at),), generator=generator)


def gradient(soft: Any, x: Tensor) -> float:
    result = total(soft(x))
    (found,) = torch.autograd.grad(result, x, allow_unused=True) if result.requires_grad else (None,)
    return 0.0 if found is None else found.item()


@EACH
@pytest.mark.parametrize("turns", [8, 2])
def test_the_mean_of_estimates_over_an_interval_is_the_difference_of_its_ends(program: Program, turns: int) -> None:
    """Whatever the step: the mean of F' over [x - h, x + h] is (F(x + h) - F(x - h)) / (2 h)."""
    h = program.within
    soft, mean = softened(program, samples=1, softness=0.3, turns=turns), softened(program, "soft", softness=0.3)
    random = torch.Generator().manual_seed(2)
    places = (torch.arange(DRAWS) + torch.rand(DRAWS, generator=random)) / DRAWS
    estimates = torch.tensor([gradient(soft, at(program.at + h * (2 * place.item() - 1))) for place in places])
    with torch.no_grad():
        ends = [
            torch.stack([total(mean(torch.tensor(program.at + side * h))) for _ in range(DRAWS)]) for side in (1, -1)
        ]
    expected = (ends[0].mean() - ends[1].mean()) / (2 * h)
    error = math.sqrt(estimates.var() / DRAWS + (ends[0].var() + ends[1].var()) / DRAWS / (2 * h) ** 2)
    assert abs(estimates.mean() - expected) < 3.5 * error + 1e-3 * estimates.abs().max()


@EACH
@pytest.mark.parametrize("samples", [0, 1, 3])
def test_the_value_is_the_programs_own_bit_for_bit(program: Program, samples: int) -> None:
    soft = softened(program, samples=samples, softness=1.0)
    for offset in torch.linspace(-program.within, program.within, 5).tolist():
        x = at(program.at + offset)
        assert total(soft(x)).item() == total(program.function(x)).item()


# Of a real number there are infinitely many answers, and a tolerance that is never quite met has infinitely many paths.
COUNTABLE = [p for p in PROGRAMS if p.function not in (measured, heater, settled)]


@pytest.mark.parametrize("program", COUNTABLE, ids=repr)
def test_the_sum_over_all_paths_is_what_draws_tend_to(program: Program) -> None:
    exact, drawn = softened(program, exact=64, softness=0.3), softened(program, samples=400, softness=0.3)
    x = at(program.at)
    estimates = torch.tensor([gradient(softened(program, samples=1, softness=0.3), x)])
    assert estimates.isfinite().all()
    found = gradient(exact, x)
    assert found == gradient(exact, x), "it has no variance"
    assert gradient(drawn, x) == pytest.approx(found, rel=0.35, abs=0.35)  # 400 draws of a spread of about 3


def test_without_samples_later_decisions_are_the_programs_own() -> None:
    """Two decisions by hand: each is turned with the other as the program has it."""

    def program(x: Tensor) -> Tensor:
        a = 1.0 if x > 0.0 else 0.0
        return x * 0 + (a if x < 1.0 else 3.0)

    soft = softfx.soften(program, policy(samples=0, softness=1.0), example_inputs=(at(0.25),))
    x = at(0.25)
    p, q = (soft._softfx.evidence.control.spreads.of(site.id) for site in soft.report.sites if site.family == "control")
    expected = torch.sigmoid(x / p) * (1.0 - 0.0) + torch.sigmoid((1 - x) / q) * (1.0 - 3.0)
    assert gradient(soft, x) == pytest.approx(torch.autograd.grad(expected, x)[0].item(), rel=1e-5)


def test_one_tensor_is_one_decision() -> None:
    def program(x: Tensor) -> Tensor:
        up = x > 0.0
        a = 1.0 if up else 0.0
        return x * 0 + (a if up else -a)

    soft = softfx.soften(program, policy("soft", samples=1, softness=1.0), example_inputs=(at(0.01),))
    assert {soft(torch.tensor(0.01)).item() for _ in range(40)} == {0.0, 1.0}, "-1.0 is a path of no hard run"


def test_a_result_with_a_jump_carries_a_derivative_though_it_has_none_of_its_own() -> None:
    soft = softfx.soften(
        lambda x: torch.ones(2) if x > 0.0 else torch.zeros(2),
        policy(samples=0, softness=1.0),
        example_inputs=(at(0.1),),
    )
    x = at(0.1)
    result = soft(x)
    assert result.tolist() == [1.0, 1.0]
    assert torch.autograd.grad(result.sum(), x)[0] > 0


def test_a_second_derivative_raises() -> None:
    soft = softfx.soften(by_cond, policy(samples=0, softness=1.0), example_inputs=(at(0.41),))
    x = at(0.41)
    (first,) = torch.autograd.grad(soft(x), x, create_graph=True)
    with pytest.raises(softfx.ControlError, match="a second derivative is taken through control flow"):
        torch.autograd.grad(first, x)


def test_probabilities_that_are_not_finite_are_no_decision() -> None:
    soft = softfx.soften(both, policy(samples=1), example_inputs=(at(0.4),))
    x = at(math.nan)
    assert soft(x).isnan()
    (site,) = [site for site in soft.report.sites if site.family == "control"]
    assert "no probability: not finite" in site.reason


def test_all_paths_of_a_real_read_are_refused() -> None:
    with pytest.raises(softfx.ControlError, match="infinitely many values"):
        softfx.soften(measured, policy(exact=8), example_inputs=(at(1.3),))(at(1.3))


def test_where_there_are_too_many_paths_they_are_drawn_and_the_report_says_so() -> None:
    soft = softfx.soften(heater, policy(exact=3, samples=1), example_inputs=(at(17.0),))
    assert soft(at(17.0)).requires_grad
    assert any("more than 3 paths" in line for line in soft.report.control)
    assert all_paths.__doc__


def test_results_that_carry_nothing_are_told() -> None:
    def program(x: Tensor) -> tuple[Tensor, int]:
        return (x * 2, 1) if x > 0.0 else (x, 2)

    soft = softfx.soften(program, policy(samples=0), example_inputs=(at(0.01),))
    assert soft(at(0.01))[1] == 1
    assert "A result of type Python int carries no derivative of control flow." in soft.report.control


def test_nothing_of_the_kind_happens_by_default() -> None:
    soft = softfx.soften(nested, example_inputs=(at(0.5),))
    assert not [site for site in soft.report.sites if site.family == "control"]
    assert any('op = "@control"' in line and "9 forward passes" in line for line in soft.report.control)
    x = at(0.5)
    assert gradient(soft, x) == pytest.approx(gradient(nested, x))


def test_the_preset_lifted_turns_decisions_along_the_programs_own_path() -> None:
    soft = softfx.soften(by_cond, "lifted", example_inputs=(at(0.41),))
    softfx.set_softness(soft, {"@control": 1.0})
    assert gradient(soft, at(0.41)) > 5
    assert any("samples = 0" in line for line in soft.report.control)
