"""Writes into parts that torch takes in any form: empty ones, and values with further axes in front."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR

X = torch.tensor([[1.2, -2.7, 0.6, 0.1], [0.4, 3.3, -1.1, 0.8], [-1.6, 0.2, 2.3, -0.5]])


def doubles_nothing(x: Tensor) -> Tensor:
    column = x.round()[:, :1]
    column[..., 1:] *= 2
    return column


def takes_a_row(x: Tensor) -> Tensor:
    rounded = x.round() * 1
    rounded[0] = x[1].round()[None]
    return rounded


def takes_a_block(x: Tensor) -> Tensor:
    zeros = torch.zeros(3, 4)
    zeros[:, 1:3] = x[None, None, :1, :2].sign()
    return zeros + x


def has_no_rows(x: Tensor) -> Tensor:
    none = torch.zeros(0, 4)
    none[:] = x[:1].sign()
    return none.sum() + x.sign()


def has_no_axes(x: Tensor) -> Tensor:
    mean = x.mean()
    flag = torch.ones_like(mean > 0.2)
    flag[mean > 0.2] = False
    return flag * x


def writes_a_list(x: Tensor) -> Tensor:
    mask = x > 0.2
    torch._foreach_copy_([mask[0], mask[1]], [mask[1], mask[2]])
    return mask.float() * x


@EXECUTOR
@pytest.mark.parametrize(
    "program", [doubles_nothing, takes_a_row, takes_a_block, has_no_rows, has_no_axes, writes_a_list]
)
def test_the_call_runs_and_has_the_originals_value(program: Callable[[Tensor], Tensor], executor: str) -> None:
    soft = softfx.soften(program, "lifted", example_inputs=(X,), executor=executor, allow_unused=True)
    result = soft(X.clone().requires_grad_())
    assert torch.equal(result, program(X))


def test_a_decision_is_followed_through_a_value_with_further_axes() -> None:
    def decides(x: Tensor) -> Tensor:
        marks = torch.zeros(2, 4)
        marks[1] = (x[1] > 0.2).float()[None]
        return x.sum() if marks[1, 0] > 0 else -x.sum()

    leaf = X.clone().requires_grad_()
    soft = softfx.soften(decides, "lifted", example_inputs=(leaf,))
    (slope,) = torch.autograd.grad(soft(leaf), leaf)
    assert slope[1, 0] > slope[0, 0], "what is read of the mask decides about the sign"
