"""Products of two look-ups by one index: the derivative of the same choice written as a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR

DRAWS = torch.Generator().manual_seed(5)
DATA = torch.randn(7, 9, generator=DRAWS)
SCORES, WEIGHTS = torch.randn(9, generator=DRAWS), torch.randn(9, 2, generator=DRAWS)


def masked(scores: Tensor, weights: Tensor) -> Tensor:
    return (DATA * torch.zeros(9).scatter(0, scores.topk(3).indices, 1.0)) @ weights


def indexed(scores: Tensor, weights: Tensor) -> Tensor:
    chosen = scores.topk(3).indices
    return DATA[:, chosen] @ weights[chosen]


def selected(scores: Tensor, weights: Tensor) -> Tensor:
    chosen = scores.topk(3).indices
    return DATA.index_select(1, chosen) @ weights.index_select(0, chosen)


def linear(scores: Tensor, weights: Tensor) -> Tensor:
    chosen = scores.topk(3).indices
    return F.linear(DATA[..., chosen], weights.T[:, chosen], torch.zeros(2))


def multiplied(scores: Tensor, weights: Tensor) -> Tensor:
    chosen = scores.topk(3).indices
    columns = [(DATA[:, chosen] * weights[:, column][chosen]).sum(-1) for column in range(2)]
    return torch.stack(columns, -1)


def of_an_order(scores: Tensor, weights: Tensor) -> Tensor:
    chosen = scores.argsort(descending=True)[:3]
    return DATA[:, chosen] @ weights[chosen, :]


PRODUCTS = [indexed, selected, linear, multiplied, of_an_order]


def gradients(program: Callable[..., Tensor], executor: Any = "auto") -> tuple[Tensor, ...]:
    leaves = [SCORES.clone().requires_grad_(), WEIGHTS.clone().requires_grad_()]
    soft = softfx.soften(program, example_inputs=leaves, executor=executor)
    assert torch.equal(soft(*leaves), program(*leaves))
    return torch.autograd.grad((soft(*leaves) - 1).square().sum(), leaves)


@EXECUTOR
@pytest.mark.parametrize("program", PRODUCTS)
def test_a_product_of_two_look_ups_learns_as_by_a_mask(program: Callable[..., Tensor], executor: Any) -> None:
    for found, expected in zip(gradients(program, executor), gradients(masked, executor), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)  # a mask blurs its places once together


@pytest.mark.parametrize(
    "other",
    [
        lambda scores, weights: DATA[:, scores.topk(3).indices] @ weights[(-scores).topk(3).indices],
        lambda scores, weights: DATA[:, scores.topk(3).indices] @ weights[scores.topk(3).indices],
        lambda scores, weights: (lambda chosen: weights[chosen] @ weights[chosen].T)(scores.topk(2).indices),
        lambda scores, weights: (lambda chosen: (DATA[:, chosen] + 1) @ weights[chosen])(scores.topk(3).indices),
    ],
    ids=["two choices", "one choice made twice", "another axis is summed over", "something was added"],
)
def test_what_is_no_such_product_is_as_it_was(other: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    found = gradients(other)
    monkeypatch.setattr("softfx.interpreter.joint_lookups.CONTRACTED", {})
    assert all(torch.equal(one, two) for one, two in zip(found, gradients(other), strict=True))


def test_a_source_that_was_written_since_is_not_read_again() -> None:
    def written(scores: Tensor, weights: Tensor) -> Tensor:
        chosen, data = scores.topk(3).indices, DATA.clone()
        rows = data[:, chosen]
        data.zero_()
        return rows @ weights[chosen]

    for gradient in gradients(written):
        assert bool(gradient.any())
