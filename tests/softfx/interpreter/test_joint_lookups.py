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
SIGNALS = torch.randn(7, 9, 6, generator=DRAWS)
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


def by_choice(make: Callable[..., Tensor]) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """A program of chosen places, and the same one of all places times a mask."""

    def chosen(scores: Tensor, weights: Tensor) -> Tensor:
        places = scores.topk(3).indices
        return make(lambda x, axis=0: x.index_select(axis, places), weights, lambda x, axis: x)

    def masked(scores: Tensor, weights: Tensor) -> Tensor:
        mask = torch.zeros(9).scatter(0, scores.topk(3).indices, 1.0)
        return make(lambda x, axis=0: x, weights, lambda x, axis: x * mask.view(-1, *(1,) * (x.dim() - 1 - axis)))

    return chosen, masked


MADE: dict[str, Callable[..., Tensor]] = {
    "something is added": lambda at, w, kept: kept(at(DATA, 1) + 1, 1) @ at(w),
    "bent": lambda at, w, kept: kept(torch.tanh(at(DATA, 1)), 1) @ at(w),
    "both bent": lambda at, w, kept: F.linear(kept(torch.relu(at(DATA, 1)), 1), at(w.T, 1).square(), w[0]),
    "a sum": lambda at, w, kept: kept((at(SIGNALS, 1) * 2.0).square().sum(-1), 1) @ at(w[:, 0]),
    "turned": lambda at, w, kept: (at(w.T, 1) @ kept(torch.tanh(at(DATA, 1)), 1).t()).transpose(0, 1),
    "filters": lambda at, w, kept: F.conv1d(kept(at(SIGNALS, 1), 1), at(w).unsqueeze(0)),
    "filters of images": lambda at, w, kept: F.conv2d(
        kept(torch.relu(at(SIGNALS, 1)).unsqueeze(-1), 1), at(w).unsqueeze(-1)[None], bias=w[0, :1]
    ),
}


@EXECUTOR
@pytest.mark.parametrize("name", MADE)
def test_so_does_a_product_of_what_is_made_of_look_ups_place_by_place(name: str, executor: Any) -> None:
    chosen, masked = by_choice(MADE[name])
    for found, expected in zip(gradients(chosen, executor), gradients(masked, executor), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "other",
    [
        lambda scores, weights: DATA[:, scores.topk(3).indices] @ weights[(-scores).topk(3).indices],
        lambda scores, weights: DATA[:, scores.topk(3).indices] @ weights[scores.topk(3).indices],
        lambda scores, weights: (lambda chosen: weights[chosen] @ weights[chosen].T)(scores.topk(2).indices),
        lambda scores, weights: (lambda chosen: F.conv1d(SIGNALS[:, chosen], weights[chosen, None], groups=3))(
            scores.topk(3).indices
        ),
    ],
    ids=["two choices", "one choice made twice", "another axis is summed over", "each channel by itself"],
)
def test_what_is_no_such_product_is_as_it_was(other: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    found = gradients(other)
    monkeypatch.setattr("softfx.interpreter.joint_lookups._axes", lambda *call: None)
    assert all(torch.equal(one, two) for one, two in zip(found, gradients(other), strict=True))


def test_a_source_that_was_written_since_is_not_read_again() -> None:
    def written(scores: Tensor, weights: Tensor) -> Tensor:
        chosen, data = scores.topk(3).indices, DATA.clone()
        rows = data[:, chosen]
        data.zero_()
        return rows @ weights[chosen]

    for gradient in gradients(written):
        assert bool(gradient.any())
