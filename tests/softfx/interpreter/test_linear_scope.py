"""scope = "linear": the derivative of the soft program as far as calls are linear, and at hard values behind that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
import softtorch
from tests.helpers import EXECUTOR

DRAWS = torch.Generator().manual_seed(7)
X, SCORES, WEIGHTS = (torch.randn(size, generator=DRAWS) for size in ((6, 8), (8,), (8, 3)))
Y = torch.randn(6, 3, generator=DRAWS)
LINEAR = {"default": {"scope": "linear", "softness": 0.3, "mode": "smooth"}}


def mask(scores: Tensor) -> Tensor:
    return (scores > 0.2).float()


def multiplied(scores: Tensor, weights: Tensor) -> Tensor:
    return (X * mask(scores)) @ weights


def convolved(scores: Tensor, weights: Tensor) -> Tensor:
    rows = F.conv1d((X * mask(scores)).unsqueeze(1), weights[:3].T.reshape(3, 1, 3))
    return rows.mean(-1).div(2.0)[:, [2, 0, 1]] - 1.0


def square(result: Tensor) -> Tensor:
    return (result - Y).square().mean()


def error(result: Tensor) -> Tensor:
    return F.mse_loss(result, Y)


def bent(result: Tensor) -> Tensor:
    return torch.tanh(result).exp().sum() * 2.0


def product_of_two(result: Tensor) -> Tensor:
    return (result * result[:, [1, 2, 0]]).sum()


def by_hand(linear: Callable[..., Tensor], behind: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    """The gradients by the hard value behind a linear part whose derivative is that of soft values."""
    leaves = [SCORES.clone().requires_grad_(), WEIGHTS.clone().requires_grad_()]
    hard = linear(*leaves)
    widths = softtorch.gt(leaves[0], 0.2, softness=0.3, mode="smooth")
    original, globals()["mask"] = mask, lambda scores: widths
    try:
        soft = linear(*leaves)
    finally:
        globals()["mask"] = original
    return torch.autograd.grad(behind(hard.detach() + soft - soft.detach()), leaves)


@EXECUTOR
@pytest.mark.parametrize("behind", [square, error, bent, product_of_two])
@pytest.mark.parametrize("linear", [multiplied, convolved])
def test_the_derivative_is_soft_up_to_what_bends(
    linear: Callable[..., Tensor], behind: Callable[[Tensor], Tensor], executor: Any
) -> None:
    def program(scores: Tensor, weights: Tensor) -> Tensor:
        return behind(linear(scores, weights))

    leaves = [SCORES.clone().requires_grad_(), WEIGHTS.clone().requires_grad_()]
    soft = softfx.soften(program, LINEAR, example_inputs=leaves, executor=executor)
    value = soft(*leaves)
    assert torch.equal(value, program(*leaves))
    found = torch.autograd.grad(value, leaves)
    for one, other in zip(found, by_hand(linear, behind), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_number_that_ends_at_one_call_runs_on_in_another() -> None:
    def program(scores: Tensor, weights: Tensor) -> Tensor:
        result = X * mask(scores)
        return result.square().sum() + (result @ weights).sum()

    leaves = [SCORES.clone().requires_grad_(), WEIGHTS.clone().requires_grad_()]
    soft = softfx.soften(program, LINEAR, example_inputs=leaves)
    _, weights = torch.autograd.grad(soft(*leaves), leaves)
    left_out = ~(SCORES > 0.2)
    assert bool(left_out.any()) and bool((weights[left_out] != 0).all())


def test_a_quotient_by_a_soft_number_ends_it() -> None:
    def program(scores: Tensor) -> Tensor:
        total = (WEIGHTS[:, 0] * mask(scores)).sum()
        return 1.0 / total

    scores = SCORES.clone().requires_grad_()
    soft = softfx.soften(program, LINEAR, example_inputs=(scores,))
    (found,) = torch.autograd.grad(soft(scores), scores)
    slope = torch.autograd.grad((WEIGHTS[:, 0] * softtorch.gt(scores, 0.2, softness=0.3, mode="smooth")).sum(), scores)
    torch.testing.assert_close(found, -slope[0] * program(SCORES) ** 2)
