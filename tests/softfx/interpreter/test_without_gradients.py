"""A soft policy gives the same values without gradients as with them: a loss is the same in training and evaluation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx

X = torch.tensor([0.3, 1.7, -0.6, 0.9, -1.2, 0.1])


def selected_sum(x: Tensor) -> Tensor:
    return (x[x > 0] * 2).sum()


def selected_and_rounded(x: Tensor) -> Tensor:
    return (x[x > 0.2] * 3).round().mean()


def written_by_a_mask(x: Tensor) -> Tensor:
    result = x * 1
    mask = result > 0.2
    result[mask] = result[mask].mul(2).round()
    return result


@pytest.mark.parametrize("program", [selected_sum, selected_and_rounded, written_by_a_mask])
def test_rows_that_a_soft_mask_selects_are_soft_without_gradients(program: Callable[[Tensor], Tensor]) -> None:
    soft = softfx.soften(program, "smooth", example_inputs=(X,))
    with torch.no_grad():
        without = soft(X)
    assert torch.equal(without, soft(X)) and not torch.equal(without, program(X))
