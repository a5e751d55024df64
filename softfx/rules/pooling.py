"""Max pooling and the largest of groups: one takes all of the gradient. The soft form shares it among them.

Indices of pooled places stay hard: they name positions of the whole plane. To add one, append a record to RULES.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.operation import Operation
from softfx.rules.axiswise import STANDARDIZED
from softfx.rules.context import RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.readings import as_real, through_real
from softfx.rules.refusals import refuse_discrete
from softfx.rules.rule import Rule
from softfx.rules.units import CHOICE_AMONG_ALL, EXTREMES
from softfx.rules.writing import reduced
from softfx.values import Soft

__all__ = ["RULES"]

# A length for every axis of a window, or one for each.
_Size: TypeAlias = int | Sequence[int]

_WHY = "In each window only the largest receives a gradient; the others never learn that they were close."
_KEEP = "Usually keep it: it trains well; soften it when detections or saliency are to move between neighbours."
_POOLED = f"softsort, in each window: sum_j p_j x_j, p_j = softmax_j(u_j / s), {STANDARDIZED}"


def _pool(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of pooling by windows."""

    def relax(
        context: RuleContext, input: Tensor, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0,
        dilation: _Size = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Shadow:  # fmt: skip
        refuse_discrete(input)
        stride = None if stride in ((), []) else stride
        windows = (kernel_size, stride, padding, dilation, ceil_mode)
        values = context.call(function, input, *windows, **context.options)
        return values if isinstance(context.hard, Tensor) else (values, None)

    return relax


def _adaptive(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of pooling to a size."""

    def relax(
        context: RuleContext, input: Tensor, output_size: int | Sequence[int | None], return_indices: bool = False
    ) -> Shadow:
        values = context.call(function, input, output_size, **context.options)
        return values if isinstance(context.hard, Tensor) else (values, None)

    return relax


def _scatter(context: RuleContext, input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *,
             include_self: bool = True) -> Shadow:  # fmt: skip
    refuse_discrete(input)
    call = softtorch.scatter_reduce
    return context.call(call, input, dim, index, src, reduce, include_self=include_self, **context.options)


def _scattered(context: RuleContext, input: TensorOrSoft, dim: int, index: TensorOrSoft, src: TensorOrSoft, reduce: str,
               *, include_self: bool = True) -> Shadow:  # fmt: skip
    """The propagation of scatter_reduce: values as real numbers, or groups by a soft index."""
    if isinstance(index, Soft):
        return reduced(context, input, dim, index, src, reduce, include_self)
    values = [as_real(context, operand) for operand in (input, src)]
    return _scatter(context, values[0], dim, index, values[1], reduce, include_self=include_self)


def _pooling(code: str, operation: Operation, relax: RuleFunction) -> Rule:
    return Rule(
        code,
        operation,
        "kink",
        _WHY,
        _KEEP,
        "arXiv 2006.16038 (softsort)",
        formula=_POOLED,
        soft=f"softtorch.{operation.name}",
        relax=relax,
        propagate=through_real(relax),
        options=("softness", "mode", "method", "standardize"),
        drop_in=True,
        unit=CHOICE_AMONG_ALL,
    )


_SCATTER = Rule(
    "SX247",
    ops.scatter_extremum,
    "kink",
    "In each group only the largest receives a gradient; the others never learn that they were close.",
    _KEEP,
    "arXiv 2006.07739",
    formula="amax, in each group: sum_j p_j x_j, p_j = softmax_j(x_j / s); "
    "amin, in each group: sum_j p_j x_j, p_j = softmax_j(-x_j / s)",
    soft="softtorch.scatter_reduce",
    relax=_scatter,
    propagate=_scattered,
    drop_in=True,
    unit=EXTREMES,
)

RULES = (
    _SCATTER,
    _pooling("SX241", ops.max_pool1d, _pool(softtorch.max_pool1d)),
    _pooling("SX242", ops.max_pool2d, _pool(softtorch.max_pool2d)),
    _pooling("SX243", ops.max_pool3d, _pool(softtorch.max_pool3d)),
    _pooling("SX244", ops.adaptive_max_pool1d, _adaptive(softtorch.adaptive_max_pool1d)),
    _pooling("SX245", ops.adaptive_max_pool2d, _adaptive(softtorch.adaptive_max_pool2d)),
    _pooling("SX246", ops.adaptive_max_pool3d, _adaptive(softtorch.adaptive_max_pool3d)),
)
