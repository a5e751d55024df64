"""Two outcomes are the same if they are so bit for bit, and their first difference is told."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from softfx.capture.outcome import Outcome, difference, same

NAN, INF = float("nan"), float("inf")
ONE, ZERO = torch.tensor(1.0), torch.tensor(0.0)


@pytest.mark.parametrize(
    ("x", "y", "equal"),
    [
        (torch.tensor([1.0, NAN]), torch.tensor([1.0, NAN]), True),
        (torch.tensor(0.0), torch.tensor(-0.0), False),
        (torch.tensor(INF), torch.tensor(torch.finfo(torch.float32).max), False),
        (torch.tensor(1), torch.tensor(1.0), False),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), True),
        (torch.tensor([1]), torch.tensor(1), False),
        (torch.complex(ONE, -ZERO), torch.complex(ONE, ZERO), False),
        (torch.eye(2).to_sparse(), torch.eye(2).to_sparse(), True),
        (torch.eye(2).to_sparse(), torch.eye(2), False),
        (NAN, NAN, True),
        (1, True, False),
        (1, torch.tensor(1), False),
    ],
)
def test_values_are_the_same_bit_for_bit_or_they_are_not(x: Any, y: Any, equal: bool) -> None:
    assert same(x, y) is same(y, x) is equal


def left(results: Any = (), arguments: Any = (), buffers: Any = ()) -> Outcome:
    return Outcome.of(results, arguments, buffers)


@pytest.mark.parametrize(
    ("expected", "got", "says"),
    [
        (left([torch.ones(2)]), left([torch.ones(2)]), ""),
        (left([torch.ones(2)]), left([]), "it gives 0 results for 1"),
        (left([torch.ones(2)]), left([torch.ones(3)]), "result 0 is (3,) torch.float32 for (2,) torch.float32"),
        (left([0, torch.ones(2)]), left([0, torch.zeros(2)]), "result 1 has other values"),
        (left([1]), left([2]), "result 0 is 2 for 1"),
        (left(arguments=[torch.ones(2)]), left(arguments=[torch.zeros(2)]), "argument 0 has other values"),
        (left(buffers=[torch.ones(2)]), left(buffers=[torch.zeros(2)]), "buffer 0 has other values"),
        (left([torch.ones(2)]), left([torch.ones(2, requires_grad=True)]), "result 0 carries a gradient"),
        (left([torch.ones(2, requires_grad=True)]), left([torch.ones(2)]), "result 0 carries no gradient"),
        (left([object()]), left([object()]), ""),  # only its type is kept
    ],
)
def test_the_first_difference_is_told(expected: Outcome, got: Outcome, says: str) -> None:
    assert difference(expected, got, gradients=True) == says


def test_gradients_count_only_where_they_are_asked_for_and_copies_are_kept() -> None:
    x = torch.ones(2, requires_grad=True)
    assert difference(left([x]), left([x.detach()]), gradients=False) == ""
    y = torch.ones(2)
    before = left([y])
    y.zero_()
    assert difference(before, left([torch.ones(2)]), gradients=True) == ""
