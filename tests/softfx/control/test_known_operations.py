"""torch.cond and while_loop, and conditions that guard: which are decisions, and what they may be blended to."""

from __future__ import annotations

import dis
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
from softfx.control.guards import guards
from tests.softfx.control.programs import policy


def at(*values: float) -> Tensor:
    return torch.tensor(values, requires_grad=True)


def control(soft: Any) -> list[Any]:
    return [site for site in soft.report.sites if site.family == "control"]


def two_conds(x: Tensor) -> Tensor:
    first = torch.cond(x[0] > 0.4, lambda t: t * 2, lambda t: t - 1, (x[0],))
    second: Tensor = torch.cond(x[1] > 0.4, lambda t: t * 3, lambda t: t - 2, (x[1],))
    return first + second


def mean_of_conds(x: Tensor, spreads: list[float]) -> Tensor:
    """What `two_conds` is in the mean, by hand."""
    p, q = (torch.sigmoid((x[i] - 0.4) / spreads[i]) for i in (0, 1))
    return p * 2 * x[0] + (1 - p) * (x[0] - 1) + q * 3 * x[1] + (1 - q) * (x[1] - 2)


def spreads(soft: Any) -> list[float]:
    return [soft._softfx.evidence.control.spreads.of(s.id) for s in soft._softfx.sites if s.rule.family == "control"]


@pytest.mark.parametrize("action", ["straight_through", "soft"])
@pytest.mark.parametrize("samples", [0, 1])
def test_a_blended_cond_is_the_weighted_mean_of_its_branches(action: str, samples: int) -> None:
    x = at(0.5, 0.3)
    wanted = policy(action, samples=samples, softness=1.0)
    wanted["rule"][0]["estimator"] = "blend"
    soft = softfx.soften(two_conds, wanted, example_inputs=(x,))
    mean = mean_of_conds(x, spreads(soft))
    value = soft(x)
    assert value == x[0] * 2 + x[1] - 2 if action == "straight_through" else torch.allclose(value, mean)
    torch.testing.assert_close(torch.autograd.grad(value, x), torch.autograd.grad(mean, x))
    with torch.no_grad():
        assert torch.equal(soft(x), value)
    assert any("blend" in line and "biased" in line for line in soft.report.control)


def test_a_blended_cond_turns_no_run_and_other_decisions_go_on() -> None:
    def program(x: Tensor) -> Tensor:
        y = torch.cond(x[0] > 0.4, lambda t: t * 2, lambda t: t - 1 if t > 0.1 else t, (x[0],))
        return y * 3 if x[1] > 0.2 else y - 1

    x = at(0.5, 0.3)
    wanted = policy(samples=0, softness=1.0)
    wanted["rule"].append({"op": "cond", "estimator": "blend"})
    soft = softfx.soften(program, wanted, example_inputs=(x,))
    (gradient,) = torch.autograd.grad(soft(x), x)
    p, q = (torch.sigmoid((x[i] - edge) / s) for i, edge, s in zip((0, 1), (0.4, 0.2), spreads(soft), strict=True))
    y = torch.lerp(x[0] - 1, x[0] * 2, p)
    blended = torch.autograd.grad(3 * (y + (x[0] * 2 - y).detach()), x)[0]  # along the path that is taken
    turned = torch.autograd.grad(q, x)[0] * (3 * 1.0 - (1.0 - 1))
    torch.testing.assert_close(gradient, blended + turned)


@pytest.mark.parametrize("other", [lambda t: t / 0.0, lambda t: [][1]], ids=["infinite", "raises"])
def test_a_branch_without_a_result_is_told(other: Callable[[Tensor], Tensor]) -> None:
    def program(x: Tensor) -> Tensor:
        result: Tensor = torch.cond(x > 0.4, lambda t: t * 2, other, (x,))
        return result

    x = torch.tensor(0.5, requires_grad=True)
    wanted = policy(samples=0, softness=1.0)
    wanted["rule"][0]["estimator"] = "blend"
    soft = softfx.soften(program, wanted, example_inputs=(x,))
    assert torch.autograd.grad(soft(x), x)[0] == 2.0
    assert "dropped 1 of 1 time" in control(soft)[0].reason


