"""Gradients kept finite: an operand of which only finite gradients go on, and one with finite elements.

A soft operator gives derivatives where its original has none, and what is done with its result may multiply them by an
infinity or a NaN that the original's derivative of 0 never met. Such a product says nothing, and one of them spoils a
whole gradient, so it counts as 0.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.numeric.tracing import function_may_be_traced, plain_operators_needed
from softtorch.torch_private import Function, is_wrapped


def with_finite_gradient(x: Tensor) -> Tensor:
    """x, (...), bit for bit; an element whose gradient is infinite or NaN has the gradient 0.

    In graphs that are exported, and in forward mode, it is x itself: no operator of torch's masks by a gradient.
    """
    if not _is_differentiated(x):
        return x
    result: Tensor = _FiniteGradient.apply(x)
    return result


def with_finite_value(x: Tensor) -> Tensor:
    """x, (...), with 0 in the place of infinite and NaN elements, and the derivative of x.

    In graphs that are exported, and in forward mode, the derivative by the elements replaced is 0.
    """
    if not _is_differentiated(x):
        return _zeroed(x)
    result: Tensor = _FiniteValue.apply(x)
    return result


def finite_gradient(grad: Tensor) -> Tensor:
    """The gradient (...) with 0 where it is infinite or NaN."""
    # Compiled kernels ask whether numbers are NaN one by one; torch replaces no complex ones that are differentiated.
    if torch.compiler.is_compiling() or grad.is_complex():
        return torch.where(grad.abs() < torch.inf, grad, 0.0)
    return torch.nan_to_num(grad, nan=0.0, posinf=0.0, neginf=0.0)


def _is_differentiated(x: Tensor) -> bool:
    """Return True if x, (...), gets a derivative, and by a custom Function."""
    if not torch.is_grad_enabled() or not (x.is_floating_point() or x.is_complex()):
        return False
    if function_may_be_traced():  # asked for first: dynamo cannot trace `is_wrapped`
        return x.requires_grad
    return not plain_operators_needed() and (x.requires_grad or is_wrapped(x))


def _zeroed(x: Tensor) -> Tensor:
    return torch.where(torch.isfinite(x), x, 0)  # which keeps no operand that may be written later


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


class _FiniteValue(Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return _zeroed(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None], x: Tensor) -> tuple[Tensor, int | None]:
        return with_finite_value(x), in_dims[0]
