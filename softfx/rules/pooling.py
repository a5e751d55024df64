"""Max pooling and the largest of groups: one takes all of the gradient. The soft form shares it among them.

Indices of pooled places stay hard: they name positions of the whole plane. To add one, append a record to RULES.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_real, is_discrete, through_real
from softfx.rules.writing import reduced
from softfx.values.domains import Soft

__all__ = ["RULES"]

_WHY = "In each window only the largest receives a gradient; the others never learn that they were close."
_KEEP = "Usually keep it: it trains well; soften it when detections or saliency are to move between neighbours."


def _pool(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(
        context: RuleContext, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        if is_discrete(input):
            raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")
        stride = None if stride in ((), []) else stride
        places = (kernel_size, stride, padding, dilation, ceil_mode)
        values = context.call(function, input, *places, **context.options)
        return values if isinstance(context.hard, Tensor) else (values, None)

    return relax


def _adaptive(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, output_size: Any, return_indices: bool = False) -> Any:
        values = context.call(function, input, output_size, **context.options)
        return values if isinstance(context.hard, Tensor) else (values, None)

    return relax


def _pooling(code: str, op: str, relax: Callable[..., Any]) -> Rule:
    return Rule(
        code,
        op,
        "kink",
        _WHY,
        _KEEP,
        "arXiv 2006.16038 (softsort)",
        soft=f"softtorch.{op}",
        relax=relax,
        carry=through_real(relax),
        aliases=(f"{op}_with_indices",),
        options=("softness", "mode", "method", "standardize"),
        drop_in=True,
    )


def _scatter(context: RuleContext, input: Any, dim: int, index: Any, src: Any, reduce: str, *,
             include_self: bool = True) -> Any:  # fmt: skip
    if is_discrete(input):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")
    call = softtorch.scatter_reduce
    return context.call(call, input, dim, index, src, reduce, include_self=include_self, **context.options)


def _scattered(context: RuleContext, input: Any, dim: int, index: Any, src: Any, reduce: str, *,
               include_self: bool = True) -> Any:  # fmt: skip
    if isinstance(index, Soft):
        return reduced(context, input, dim, index, src, reduce, include_self)
    values = [as_real(context, operand) for operand in (input, src)]
    return _scatter(context, values[0], dim, index, values[1], reduce, include_self=include_self)


_SCATTER = Rule(
    "SX247",
    "scatter_extremum",
    "kink",
    "In each group only the largest receives a gradient; the others never learn that they were close.",
    _KEEP,
    "arXiv 2006.07739",
    soft="softtorch.scatter_reduce",
    relax=_scatter,
    carry=_scattered,
    drop_in=True,
)

RULES = (
    _SCATTER,
    _pooling("SX241", "max_pool1d", _pool(softtorch.max_pool1d)),
    _pooling("SX242", "max_pool2d", _pool(softtorch.max_pool2d)),
    _pooling("SX243", "max_pool3d", _pool(softtorch.max_pool3d)),
    _pooling("SX244", "adaptive_max_pool1d", _adaptive(softtorch.adaptive_max_pool1d)),
    _pooling("SX245", "adaptive_max_pool2d", _adaptive(softtorch.adaptive_max_pool2d)),
    _pooling("SX246", "adaptive_max_pool3d", _adaptive(softtorch.adaptive_max_pool3d)),
)