def test_each_cond_is_a_site_of_its_own() -> None:
    x = at(0.5, 0.3)
    soft = softfx.soften(two_conds, policy(samples=0, softness=1.0), example_inputs=(x,))
    for _ in range(2):
        torch.autograd.grad(soft(x), x)
    assert [("met 2 times" in site.reason, site.op) for site in control(soft)] == [(True, "cond")] * 2


def counted_down(x: Tensor) -> Tensor:
    def body(y: Tensor, rounds: Tensor) -> tuple[Tensor, Tensor]:
        return y * 0.7, rounds + 1.0

    y, rounds = torch.while_loop(lambda y, rounds: y > 0.3, body, (x * 1.0, torch.zeros(())))
    return y + 0.2 * rounds


def in_python(x: Tensor) -> Tensor:
    y, rounds = x * 1.0, torch.zeros(())
    while y > 0.3:
        y, rounds = y * 0.7, rounds + 1.0
    return y + 0.2 * rounds


def test_a_while_loop_has_the_derivative_of_the_same_loop_in_python() -> None:
    x = torch.tensor(1.0, requires_grad=True)
    found = []
    for program in (counted_down, in_python):
        soft = softfx.soften(program, policy(samples=0, softness=0.1), example_inputs=(x,))
        value = soft(x)
        found.append((value.detach(), torch.autograd.grad(value, x)[0]))
    assert found[0][0] == found[1][0]
    # In Python's bytecode the first test of a loop stands apart, and has a spread of its own.
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0.3, atol=0.0)


def guarded(x: Tensor) -> Tensor:
    assert x > 0.0, "negative"
    if x > 2.0:
        raise ValueError(f"{x} is too much")
    if not (x < 1.9):
        print("large")
        raise ValueError
    return x * 2 if x > 0.5 else x


def test_conditions_that_guard_are_not_turned_and_the_report_says_so() -> None:
    x = torch.tensor(0.1, requires_grad=True)
    soft = softfx.soften(guarded, policy(samples=1, softness=3.0, seed=0), example_inputs=(x,))
    for _ in range(10):
        torch.autograd.grad(soft(x), x)
    *guards_of_it, last = control(soft)
    assert [site.action for site in guards_of_it] == ["keep"] * 3 and last.action == "straight_through"
    assert all("raises an error" in site.reason for site in guards_of_it)
    assert not any("replaced" in line or "no result" in line for line in soft.report.control)


def test_a_value_that_is_kept_or_both_of_whose_ways_go_on_is_no_guard() -> None:
    def program(x: float) -> float:
        kept = bool(x)
        if x > 1:
            x = 2.0
        while x:
            x += 1
            if x > 5 and kept:
                raise ValueError
        return x

    code = program.__code__
    reads = [step.offset for step in dis.get_instructions(code) if "_IF_" in step.opname or step.opname == "CALL"]
    assert [guards(code, offset) for offset in reads].count(True) == 1, "of kept alone"


@pytest.mark.parametrize("same", [Tensor.int, Tensor.contiguous, Tensor.cpu, lambda n: n.to(torch.int32)])
def test_a_cast_that_gives_its_operand_back_leaves_what_is_known_of_it(same: Callable[[Tensor], Tensor]) -> None:
    def program(x: Tensor) -> Tensor:
        count = same((x > 0.5).sum().to(torch.int32))
        return x.sum() * 2 if count > 1 else x.sum()

    x = at(0.2, 0.6, 0.9)
    soft = softfx.soften(program, "lifted", example_inputs=(x,))
    (site,) = control(soft)
    assert site.action == "straight_through"
    assert torch.equal(soft(x), program(x))
