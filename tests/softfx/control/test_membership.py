"""Masks that give a result its shape: each element is a decision, where a policy has it so."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
from tests.softfx.control.programs import policy

X = torch.tensor([0.2, 0.5, 0.9, 1.4])


def selected(edge: Tensor) -> Tensor:
    kept = X[edge < X]
    return 0.5 * kept.sort().values.sum() + 0.1 * len(kept)


def indexed(edge: Tensor) -> Tensor:
    places = (edge < X).nonzero()[:, 0]
    return X[places].prod() + 0.1 * places.shape[0]


def both(edge: Tensor) -> Tensor:
    mask = (edge < X) & (edge + 0.8 > X)
    kept = torch.masked_select(X, mask)
    return kept.prod() if kept.numel() > 1 else kept.sum() - 1.0


PROGRAMS = pytest.mark.parametrize("program", [selected, indexed], ids=lambda program: program.__name__)


def softened(program: Callable[[Tensor], Tensor], **fields: Any) -> tuple[Any, Tensor]:
    edge = torch.tensor(0.45, requires_grad=True)
    wanted = policy(softness=0.3, seed=0, **fields)
    wanted["rule"][0]["estimator"] = "membership"
    return softfx.soften(program, wanted, example_inputs=(edge,)), edge


def mean(program: Callable[[Tensor], Tensor], soft: Any, edge: Tensor) -> Tensor:
    """The smoothed program by hand: the sum over all masks."""
    (site,) = [decision.id for decision in soft._softfx.sites if decision.rule.name == "membership"]
    p = torch.sigmoid((X - edge) / (0.3 * soft._softfx.evidence.control.spreads.of(site)))
    total = torch.zeros(())
    for chosen in itertools.product([False, True], repeat=len(X)):
        mask = torch.tensor(chosen)
        kept = X[mask]
        result = 0.5 * kept.sum() if program is selected else kept.prod()
        total = total + torch.where(mask, p, 1.0 - p).prod() * (result + 0.1 * len(kept))
    return total


@PROGRAMS
def test_the_derivative_is_that_of_the_sum_over_all_masks(program: Callable[[Tensor], Tensor]) -> None:
    soft, edge = softened(program, samples=1)
    draws = 60
    found = torch.stack([torch.autograd.grad(soft(edge), edge)[0] for _ in range(draws)])
    (expected,) = torch.autograd.grad(mean(program, soft, edge), edge)
    assert abs(found.mean() - expected) < 3.5 * found.std() / draws**0.5 + 1e-4


@pytest.mark.parametrize("program", [selected, indexed, both], ids=lambda program: program.__name__)
@pytest.mark.parametrize("samples", [0, 2])
def test_the_value_is_the_programs_own(program: Callable[[Tensor], Tensor], samples: int) -> None:
    soft, _ = softened(program, samples=samples)
    for number in (0.1, 0.45, 0.95):
        edge = torch.tensor(number, requires_grad=True)
        value = soft(edge)
        assert torch.equal(value, program(edge.detach())) and torch.autograd.grad(value, edge)[0].isfinite()


def test_rows_that_leave_have_another_shape_and_it_is_told() -> None:
    soft, edge = softened(lambda edge: X[edge < X] * 1.0, samples=0)
    soft(edge)
    (site,) = [site for site in soft.report.sites if site.op == "membership"]
    assert "a result of another shape" in site.reason


@pytest.mark.parametrize(
    ("program", "turns"),
    [
        (lambda edge, x: x[edge < x].sum(), False),
        (lambda edge, x: x[torch.where(edge < x)[0]].mean(), False),
        (lambda edge, x: x[edge < x].median(), True),
        (lambda edge, x: x.sum() * len(x[edge < x]), True),
        (lambda edge, x: x.sum() * torch.where(edge < x)[0].numel(), True),
        (lambda edge, x: sum((row * row for row in x[edge < x]), torch.zeros(())), True),
    ],
)
def test_without_the_estimator_elements_are_turned_where_soft_rows_arrive_nowhere(
    program: Callable[..., Tensor], turns: bool
) -> None:
    edge = torch.tensor(0.45, requires_grad=True)
    wanted = {"rule": policy(samples=0, softness=0.3)["rule"]}
    soft = softfx.soften(lambda edge: program(edge, X), wanted, example_inputs=(edge,))
    value = soft(edge)
    assert torch.equal(value, program(edge, X)) and torch.autograd.grad(value, edge)[0] != 0
    (site,) = [site for site in soft.report.sites if site.op == "membership"]
    assert site.action == ("straight_through" if turns else "keep")


def test_of_whole_numbers_each_is_a_decision_where_it_counts_how_many_are_different() -> None:
    def program(x: Tensor) -> Tensor:
        numbers, counts = torch.unique((3 * x).long(), return_counts=True)
        return x.sum() * len(numbers) + counts.max()

    x = torch.tensor([0.2, 0.3, 0.9], requires_grad=True)
    soft = softfx.soften(program, policy(exact=64), example_inputs=(x,))
    value = soft(x)
    (found,) = torch.autograd.grad(value, x)
    assert torch.equal(value, program(x))
    counts = (3 * x - 0.5).clamp(min=0.0)  # each is its floor or one more, with the rest as probability
    mean = torch.zeros(())
    for up in itertools.product([0, 1], repeat=3):
        numbers, rest = counts.floor() + torch.tensor(up), counts - counts.floor()
        p = torch.where(torch.tensor(up) == 1, rest, 1.0 - rest).prod()
        unique, often = torch.unique(numbers, return_counts=True)
        mean = mean + p * (x.sum() * len(unique) + often.max())
    torch.testing.assert_close(found, torch.autograd.grad(mean, x)[0])


@PROGRAMS
def test_all_masks_are_enumerated_where_they_are_few(program: Callable[[Tensor], Tensor]) -> None:
    soft, edge = softened(program, exact=16)
    (expected,) = torch.autograd.grad(mean(program, soft, edge), edge)
    torch.testing.assert_close(torch.autograd.grad(soft(edge), edge)[0], expected)
    soft, edge = softened(program, exact=8)
    soft(edge)
    assert any("more than 8 paths" in line for line in soft.report.control)


def test_a_mask_that_is_too_large_is_told() -> None:
    many = torch.linspace(0.0, 1.0, 5000)
    edge = torch.tensor(0.45, requires_grad=True)
    wanted = policy(samples=0)
    wanted["rule"][0]["estimator"] = "membership"
    soft = softfx.soften(lambda edge: many[many > edge].sum(), wanted, example_inputs=(edge,))
    value = soft(edge)
    assert value == many[many > 0.45].sum()
    (site,) = [site for site in soft.report.sites if site.op == "membership"]
    assert site.action == "blocked" or "more than 4096 elements" in site.reason


def _kept_by_value(x: Tensor, y: Tensor) -> Tensor:
    return y[x <= 0.3].mean()


def _kept_in_a_block(x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        keep = x <= 0.3
    return y[keep].mean()


def _chosen_in_a_block(x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        places = torch.arange(len(x))[x <= 0.3]
    return y[places].mean()


@pytest.mark.parametrize("program", [_kept_in_a_block, _chosen_in_a_block])
def test_rows_selected_in_a_lifted_block_are_those_selected_outside_of_one(program: Callable[..., Tensor]) -> None:
    def softened(function: Callable[..., Tensor]) -> tuple[Tensor, list[tuple[str, str]]]:
        x = torch.tensor([0.1, 0.2, 0.5, 0.9, -0.3], requires_grad=True)
        soft = softfx.soften(function, "lifted", example_inputs=(x, torch.arange(5.0)))
        (gradient,) = torch.autograd.grad(soft(x, torch.arange(5.0)), x)
        return gradient, [(site.op, site.action) for site in soft.report.sites]

    expected, sites = softened(_kept_by_value)
    gradient, found = softened(program)
    assert found == sites == [("le", "straight_through"), ("membership", "keep")]
    assert torch.equal(gradient, expected)
