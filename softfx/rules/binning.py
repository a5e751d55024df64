"""searchsorted, bucketize and histc: between which boundaries a number lies.

Places among boundaries are soft indices, numbers of elements in bins are counts. To add an operation, append a record
to RULES; one that locates numbers among boundaries propagates by `_among`.
"""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.operation import Operation
from softfx.rules.context import RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.readings import as_number, checked_as, through_real
from softfx.rules.refusals import CannotSoften, is_discrete, refuse_discrete
from softfx.rules.rule import Rule
from softfx.rules.units import ENTRIES
from softfx.runtime import places
from softfx.values import Soft, SoftCount, SoftIndex

__all__ = ["RULES"]


# -- places among boundaries -------------------------------------------------------------------------------------------


def _searchsorted(
    context: RuleContext, sorted_sequence: Tensor, input: Tensor | float, *, out_int32: bool = False,
    right: bool = False, side: str | None = None, sorter: Tensor | None = None,
) -> SoftIndex:  # fmt: skip
    if sorter is not None:
        raise CannotSoften("searchsorted with a sorter has no rule")
    return _located(context, sorted_sequence, input, right or side == "right")


def _bucketize(
    context: RuleContext, input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> SoftIndex:
    return _located(context, boundaries, input, right)


def _located(context: RuleContext, boundaries: Tensor, values: Tensor | float, right: bool) -> SoftIndex:
    refuse_discrete(boundaries, values)
    like = boundaries if is_discrete(values) or not isinstance(values, Tensor) else values
    if not isinstance(values, Tensor):
        values = context.call(torch.full, (), values, dtype=like.dtype, device=like.device)
    values, edges = as_number(context, values, like), as_number(context, boundaries, like)
    return context.soft_index(context.call(softtorch.searchsorted, edges, values, right=right, **context.options))


def _among(boundaries: str, relax: RuleFunction) -> RuleFunction:
    """The propagation of an operation whose argument `boundaries` is searched.

    An integer among fixed boundaries has the places of the integers that it may be.
    """
    through, signature = through_real(relax), inspect.signature(relax)

    def propagate(context: RuleContext, *args: object, **kwargs: object) -> Shadow:
        bound = signature.bind(context, *args, **kwargs).arguments
        edges, values = bound[boundaries], bound["input"]
        fixed = isinstance(edges, Tensor) and edges.dim() == 1 and bound.get("sorter") is None
        if not isinstance(values, Soft) or not fixed:
            return through(context, *args, **kwargs)
        weights, numbers = values.finite(context.call)
        right = bool(bound.get("right")) or bound.get("side") == "right"
        return context.soft_index(weights, context.call(places.located, edges, numbers, right))

    return checked_as(relax, propagate)


# -- bins --------------------------------------------------------------------------------------------------------------


def _histc(
    context: RuleContext, input: Tensor, bins: int = 100, min: Tensor | float = 0, max: Tensor | float = 0
) -> SoftCount:
    refuse_discrete(input)
    return context.soft_count(context.call(softtorch.histc, input, bins, min, max, **context.options))


def _histc_of_integers(
    context: RuleContext, input: TensorOrSoft, bins: int = 100, min: Tensor | float = 0, max: Tensor | float = 0
) -> Shadow:
    """The propagation of histc: a shadow falls into the bins of the integers that it may be."""
    if not isinstance(input, Soft) or isinstance(min, Tensor) or isinstance(max, Tensor) or min >= max:
        return through_real(_histc)(context, input, bins, min, max)
    weights, numbers = input.finite(context.call)
    return context.soft_count(context.call(places.binned, weights, numbers, bins, min, max))


# -- the records -------------------------------------------------------------------------------------------------------


def _rule(code: str, operation: Operation, relax: RuleFunction, propagate: RuleFunction, formula: str) -> Rule:
    return Rule(
        code,
        operation,
        "discrete",
        "A place among boundaries is an integer: neither the number nor the boundaries receive a gradient from it.",
        "Keep it where the bin only labels or counts and no loss depends on it.",
        "soft ranks by sums of steps; Qin, Liu and Li 2010",
        formula=formula,
        soft=f"softtorch.{operation.name}",
        relax=relax,
        propagate=propagate,
        unit=ENTRIES,
    )


_GAP = "P_k = sigma((x - b_(k-1)) / s) - sigma((x - b_k) / s), for the gap k of the boundaries b"

RULES = (
    _rule("SX231", ops.searchsorted, _searchsorted, _among("sorted_sequence", _searchsorted), _GAP),
    _rule("SX232", ops.bucketize, _bucketize, _among("boundaries", _bucketize), _GAP),
    _rule(
        "SX233",
        ops.histc,
        _histc,
        _histc_of_integers,
        "sum_j (sigma((x_j - b_k) / s) - sigma((x_j - b_(k+1)) / s)), for bin k between its edges, "
        "the outer edges infinite where the bins span the data",
    ),
)
