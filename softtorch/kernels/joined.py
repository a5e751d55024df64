"""Straight-through at its core: the value of one tensor, bit for bit, with the derivative of another.

Here nothing is checked; the public function is straight_through.straight_through.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.numeric import host
from softtorch.kernels.numeric.finite import finite_gradient
from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.kernels.pointwise.slopes import aligned
from softtorch.torch_private import Function


def joined(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of hard, (...), in a floating dtype, with the derivative of soft, (...).

    The derivative is 0 where soft is not finite, or the gradient that arrives is not: the original's may be 0 there.
    """
    value = hard if hard.is_floating_point() or hard.is_complex() else hard.to(soft.dtype)
    if plain_operators_needed():
        return _composite(value, soft)
    # Detached, or the backward pass would walk what computed the hard value, with zeros and for nothing.
    result: Tensor = _StraightThrough.apply(value.detach() if value.requires_grad else value, soft)
    return result


def _composite(hard: Tensor, soft: Tensor) -> Tensor:
    """The same in torch's operators, for what records a graph: a custom Function loses its gradient there."""
    finite = finite_gradient(soft) if soft.is_complex() else torch.nan_to_num(soft, nan=0.0, posinf=0.0, neginf=0.0)
    # s - s is +0, and h - (+0) keeps every bit of h, where h + 0 would turn -0.0 into 0.0. nan_to_num also
    # keeps a product inside soft apart from this difference: a compiler could contract the two into one
    # that is not 0.
    return hard.detach() - (finite.detach() - finite).to(hard.dtype)


class _StraightThrough(Function):
    """straight_through as one copy forward; backward masks what is not finite."""

    @staticmethod
    def forward(hard: Tensor, soft: Tensor) -> Tensor:
        return hard.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        _, soft = inputs
        ctx.save_for_backward(soft)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        (soft,) = ctx.saved_tensors
        return None, _where_finite(soft, grad.to(soft.dtype))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, int | None], hard: Tensor, soft: Tensor) -> tuple[Tensor, int]:
        hard, soft = aligned(info.batch_size, in_dims, (hard, soft))
        result: Tensor = _StraightThrough.apply(hard, soft.expand(hard.shape))
        return result, 0


def _where_finite(soft: Tensor, grad: Tensor) -> Tensor:
    """`grad` where it and `soft` are finite, else 0, without a bool tensor: those are several times slower."""
    soft = soft.detach() if torch.is_grad_enabled() else soft
    if host.seen(soft):
        return finite_gradient(torch.add(grad, soft, alpha=0.0))  # 0 s is 0, or NaN where s is infinite or NaN
    return finite_gradient(grad + (soft - soft))  # a factor of 0 is not looked at on every device
