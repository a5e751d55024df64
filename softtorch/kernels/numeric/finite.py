"""Gradients kept finite: an operand of which only finite gradients go on.

A soft operator gives derivatives where its original has none, and what is done with its result may multiply them by an
infinity or a NaN that the original's derivative of 0 never met. Such a product says nothing, and one of them spoils a
whole gradient, so it counts as 0.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.torch_private import Function, is_wrapped


def with_finite_gradient(x: Tensor) -> Tensor:
    """x, (...), bit for bit; an element whose gradient is infinite or NaN has the gradient 0.

    In graphs that are recorded, and in forward mode, it is x itself: no operator of torch's masks by a gradient.
    """
    if plain_operators_needed() or not torch.is_grad_enabled() or not x.is_floating_point():
        return x  # a graph is asked for first: dynamo cannot trace `is_wrapped`
    if not (x.requires_grad or is_wrapped(x)):
        return x
    result: Tensor = _FiniteGradient.apply(x)
    return result


def finite_gradient(grad: Tensor) -> Tensor:
    """The gradient (...) with 0 where it is infinite or NaN."""
    return torch.nan_to_num(grad, nan=0.0, posinf=0.0, neginf=0.0)


class _FiniteGradient(Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return finite_gradient(grad)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None], x: Tensor) -> tuple[Tensor, int | None]:
        return with_finite_gradient(x), in_dims[0]
