"""searchsorted, bucketize and histc: between which boundaries a number lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_number, is_discrete, through_real

__all__ = ["RULES"]


def _refuse(*operands: Any) -> None:
    tensors = [operand for operand in operands if isinstance(operand, Tensor)]
    if all(is_discrete(tensor) for tensor in tensors):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")


def _searchsorted(
    context: RuleContext, sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Any = None,
) -> Any:  # fmt: skip
    if sorter is not None:
        raise Cut("searchsorted with a sorter has no rule")
    return _located(context, softtorch.searchsorted, sorted_sequence, input, right or side == "right")


def _bucketize(
    context: RuleContext, input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False
) -> Any:
    return _located(context, softtorch.searchsorted, boundaries, input, right)


def _located(context: RuleContext, function: Callable[..., Tensor], boundaries: Any, values: Any, right: bool) -> Any:
    _refuse(boundaries, values)
    like = boundaries if is_discrete(values) or not isinstance(values, Tensor) else values
    if not isinstance(values, Tensor):
        values = context.call(torch.full, (), values, dtype=like.dtype, device=like.device)
    values, edges = as_number(context, values, like), as_number(context, boundaries, like)
    return context.soft(context.call(function, edges, values, right=right, **context.options), "soft_index")


def _histc(context: RuleContext, input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    _refuse(input)
    return context.soft(context.call(softtorch.histc, input, bins, min, max, **context.options), "count")


_WHY = "A place among boundaries is an integer: neither the number nor the boundaries receive a gradient from it."
_KEEP = "Keep it where the bin only labels or counts and no loss depends on it."


def _rule(code: str, op: str, relax: Callable[..., Any]) -> Rule:
    return Rule(
        code,
        op,
        "discrete",
        _WHY,
        _KEEP,
        "soft ranks by sums of steps; Qin, Liu and Li 2010",
        soft=f"softtorch.{op}",
        relax=relax,
        carry=through_real(relax),
    )


RULES = (
    _rule("SX231", "searchsorted", _searchsorted),
    _rule("SX232", "bucketize", _bucketize),
    _rule("SX233", "histc", _histc),
)
