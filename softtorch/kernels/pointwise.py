"""A function of one number with its derivative given: what autograd would record step by step becomes one
step.

Backward saves the input alone and evaluates the derivative in as many passes as its formula has. While a
graph is recorded (compile, export) the plain function takes over, for there a compiler fuses the passes.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


def with_slope(u: Tensor, value: Function, slope: Function) -> Tensor:
    """value(u), differentiated as slope(u), elementwise: (...) -> (...).

    Args:
        u: shape (...).
        value: differentiable by itself, in agreement with `slope`; used as it is while a graph is recorded.
        slope: the derivative of `value`, itself differentiable.
    """
    if torch.compiler.is_compiling():
        return value(u)
    result: Tensor = _WithSlope.apply(u, value, slope)  # type: ignore[no-untyped-call]  # untyped in torch
    return result


class _WithSlope(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, value: Function, slope: Function) -> Tensor:
        return value(u)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Function, Function], output: Tensor) -> None:
        u, _, ctx.slope = inputs
        ctx.save_for_backward(u)
        ctx.save_for_forward(u)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (u,) = ctx.saved_tensors
        return grad * ctx.slope(u), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        (u,) = ctx.saved_tensors
        product: Tensor = tangent * ctx.slope(u)
        return product
