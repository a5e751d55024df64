"""Elementwise functions with their derivatives given: a formula that autograd would record step by step is one step.

Backward saves the operands alone and evaluates each derivative in as many passes as its formula has. Where a graph is
recorded a plain function takes over, for there a compiler fuses the passes; in forward mode too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.torch_private import Function as DirectFunction

Function = Callable[..., Tensor]

# Below this many elements passes over memory cost less than the Python that saves some.
SMALL = 16384


def with_slopes(
    value: Function, slopes: Sequence[Function], *operands: Tensor, recorded: Function | None = None
) -> Tensor:
    """value(*operands), differentiated in each operand as slopes say: (...), broadcast -> (...).

    Args:
        value: elementwise in the operands.
        slopes: one for each operand, its partial derivative; elementwise and themselves differentiable.
        *operands: tensors that broadcast against each other, of one dtype.
        recorded: the same function, differentiable by itself, for where plain operators are needed; `value` by default.
    """
    if plain_operators_needed() or all(operand.numel() < SMALL for operand in operands):
        return (recorded or value)(*operands)
    result: Tensor = _Pointwise.apply(_Given(value, tuple(slopes)), *operands)
    return result


def aligned(size: int, in_dims: Sequence[int | None], operands: Sequence[Tensor]) -> list[Tensor]:
    """The operands of a vmapped elementwise function with the mapped dim first, ready to broadcast.

    Args:
        size: of the mapped dim.
        in_dims: the mapped dim of each operand, or None.
        operands: shapes (...), with the mapped dim where in_dims says.
    """
    rank = max(x.dim() - (dim is not None) for x, dim in zip(operands, in_dims, strict=True))
    result = []
    for x, dim in zip(operands, in_dims, strict=True):
        rows = x.unsqueeze(0) if dim is None else x.movedim(dim, 0)
        result.append(rows.reshape(rows.shape[:1] + (1,) * (rank + 1 - rows.dim()) + rows.shape[1:]))
    result[0] = result[0].expand(size, *result[0].shape[1:])
    return result


@dataclass(frozen=True)
class _Given:
    """One argument for the two, which torch.func would otherwise take apart."""

    value: Function
    slopes: tuple[Function, ...]


class _Pointwise(DirectFunction):
    @staticmethod
    def forward(given: _Given, *operands: Tensor) -> Tensor:
        return given.value(*operands)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        given, *operands = inputs
        ctx.slopes = given.slopes
        ctx.save_for_backward(*operands)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        operands = ctx.saved_tensors
        grads: list[Tensor | None] = []
        for operand, slope, needed in zip(operands, ctx.slopes, ctx.needs_input_grad[1:], strict=True):
            grads.append((grad * slope(*operands)).sum_to_size(operand.shape) if needed else None)
        return None, *grads

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], given: _Given, *operands: Tensor) -> tuple[Tensor, int]:
        rows = aligned(info.batch_size, in_dims[1:], operands)
        result: Tensor = _Pointwise.apply(given, *rows)
        return result, 0
