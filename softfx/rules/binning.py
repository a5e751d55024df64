"""searchsorted, bucketize and histc: between which boundaries a number lies."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_number, is_discrete, points, through_real
from softfx.runtime import places
from softfx.values.domains import Soft

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


def _carry_histc(context: RuleContext, input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """What stands for an integer falls into the bins of those that it may be."""
    if not isinstance(input, Soft) or min >= max:
        return through_real(_histc)(context, input, bins, min, max)
    return context.soft(context.call(places.binned, *points(context, input), bins, min, max), "count")


def _carry_located(relax: Callable[..., Any]) -> Callable[..., Any]:
    """An integer among fixed boundaries has the places of those that it may be."""
    through = through_real(relax)

    def carry(context: RuleContext, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(relax).bind(context, *args, **kwargs).arguments
        first = "sorted_sequence" if "sorted_sequence" in bound else "boundaries"
        edges, values = bound[first], bound["input"]
        fixed = isinstance(edges, Tensor) and edges.dim() == 1 and bound.get("sorter") is None
        if not isinstance(values, Soft) or not fixed:
            return through(context, *args, **kwargs)
        weights, numbers = points(context, values)
        right = bool(bound.get("right")) or bound.get("side") == "right"
        return context.soft(weights, "soft_index", context.call(places.located, edges, numbers, right))

    carry.__signature__ = inspect.signature(relax)  # type: ignore[attr-defined]  # arguments are checked as relax's
    return carry


_WHY = "A place among boundaries is an integer: neither the number nor the boundaries receive a gradient from it."
_KEEP = "Keep it where the bin only labels or counts and no loss depends on it."


def _rule(code: str, op: str, relax: Callable[..., Any], carry: Callable[..., Any]) -> Rule:
    return Rule(
        code,
        op,
        "discrete",
        _WHY,
        _KEEP,
        "soft ranks by sums of steps; Qin, Liu and Li 2010",
        soft=f"softtorch.{op}",
        relax=relax,
        carry=carry,
    )


RULES = (
    _rule("SX231", "searchsorted", _searchsorted, _carry_located(_searchsorted)),
    _rule("SX232", "bucketize", _bucketize, _carry_located(_bucketize)),
    _rule("SX233", "histc", _histc, _carry_histc),
)
