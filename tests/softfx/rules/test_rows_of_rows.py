"""Decisions about rows that a soft mask has selected: they are joined, asked, and selected by once more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx

X = torch.linspace(-1.3, 1.7, 17)
PAIRS = torch.stack((X, X.flip(0).square()), 1)
LESS = {"default": {"softness": 0.1, "mode": "smooth"}}


def above(x: Tensor, t: float) -> Tensor:
    return torch.sigmoid((x - t) / 0.1)


def thrice(x: Tensor) -> Tensor:
    rows = x[x > -0.5]
    rows = rows[rows < 0.9]
    return rows[rows > -0.1].sum()


def among_pairs(x: Tensor) -> Tensor:
    rows = x[x[:, 0] > -0.5]
    return rows[rows[:, 1] < 0.9].sum()


def of_others(x: Tensor) -> Tensor:
    mask = x > -0.5
    return torch.arange(17.0)[mask][x[mask] < 0.9].sum()


def at_places(x: Tensor) -> Tensor:
    places = (x > -0.5).nonzero()[:, 0]
    return torch.arange(17.0)[places[x[places] < 0.9]].sum()


def in_a_band(x: Tensor) -> Tensor:
    rows = x[x > -0.5]
    return rows[(rows < 0.9) & ~(rows < -0.1)].sum()


def cut_off(x: Tensor) -> Tensor:
    rows = x[x > -0.5]
    return torch.where(rows < 0.9, rows, 0.3).sum()


Program = Callable[[Tensor], Tensor]
CASES: dict[str, tuple[Program, Program, Tensor]] = {
    "selected by index three times": (
        thrice, lambda x: (x * above(x, -0.5) * above(-x, -0.9) * above(x, -0.1)).sum(), X,
    ),
    "rows with axes of their own": (
        among_pairs, lambda x: (x.sum(-1) * above(x[:, 0], -0.5) * above(-x[:, 1], -0.9)).sum(), PAIRS,
    ),
    "other rows of the same mask": (
        of_others, lambda x: (torch.arange(17.0) * above(x, -0.5) * above(-x, -0.9)).sum(), X,
    ),
    "places": (at_places, lambda x: (torch.arange(17.0) * above(x, -0.5) * above(-x, -0.9)).sum(), X),
    "two decisions joined": (
        in_a_band, lambda x: (x * above(x, -0.5) * above(-x, -0.9) * (1 - above(-x, 0.1))).sum(), X,
    ),
    "where": (
        cut_off, lambda x: (above(x, -0.5) * (above(-x, -0.9) * x + (1 - above(-x, -0.9)) * 0.3)).sum(), X,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("program", "soft_form", "x"), CASES.values(), ids=CASES)
def test_the_derivative_is_that_of_both_decisions(program: Program, soft_form: Program, x: Tensor) -> None:
    x = x.clone().requires_grad_()
    soft = softfx.soften(program, LESS, example_inputs=(x,))
    assert {site.action for site in soft.report.sites} == {"straight_through"}
    assert torch.equal(soft(x), program(x))
    (found,), (expected,) = torch.autograd.grad(soft(x), x), torch.autograd.grad(soft_form(x), x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_decided_about_rows_is_measured_there() -> None:
    x = X.clone().requires_grad_()
    for factor in (1.0, 1000.0):
        program = lambda x, f=factor: (lambda rows: rows[rows < 0.9 * f].sum())(x[x > -0.5 * f])  # noqa: E731
        soft = softfx.soften(program, example_inputs=(factor * x,))
        (_, inner) = soft.report.sites
        assert inner.softness == pytest.approx(0.2 * factor * 0.68, rel=0.1)


def test_rows_of_two_masks_are_not_mixed() -> None:
    def program(x: Tensor) -> Tensor:
        return x[x > 0.0][x[x < 0.0] > -0.5].sum()

    x = torch.linspace(-1.0, 1.0, 16, requires_grad=True)
    report = softfx.check(program, example_inputs=(x,))
    assert any("rows" in site.reason and site.action == "blocked" for site in report.sites)
