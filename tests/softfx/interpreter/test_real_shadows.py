"""scope = "linear", which choosing elements has by default, and "model": calls on real numbers run once more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR, assert_same, gradient, outcome

X = torch.tensor([[0.3, -1.2, 0.9], [1.6, 0.2, -0.4]])
ONE = torch.tensor(1)


def whole_numbers_beside(x: Tensor) -> Tensor:
    v = x.topk(2).values
    return v.round() - v + (v.detach().round() - v)


def an_index_without_axes(x: Tensor) -> Tensor:
    return x.topk(2).values[..., ONE] * 2


def drawn(x: Tensor) -> tuple[Tensor, Tensor]:
    v = x.topk(2).values
    return torch.nn.functional.dropout(v, 0.5) * torch.normal(v, 1.0), torch.rand(2)


def shaped_like_it(x: Tensor) -> tuple[Tensor, Tensor]:
    v = x.topk(2).values
    return v + torch.randn_like(v) + v.new_ones(2), torch.rand(2)


@EXECUTOR
@pytest.mark.parametrize("policy", [*EXACT, {"default": {"scope": "model"}}])
@pytest.mark.parametrize("program", [whole_numbers_beside, an_index_without_axes, drawn, shaped_like_it])
def test_values_and_random_draws_are_the_originals(program: Callable[..., object], policy: str, executor: str) -> None:
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    assert_same(outcome(soft, (X,), sources=[]), outcome(program, (X,), sources=[]))


def test_what_is_drawn_beside_chosen_elements_keeps_their_derivative() -> None:
    soft = softfx.soften(shaped_like_it, example_inputs=(X,))
    assert bool(gradient(lambda x: soft(x)[0], X).all())


@pytest.mark.parametrize("scope", ["decision", "model", "linear", "region"])
@EXECUTOR
def test_a_view_by_strides_stays_in_the_memory_that_is_written(scope: str, executor: softfx.api.Executor) -> None:
    def program(x: Tensor) -> tuple[Tensor, Tensor]:
        signs = x.sign()
        corner = signs.as_strided((2, 2), (2, 1))
        signs.data.mul_(-0.5)
        signs[signs > 0.5] = 0.5
        return signs, corner

    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    soft = softfx.soften(program, {"default": {"scope": scope}}, example_inputs=(x,), executor=executor)
    for result, wanted in zip(soft(x), program(x), strict=True):
        assert torch.equal(result, wanted)
