"""Lazy modules: softening makes the call that initialises them, on the original, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

import softfx
from tests.helpers import gradient

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.LazyLinear(3), nn.LazyBatchNorm1d(), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(self.last(self.norm(self.first(x))) * 2)


def test_softening_initialises_the_original_and_leaves_buffers_and_random_state() -> None:
    model, before = Lazy(), torch.get_rng_state()
    soft = softfx.soften(model, example_inputs=(X,))
    assert torch.equal(torch.get_rng_state(), before)
    assert type(model.first) is nn.Linear and soft.first.weight is model.first.weight
    assert model.norm.num_batches_tracked == 0 and model.last.num_batches_tracked == 0
    assert torch.equal(model.norm.running_mean, torch.zeros(3))
    assert torch.equal(soft(X), model(X)) and gradient(soft, X).any()


def test_a_check_initialises_a_copy() -> None:
    model = Lazy()
    assert softfx.check(model, example_inputs=(X,)).counts["straight_through"] == 1
    assert is_lazy(model.first.weight) and is_lazy(model.norm.running_mean)


def test_inputs_that_cannot_initialise_are_told() -> None:
    with pytest.raises(softfx.SoftfxError, match=r"Lazy: its lazy modules cannot be initialised .* Correct the inputs"):
        softfx.soften(Lazy(), example_inputs=(X.long(),))
