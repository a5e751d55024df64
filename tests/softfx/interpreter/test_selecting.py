"""Choices of a part of rows, however they are written, have the scope of topk under softness = "auto"."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx

X = torch.tensor([0.3, -0.2, 0.9, 0.1, 0.5, -0.7])
WEIGHTS = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0, 2.0])


def mask_of_an_order(scores: Tensor) -> Tensor:
    return F.one_hot(scores.argsort(descending=True)[:2], len(scores)).sum(0).float()


def mask_of_a_part(scores: Tensor) -> Tensor:
    return torch.zeros_like(scores).scatter(0, scores.sort().indices.narrow(0, 4, 2), 1.0)


SELECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "topk": lambda scores: torch.zeros_like(scores).scatter(0, scores.topk(2).indices, 1.0),
    "argsort": mask_of_an_order,
    "sort": mask_of_a_part,
    "the k-th value": lambda scores: (scores >= scores.kthvalue(5).values).float(),
    "the last of the largest": lambda scores: (scores >= scores.topk(2).values[-1]).float(),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_weights_of_what_was_not_selected_learn(name: str) -> None:
    """Where nothing was chosen both factors of mask * weight are 0: hard values would leave both without gradient."""

    def model(scores: Tensor, weights: Tensor) -> Tensor:
        return (SELECTIONS[name](scores) * weights).sum()

    leaves = [X.clone().requires_grad_(), WEIGHTS.clone().requires_grad_()]
    soft = softfx.soften(model, example_inputs=leaves)
    assert torch.equal(soft(*leaves), model(*leaves))
    gradients = torch.autograd.grad(soft(*leaves), leaves)
    assert all(bool((gradient != 0).all()) for gradient in gradients)
    assert soft.report.sites[-1].scope == "linear" or name == "topk"


@pytest.mark.parametrize("scope", ["region", "operation"])
def test_a_scope_that_the_policy_names_stays(scope: str) -> None:
    soft = softfx.soften(mask_of_an_order, {"default": {"scope": scope}}, example_inputs=(X,))
    assert soft.report.sites[0].scope == (None if scope == "region" else scope)


@pytest.mark.parametrize(
    "whole",
    [
        lambda scores: WEIGHTS[scores.argsort()].cumsum(0),
        lambda scores: (scores == scores.max()) * WEIGHTS,
        lambda scores: scores.reshape(2, 3).argsort(-1)[0] * WEIGHTS[:3],
    ],
    ids=["a whole order", "who is the largest", "one of two orders"],
)
def test_what_selects_no_part_of_a_row_keeps_its_scope(whole: Callable[[Tensor], Tensor]) -> None:
    soft = softfx.soften(whole, example_inputs=(X,))
    assert [site.scope for site in soft.report.sites if site.op != "max"] == [None]


def scope_of(program: Callable[..., Tensor], *inputs: Tensor) -> str | None:
    return softfx.soften(program, example_inputs=inputs).report.sites[0].scope


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_choice_that_learns_alone_runs_on_to_the_end(name: str) -> None:
    def error(scores: Tensor, weights: Tensor) -> Tensor:
        return torch.tanh((SELECTIONS[name](scores) * weights).sum()).square()

    scores = X.clone().requires_grad_()
    for weights, scope in ((WEIGHTS, "model"), (WEIGHTS.clone().requires_grad_(), "linear")):
        sites = softfx.soften(error, example_inputs=(scores, weights)).report.sites
        scopes = {site.scope for site in sites}
        assert scope in scopes and (scope == "model" or "model" not in scopes)


LEARNED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "weights before": lambda s, w: (w * X)[s.topk(2).indices].sum().tanh(),
    "a layer behind": lambda s, w: (X[s.topk(2).indices] @ w[:2]).tanh(),
    "a layer behind what bends": lambda s, w: X[s.topk(2).indices].sum().tanh() * w.sum(),
    "a bias": lambda s, w: (X[s.topk(2).indices].sum() + w.sum()).tanh(),
}


@pytest.mark.parametrize("name", LEARNED)
def test_wherever_something_else_learns_hard_values_are_what_is_bent(name: str) -> None:
    scores, weights = X.clone().requires_grad_(), WEIGHTS.clone().requires_grad_()
    assert scope_of(LEARNED[name], scores, weights) == "linear"
    assert scope_of(LEARNED[name], scores, WEIGHTS) == "model"
    assert scope_of(LEARNED[name], X, WEIGHTS) == "linear"  # what learns was not shown


def test_a_frozen_network_behind_a_choice_is_seen_to_be_frozen() -> None:
    class Picked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores, self.layer = torch.nn.Parameter(X.clone()), torch.nn.Linear(6, 1)

        def forward(self, x: Tensor) -> Tensor:
            kept = torch.zeros_like(self.scores).scatter(0, self.scores.topk(2).indices, 1.0)
            return torch.tanh(self.layer(x * kept))

    module, x = Picked(), torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    assert scope_of(module, x) == "linear"
    module.layer.requires_grad_(False)
    assert scope_of(module, x) == "model"
