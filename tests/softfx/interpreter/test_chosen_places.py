"""Calls that treat each chosen place by itself: f(x[chosen]) learns as the same choice written as a mask of f(x)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR

DRAWS = torch.Generator().manual_seed(11)
SIGNALS = torch.randn(7, 9, 5, generator=DRAWS)
SCORES, FILTERS, HEAD = (torch.randn(size, generator=DRAWS) for size in ((9,), (9, 5), (5, 4)))
ROWS = torch.randn(7, 9, generator=DRAWS)
Program = Callable[[Tensor, Tensor], Tensor]


def mask(scores: Tensor) -> Tensor:
    return torch.zeros_like(scores).scatter(-1, scores.topk(3, -1).indices, 1.0)


def chosen(scores: Tensor) -> Tensor:
    return scores.topk(3, -1).indices


# By name: a program that looks up, the same one that masks, and what it is called with.
PAIRS: dict[str, tuple[Program, Program, tuple[Tensor, Tensor]]] = {
    "filters": (
        lambda s, w: filtered(s, w).tanh().sum(1),
        lambda s, w: ((SIGNALS * w).sum(-1).tanh() * mask(s)).sum(1),
        (SCORES, FILTERS),
    ),
    "index_select": (
        lambda s, w: torch.sigmoid(SIGNALS.index_select(1, chosen(s)).mean(-1, keepdim=True)).sum((1, 2)) * w.sum(),
        lambda s, w: (torch.sigmoid(SIGNALS.mean(-1)) * mask(s)).sum(1) * w.sum(),
        (SCORES, FILTERS),
    ),
    "a layer and relu": (
        lambda s, w: torch.relu(SIGNALS[:, chosen(s)] @ w).sum((1, 2)),
        lambda s, w: (torch.relu(SIGNALS @ w).sum(2) * mask(s)).sum(1),
        (SCORES, HEAD),
    ),
    "F.linear, twice bent": (
        lambda s, w: torch.cos(torch.tanh(F.linear(SIGNALS[:, chosen(s)], w.T) + 0.5)).sum((1, 2)),
        lambda s, w: (torch.cos(torch.tanh(SIGNALS @ w + 0.5)).sum(2) * mask(s)).sum(1),
        (SCORES, HEAD),
    ),
    "a vector of weights": (
        lambda s, w: (SIGNALS[:, chosen(s)] @ w[:, 0]).square().sum(1),
        lambda s, w: ((SIGNALS @ w[:, 0]).square() * mask(s)).sum(1),
        (SCORES, HEAD),
    ),
    "gather": (
        lambda s, w: ((SIGNALS @ w[:, 0]).gather(1, chosen(s)).tanh() * 2.0).sum(1),
        lambda s, w: ((SIGNALS @ w[:, 0]).tanh() * 2.0 * mask(s)).sum(1),
        (ROWS, HEAD),
    ),
    "take_along_dim": (
        lambda s, w: torch.take_along_dim(SIGNALS @ w[:, 1], chosen(s), 1).abs().sum(1),
        lambda s, w: ((SIGNALS @ w[:, 1]).abs() * mask(s)).sum(1),
        (ROWS, HEAD),
    ),
}


def filtered(scores: Tensor, filters: Tensor) -> Tensor:
    places = chosen(scores)
    return (SIGNALS[:, places] * filters[places]).sum(-1)


def gradients(program: Program, start: tuple[Tensor, Tensor], executor: Any = "auto", **rule: object) -> list[Tensor]:
    policy = {"rule": [{"op": "topk", **rule}]} if rule else None
    leaves = [leaf.clone().requires_grad_() for leaf in start]
    soft = softfx.soften(program, policy, example_inputs=leaves, executor=executor)
    for _ in range(3):  # the third call goes by a recording
        assert torch.equal(soft(*leaves), program(*leaves))
    return list(torch.autograd.grad((soft(*leaves) - 1.0).square().sum(), leaves))


@EXECUTOR
@pytest.mark.parametrize("name", PAIRS)
def test_what_is_made_of_each_place_learns_as_by_a_mask(name: str, executor: Any) -> None:
    program, masked, start = PAIRS[name]
    pairs = zip(gradients(program, start, executor), gradients(masked, start, executor), strict=True)
    for found, expected in pairs:
        assert torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.9999


def test_so_it_is_under_scope_model() -> None:
    program, masked, start = PAIRS["filters"]
    found, expected = (gradients(each, start, scope="model")[0] for each in (program, masked))
    assert torch.cosine_similarity(found, expected, dim=0) > 0.9999


@pytest.mark.parametrize(
    "program",
    [
        lambda s, w: torch.softmax(SIGNALS[:, chosen(s)], 1).sum((1, 2)) * w.sum(),
        lambda s, w: torch.tanh(SIGNALS[:, chosen(s)] + torch.arange(3.0).view(3, 1) * w.sum()).sum((1, 2)),
        lambda s, w: torch.tanh(SIGNALS[:, chosen(s)] * SIGNALS[:, chosen(-s)]).sum((1, 2)) * w.sum(),
        lambda s, w: torch.tanh(SIGNALS[:, chosen(s)].sum(1)).sum(1) * w.sum(),
        lambda s, w: torch.log(SIGNALS.square()[:, chosen(s)]).sum((1, 2)) * w.sum(),
        lambda s, w: F.prelu(SIGNALS[:, chosen(s)], torch.tensor([0.1, 0.2, 0.3])).sum((1, 2)) * w.sum(),
    ],
    ids=[
        "places beside each other",
        "an own number for each place",
        "two choices",
        "summed over places",
        "unsafe",
        "an own weight for each place",
    ],
)
def test_what_treats_places_together_is_as_it_was(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gradients(program, (SCORES, FILTERS))
    monkeypatch.setattr("softfx.interpreter.chosen_places.treats_places_alike", lambda state, call: False)
    assert all(map(torch.equal, found, gradients(program, (SCORES, FILTERS))))


def test_a_whole_that_was_written_since_is_not_read_again() -> None:
    def written(scores: Tensor, filters: Tensor) -> Tensor:
        data = SIGNALS.clone()
        rows = data[:, chosen(scores)]
        data.fill_(torch.nan)
        return torch.tanh(rows).sum((1, 2)) * filters.sum()

    assert all(bool(gradient.isfinite().all()) for gradient in gradients(written, (SCORES, FILTERS)))


def test_infinite_numbers_that_were_not_chosen_spoil_no_derivative() -> None:
    data = torch.tensor([1.0, torch.inf, 2.0, 0.5])

    def program(scores: Tensor, weight: Tensor) -> Tensor:
        return (torch.relu(data[scores.topk(2).indices]) * weight).sum().reshape(1)

    found = gradients(program, (torch.tensor([3.0, -1.0, 2.0, 0.0]), torch.tensor(2.0)))
    assert found[0].isfinite().all() and (found[0] != 0).any()
