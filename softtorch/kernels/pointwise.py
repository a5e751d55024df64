"""Elementwise functions with their derivatives given: what autograd would record step by step becomes one
step.

Backward saves the operands alone and evaluates each derivative in as many passes as its formula has. While a
graph is recorded (compile, export) a plain function takes over, for there a compiler fuses the passes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Tensor]


def with_slopes(
    value: Function, slopes: Sequence[Function], *operands: Tensor, recorded: Function | None = None
) -> Tensor:
    """value(*operands), differentiated in each operand as slopes say: (...), broadcast -> (...).

    Args:
        value: elementwise in the operands.
        slopes: one for each operand, its partial derivative; elementwise and themselves differentiable.
        *operands: tensors that broadcast against each other, of one dtype.
        recorded: the function that is put into recorded graphs, differentiable by itself; `value` by default.
    """
    if torch.compiler.is_compiling():
        return (recorded or value)(*operands)
    apply: Callable[..., Tensor] = _WithSlopes.apply
    return apply(value, slopes, *operands)


class _WithSlopes(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Function, slopes: Sequence[Function], *operands: Tensor) -> Tensor:
        return value(*operands)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.slopes, *operands = inputs
        ctx.save_for_backward(*operands)
        ctx.save_for_forward(*operands)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        operands = ctx.saved_tensors
        grads: list[Tensor | None] = []
        for operand, slope, needed in zip(operands, ctx.slopes, ctx.needs_input_grad[2:], strict=True):
            grads.append((grad * slope(*operands)).sum_to_size(operand.shape) if needed else None)
        return None, None, *grads

    @staticmethod
    def jvp(ctx: Any, _value: None, _slopes: None, *tangents: Tensor | None) -> Tensor | None:
        operands = ctx.saved_tensors
        total: Tensor | None = None
        for slope, tangent in zip(ctx.slopes, tangents, strict=True):
            if tangent is not None:
                part = slope(*operands) * tangent
                total = part if total is None else total + part
        return total
