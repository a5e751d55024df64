"""Differences of neighbours: of bools whether they differ, of integers numbers, of any order and with ends given."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTORS, gradient, identical

TINY = {"preset": "smooth", "default": {"softness": 1e-6, "mode": "smooth"}}
X = torch.tensor([[0.8, -0.3, 0.45, -0.2], [0.9, 0.4, -0.7, 0.1], [-0.6, -0.2, 0.9, 1.4]])
START = torch.zeros(3, 1)


def grades(x: Tensor) -> Tensor:
    return (x * 3).round()


DIFFERENCES: dict[str, Callable[[Tensor], Tensor]] = {
    "of bools": lambda x: torch.diff(x > 0),
    "of bools along the first axis": lambda x: torch.diff(x > 0, dim=0),
    "of bools, twice": lambda x: torch.diff(x > 0, 2),
    "of bools with ends": lambda x: torch.diff(x > 0, prepend=START.bool(), append=(x > 0.5)[:, :1]),
    "of masks, twice": lambda x: torch.diff((x > 0).float(), n=2),
    "with a start": lambda x: torch.diff(grades(x), prepend=START),
    "with an end that is soft": lambda x: torch.diff(grades(x).long(), append=grades(x).long()[:, :1], n=2),
    "runs": lambda x: (torch.diff(x.round(), prepend=START) != 0).float().cumsum(-1),
    "of real numbers with a soft end": lambda x: torch.diff(x, append=grades(x)[:, :1]),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_of_decisions_are_the_programs_and_have_a_derivative(name: str, executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        return DIFFERENCES[name](x).float()

    soft = softfx.soften(program, TINY, example_inputs=(X,), executor=executor)
    torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-3)
    exact = softfx.soften(program, example_inputs=(X,), executor=executor)
    assert identical(exact(X), program(X))
    weights = torch.linspace(0.5, 1.7, program(X).numel()).view_as(program(X))
    slope = gradient(lambda x: exact(x) * weights, X)
    assert slope.isfinite().all() and slope.any()
