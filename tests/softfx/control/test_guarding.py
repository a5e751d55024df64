"""Light runs whose operations are guarded have the derivatives of watched runs, and are left where they would not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, sqrt

import softfx
from softfx.pipeline.control_runs import ControlRuns
from tests.softfx.control.programs import policy
from tests.softfx.control.test_light import made

ROOTS: list[Callable[[Tensor], Tensor]] = [sqrt, Tensor.sqrt, torch.square]
CALLS = 5
NEVER = torch.zeros(3, dtype=torch.bool)


def powers(x: Tensor) -> Tensor:
    """The squared error of a small tree whose leaves are parameters."""
    total = torch.zeros(())
    for number in (0.1, 0.4, 0.7):
        leaf = x[1] if x[0] > number else x[2]
        total = total + (leaf - number) ** 2 + 2.0**leaf
    return total


def quotients(x: Tensor) -> Tensor:
    """An iteration that divides until it moves little, by operators that Python reflects."""
    y, rounds = x[0] + 1.0, 0
    while (y * y - 2.0).abs() > x[1] and rounds < 8:
        y, rounds = (y + 2.0 / y) / 2, rounds + 1
    return y / x[2] + rounds


def by_other_names(x: Tensor) -> Tensor:
    """Functions that are not called by the names that torch has them under."""
    total = torch.zeros(())
    for root in ROOTS:
        total = total + (root(x[0] - 0.2) if x[0] > 0.4 else root(x[1]))
    return total


def unselected(x: Tensor) -> Tensor:
    """A root whose derivative is infinite, in the branch of a `where` that is not selected."""
    y = x - x
    roots = torch.where(NEVER, sqrt(y), x * 2)
    return roots.sum() if x[0] > 0.45 else roots.sum() * 3


def infinite(x: Tensor) -> Tensor:
    """A factor that is infinite in the branch of a `where` that is not selected."""
    y = x - x
    products = torch.where(NEVER, y.log() * y, x * 2)
    return products.sum() if x[0] > 0.45 else products.sum() * 3


def in_place(x: Tensor) -> Tensor:
    """A root that takes the place of its operand."""
    y = x * 1.5
    y.sqrt_()
    return y.sum() if x[0] > 0.45 else y.sum() * 3


def normalized(x: Tensor) -> Tensor:
    """A function of torch that is Python inside, and divides."""
    y = torch.nn.functional.normalize(x, dim=0)
    return y[0] if x[0] > 0.45 else y[1] * 3


ALL = [powers, quotients, by_other_names, unselected, infinite, in_place, normalized]
LIGHTLY = [powers, quotients, by_other_names, unselected, normalized]


def gradients(program: Any, samples: int, **fields: Any) -> list[Tensor]:
    """Values and gradients of calls in a row."""
    at, generator = torch.tensor([0.5, 0.3, 0.6]), torch.Generator().manual_seed(3)
    chosen = policy(samples=samples, softness=0.3)
    chosen["rule"].append(fields) if fields else None
    soft = softfx.soften(program, chosen, example_inputs=(at.requires_grad_(),), generator=generator)
    found = []
    for call in range(CALLS):
        x = (at.detach() + 0.01 * call).requires_grad_()
        value = soft(x)
        found += [value.detach(), *torch.autograd.grad(value, x)]
    return found


@pytest.mark.parametrize("samples", [0, 2])
@pytest.mark.parametrize("program", ALL)
def test_they_give_what_watched_runs_give(program: Any, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    light = gradients(program, samples)
    monkeypatch.setattr(ControlRuns, "_lightens", lambda self, wanted: False)
    torch.testing.assert_close(light, gradients(program, samples))
    assert all(map(torch.all, map(torch.isfinite, light)))


@pytest.mark.parametrize("program", LIGHTLY)
def test_guarded_calls_are_made_in_light_runs(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor([0.5, 0.3, 0.6], requires_grad=True)
    soft = softfx.soften(program, policy(samples=0, softness=0.3), example_inputs=(x,))
    for _ in range(4):
        soft(x)
    assert any(site.action == "guard" for site in soft.report.sites)
    counts = made(monkeypatch)
    soft(x)
    assert counts["_watched"] == 0 and counts["_lightly"] > 1


@pytest.mark.parametrize("program", [infinite, in_place])
def test_what_a_guard_cannot_do_alone_is_watched(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor([0.5, 0.3, 0.6], requires_grad=True)
    soft = softfx.soften(program, policy(samples=0, softness=0.3), example_inputs=(x,))
    for _ in range(4):
        soft(x)
    counts = made(monkeypatch)
    soft(x)
    assert counts["_watched"] > 0


def test_a_guard_that_the_policy_keeps_is_kept() -> None:
    found = gradients(unselected, 0, op="sqrt", action="keep")
    assert found[-1].isnan().any()


def roots_later(x: Tensor, roots: bool) -> Tensor:
    y = x - x
    z = torch.where(NEVER, sqrt(y), x) if roots else x.square()
    return z.sum() if x[0] > 0.45 else z.sum() * 3


def test_a_site_that_no_run_has_met_is_guarded() -> None:
    x = torch.tensor([0.5, 0.3, 0.6], requires_grad=True)
    soft = softfx.soften(roots_later, policy(samples=0, softness=0.3), example_inputs=(x, False))
    for _ in range(4):
        soft(x, False)
    (gradient,) = torch.autograd.grad(soft(x, True), x)
    assert gradient.isfinite().all() and (gradient != 0).any()
