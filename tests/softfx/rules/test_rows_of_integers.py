"""Rows that a soft mask selects and that stand for integers or bools: counted, compared, cast; and their variances."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import gradient, identical

TINY = {"preset": "smooth", "default": {"softness": 1e-6, "mode": "smooth"}}
X = torch.tensor([
    [0.9, -0.4, 1.3, -0.2], [-0.1, 0.6, 0.8, 0.3], [0.45, -1.2, -0.7, 0.55], [1.8, 0.35, -0.3, 1.1],
    [-0.9, 1.6, 0.2, -1.4], [0.15, 0.7, 2.1, -0.6],
])  # fmt: skip

Program = Callable[[Tensor], Tensor]


def rows(x: Tensor) -> Tensor:
    return x[x[:, 0] > -0.3]


def numbers(x: Tensor) -> Tensor:
    return x[x > 0.25]


def grades(x: Tensor) -> Tensor:
    return (x * 2)[x > 0.25].round()


INTEGERS: dict[str, Program] = {
    "counted": lambda x: torch.count_nonzero(numbers(x)),
    "counted along the rows": lambda x: torch.count_nonzero(rows(x), 0),
    "counted in each row": lambda x: torch.count_nonzero(F.relu(rows(x)), 1).float().sum(),
    "masks counted": lambda x: torch.count_nonzero(numbers(x) > 0.5),
    "cast": lambda x: grades(x).long().sum(),
    "compared": lambda x: (grades(x) >= 2).sum(),
    "equal": lambda x: (grades(x) == 2).float().sum(),
    "rounded before": lambda x: ((x * 2).round()[x > 0.25] >= 2).sum(),
    "counts of each row": lambda x: ((rows(x) > 0).sum(1) > 1).sum(),
    "sums of masks": lambda x: ((rows(x) > 0).float().sum(1) >= 2).float().sum(),
    "shares": lambda x: ((rows(x) > 0).float().mean(1) >= 0.5).float().sum(),
    "counts, selected": lambda x: ((x > 0).sum(1)[x[:, 0] > -0.3] >= 2).sum(),
    "masks, selected": lambda x: ((x > 0.5)[x > 0.25] & (x < 1.5)[x > 0.25]).float().sum(),
    "halves": lambda x: (grades(x) / 2).floor().sum(),
    "halves, cast": lambda x: (grades(x) / 2).long().sum(),
    "whole quotients": lambda x: (grades(x).long() // 2).sum(),
    "remainders": lambda x: (grades(x).long() % 2).sum() + (grades(x) % 2).sum(),
    "clipped": lambda x: (numbers(x).clamp(max=0.5) < 0.5).float().sum(),
    "joined": lambda x: (torch.cat([rows(x).round(), rows(x)], 1) >= 1).float().sum(),
    "added up": lambda x: (rows(x).round().cumsum(1) >= 1).float().sum(),
    "in another shape": lambda x: (rows(x).round().view(-1, 2, 2).sum(2) >= 1).float().sum(),
    "selected again": lambda x: (lambda found: found[found >= 2].sum())(grades(x)),
    "variance": lambda x: numbers(x).var(False),
    "variance by name": lambda x: torch.var(numbers(x), unbiased=False),
    "deviation": lambda x: numbers(x).std(correction=0) + numbers(x).std(correction=2),
    "variance along the rows": lambda x: rows(x).var(0, False) + rows(x).var(0, True, True)[0],
    "variance of each row": lambda x: rows(x).var(1, False).sum() + rows(x).std(dim=1, correction=0).sum(),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_selected_integers_tend_to_the_program(name: str) -> None:
    def program(x: Tensor) -> Tensor:
        return INTEGERS[name](x).float()

    soft = softfx.soften(program, TINY, example_inputs=(X,))
    assert {site.action for site in soft.report.sites} <= {"soft", "guard"}
    torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-3)
    assert gradient(soft, X).isfinite().all()
    exact = softfx.soften(program, example_inputs=(X,))
    assert identical(exact(X), program(X))


def test_selected_integers_have_the_derivative_of_all_of_them_by_their_mask() -> None:
    policy = {"default": {"softness": 0.1}}

    def selected(x: Tensor) -> Tensor:
        return (grades(x) >= 2).float().sum()

    def masked(x: Tensor) -> Tensor:
        return ((x > 0.25).float() * ((x * 2).round() >= 2).float()).sum()

    found, expected = (gradient(softfx.soften(p, policy, example_inputs=(X,)), X) for p in (selected, masked))
    torch.testing.assert_close(found, expected)
