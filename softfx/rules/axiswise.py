"""Operations that choose or order along an axis: argmax, topk, sort and their kin.

Indices come back as soft indices, values as real numbers; on a shadow they act on the number that it is worth. To add
an operation, write its relaxation and append a record to RULES: `_values` for one that returns elements, `_indices` for
one that returns places alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Operation
from softfx.rules.chosen import choose
from softfx.rules.context import RuleContext, RuleFunction, Shadow
from softfx.rules.estimators import drawn, reinmax
from softfx.rules.ordered_soft_values import (
    Propagation,
    extremes,
    first_of_bools,
    refusing_all,
    refusing_ties,
    sorting,
    without_tied_places,
)
from softfx.rules.refusals import CannotSoften, is_discrete, refuse_discrete
from softfx.rules.rule import Estimate, Family, Rule
from softfx.rules.units import CHOICE, ORDER, POSITION, RUNNING, SELECTION, Unit
from softfx.runtime import choices, distributions, draws, infinities, places, ties
from softfx.values import Soft, SoftIndex

__all__ = ["LARGEST", "RULES", "SMALLEST", "VALUES_OPTIONS"]

_Result = TypeVar("_Result")
# The values along an axis and their places, if the method gives these; a tensor where there is no axis.
_ValuesAndPlaces: TypeAlias = Tensor | tuple[Tensor, Tensor | None]

_NETWORK = ("swap", "error_free", "layout")  # the options of a sorting network
_OPTIONS = ("softness", "mode", "method", "standardize", "ot_kwargs", *_NETWORK)
VALUES_OPTIONS = (*_OPTIONS, "gated_grad")

# -- relaxations -------------------------------------------------------------------------------------------------------


def _ordered(context: RuleContext, function: Callable[..., _Result], *args: object, **kwargs: object) -> _Result:
    """A call with the policy's options; those of a sorting network make one of the method's name."""
    network = {key: context.options[key] for key in _NETWORK if key in context.options}
    options = {key: value for key, value in context.options.items() if key not in network}
    if not network or options.get("method") != "sorting_network":
        return context.call(function, *args, **kwargs, **options)
    result: _Result = context.call(distributions.by_network, function.__name__, network, *args, **kwargs, **options)
    return result


def _pair(context: RuleContext, pair: _ValuesAndPlaces) -> tuple[Tensor, SoftIndex | None]:
    """Values and their places, which a method without soft indices does not give."""
    values, index = pair
    return values, None if index is None else context.soft_index(index)


def _permutation(context: RuleContext, index: Tensor | None, dim: int) -> SoftIndex | None:
    """Places of which no two along `dim` are the same."""
    if index is None or index.dim() < 2:
        return None if index is None else context.soft_index(index)
    return context.soft_index(index, distinct=dim % (index.dim() - 1))


def _arg(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of argmax or argmin."""

    def relax(context: RuleContext, input: Tensor, dim: int | None = None, keepdim: bool = False) -> SoftIndex:
        refuse_discrete(input)
        return context.soft_index(_ordered(context, function, input, dim=dim, keepdim=keepdim))

    return relax


def _extreme(function: Callable[..., _ValuesAndPlaces], pairwise: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of max or min: of all elements, along an axis, or of two tensors elementwise."""

    def relax(context: RuleContext, input: Tensor, dim: Tensor | int | None = None, keepdim: bool = False, *,
              other: Tensor | None = None) -> Shadow:  # fmt: skip
        refuse_discrete(input)
        other = dim if isinstance(dim, Tensor) else other
        if other is not None:
            refuse_discrete(other)
            options = {key: context.options[key] for key in ("softness", "mode") if key in context.options}
            return context.call(pairwise, input, other, **options)
        if dim is None:
            return _ordered(context, function, input)
        return _pair(context, _ordered(context, function, input, dim=dim, keepdim=keepdim))

    return relax


def _amax(function: Callable[..., _ValuesAndPlaces]) -> RuleFunction:
    """The relaxation of amax or amin: one axis after the other, the last first."""

    def relax(context: RuleContext, input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False) -> Tensor:
        refuse_discrete(input)
        axes = (dim,) if isinstance(dim, int) else tuple(dim) or tuple(range(input.dim()))
        value = input
        for axis in sorted((axis % max(input.dim(), 1) for axis in axes), reverse=True):
            value = _ordered(context, function, value, dim=axis, keepdim=keepdim)[0]
        return value

    return relax


def _cumulative(function: Callable[..., _ValuesAndPlaces]) -> RuleFunction:
    """The relaxation of cummax or cummin."""

    def relax(context: RuleContext, input: Tensor, dim: int) -> Shadow:
        refuse_discrete(input)
        return _pair(context, _ordered(context, function, input, dim=dim))

    return relax


def _topk(context: RuleContext, input: Tensor, k: int, dim: int = -1, largest: bool = True,
          sorted: bool = True) -> Shadow:  # fmt: skip
    refuse_discrete(input)
    hard = context.hard[1]
    if input.dim() and choices.is_wide(hard.numel(), k, input.shape[dim]):
        return choose(context, input, hard, dim, largest)
    source = input if largest else context.call(torch.neg, input)
    values, index = _pair(context, _ordered(context, softtorch.topk, source, k, dim=dim))
    return values if largest else context.call(torch.neg, values), index


def _sort(context: RuleContext, input: Tensor, dim: int = -1, descending: bool = False,
          stable: bool | None = None) -> Shadow:  # fmt: skip
    refuse_discrete(input)
    values, index = _ordered(context, softtorch.sort, input, dim=dim, descending=descending)
    return values, _permutation(context, index, dim)


def _msort(context: RuleContext, input: Tensor) -> Shadow:
    refuse_discrete(input)
    values, _ = _ordered(context, softtorch.sort, input, dim=0)
    return values


def _argsort(context: RuleContext, input: Tensor, dim: int = -1, descending: bool = False,
             stable: bool = False) -> Shadow:  # fmt: skip
    refuse_discrete(input)
    index = _ordered(context, softtorch.argsort, input, dim=dim, descending=descending)
    return _permutation(context, index, dim)


def _median(context: RuleContext, input: Tensor, dim: int | None = None, keepdim: bool = False) -> Shadow:
    refuse_discrete(input)
    if dim is None:
        return _ordered(context, softtorch.median, input)
    return _pair(context, _ordered(context, softtorch.median, input, dim=dim, keepdim=keepdim))


def _kthvalue(context: RuleContext, input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Shadow:
    refuse_discrete(input)
    return _pair(context, _ordered(context, softtorch.kthvalue, input, k, dim=dim, keepdim=keepdim))


def _quantile(
    context: RuleContext, input: Tensor, q: Tensor | float, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Shadow:  # fmt: skip
    refuse_discrete(input)
    return _ordered(context, softtorch.quantile, input, q, dim=dim, keepdim=keepdim, interpolation=interpolation)


def _unique(
    context: RuleContext, input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Shadow:  # fmt: skip
    """The distinct numbers, and which of them each element is: its soft rank among them."""
    refuse_discrete(input)
    if dim is not None or not sorted:
        raise CannotSoften("unique along an axis, or unsorted, has no rule")
    alone = isinstance(context.hard, Tensor)
    values, place = context.call(places.distinct, input, context.hard if alone else context.hard[0])
    if alone:
        return values
    inverse: tuple[Soft, ...] = ()
    if return_inverse:
        ranks = _ordered(context, softtorch.rank, values, descending=False)  # from 1 on
        inverse = (context.soft_count(context.call(places.place_of, ranks, place)),)
    return (values, *inverse, *((None,) if return_counts else ()))


def _beside_nan(relax: RuleFunction, level: float = torch.inf) -> RuleFunction:
    """`relax` with NaN ordered as torch orders it, behind all numbers, or before them; a NaN stays one.

    In softtorch a NaN makes its row NaN, and no other element of the row would have a gradient.
    """

    @wraps(relax)
    def beside(context: RuleContext, input: Tensor, *args: object, **kwargs: object) -> Shadow:
        if not context.meets_nan or is_discrete(input):
            return relax(context, input, *args, **kwargs)
        shadow = relax(context, context.call(infinities.without_nan, input, level), *args, **kwargs)
        if isinstance(shadow, tuple):
            values, *rest = shadow
            return (context.call(infinities.with_nan, values, context.hard[0]), *rest)
        return context.call(infinities.with_nan, shadow, context.hard) if isinstance(shadow, Tensor) else shadow

    return beside


# -- the records -------------------------------------------------------------------------------------------------------

_INDEX_WHY = "An index is an integer: the numbers it was chosen from receive no gradient from what it selects."
_VALUE_WHY = "Only the chosen elements receive a gradient; the others never learn that they were close."
_KEEP = "Keep it where the choice is not to be learned, or where another term already trains the scores."
_SOURCE = "arXiv 2006.16038 (softsort), arXiv 1903.08850 (neuralsort)"

# The clauses that formulas share.
STANDARDIZED = (
    "u_j = sigmoid((x_j - mean(x)) / sqrt(h + c)), h = var(x), c = min(d, 1e-6), d = max(1e-6 h, 1e-3 h - 1e-6)"
)
LARGEST = f"p_j = softmax_j(u_j / s), {STANDARDIZED}"
SMALLEST = f"p_j = softmax_j(-u_j / s), {STANDARDIZED}"
_SMALLEST_ON = f"i from the smallest on, |.| soft, {STANDARDIZED}"
_LARGEST_ON = f"i from the largest on, |.| soft, {STANDARDIZED}"
_RISING = f"P_ij = softmax_j(((2 i - n - 1) u_j - sum_l |u_j - u_l|) / s), {_SMALLEST_ON}"
_FALLING = f"P_ij = softmax_j(((n + 1 - 2 i) u_j - sum_l |u_j - u_l|) / s), {_LARGEST_ON}"


def _values(
    code: str,
    operation: Operation,
    relax: RuleFunction,
    formula: str,
    *,
    soft: str = "",
    family: Family = "discrete",
    propagating: Propagation = without_tied_places,
    drop_in: bool = False,
    estimators: Mapping[str, Estimate | None] | None = None,
    unit: Unit = ORDER,
    tied: Callable[..., Tensor] | None = None,
) -> Rule:
    """A rule of an operation that returns elements, and perhaps their places."""
    return Rule(
        code,
        operation,
        family,
        _VALUE_WHY,
        _KEEP,
        _SOURCE,
        formula=formula,
        soft=soft or f"softtorch.{operation.name}",
        relax=relax,
        propagate=propagating(relax),
        options=VALUES_OPTIONS,
        drop_in=drop_in,
        estimators=estimators or {},
        unit=unit,
        tied_places=tied,
    )


def _indices(
    code: str,
    operation: Operation,
    relax: RuleFunction,
    formula: str,
    propagating: Propagation,
    *,
    soft: str = "",
    estimators: Mapping[str, Estimate | None] | None = None,
    unit: Unit = ORDER,
    tied: Callable[..., Tensor] | None = None,
) -> Rule:
    """A rule of an operation for whose places softness matters."""
    return Rule(
        code,
        operation,
        "discrete",
        _INDEX_WHY,
        _KEEP,
        _SOURCE,
        formula=formula,
        soft=soft or f"softtorch.{operation.name}",
        relax=relax,
        propagate=propagating(relax),
        options=_OPTIONS,
        estimators=estimators or {},
        unit=unit,
        tied_places=tied,
    )


def _of_choices(operation: Operation) -> dict[str, Estimate | None]:
    """Draws, and exchanges, for an operation that chooses by place."""
    return {"gumbel": drawn(operation.function, draws.with_gumbel_noise), "exchange": None}


def _of_reals(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True if the operand of a call is a tensor of real numbers."""
    input = args[0] if args else kwargs.get("input")
    return isinstance(input, Tensor) and not is_discrete(input)


RULES = (
    _indices("SX201", ops.argmax, _arg(softtorch.argmax), f"softsort: {LARGEST}", first_of_bools(largest=True),
             estimators=_of_choices(ops.argmax) | {"reinmax": reinmax}, unit=CHOICE, tied=ties.first_largest),
    _indices("SX202", ops.argmin, _arg(softtorch.argmin), f"softsort: {SMALLEST}", first_of_bools(largest=False),
             estimators=_of_choices(ops.argmin) | {"reinmax": reinmax}, unit=CHOICE, tied=ties.first_smallest),
    _values("SX203", ops.max, _extreme(softtorch.max, softtorch.maximum),
            f"softsort: sum_j p_j x_j, {LARGEST}; of two tensors: maximum(x, y), maximum soft",
            propagating=extremes(True, torch.maximum), unit=CHOICE, tied=ties.first_largest),
    _values("SX204", ops.min, _extreme(softtorch.min, softtorch.minimum),
            f"softsort: sum_j p_j x_j, {SMALLEST}; of two tensors: minimum(x, y), minimum soft",
            propagating=extremes(False, torch.minimum), unit=CHOICE, tied=ties.first_smallest),
    _values("SX205", ops.sort, _beside_nan(_sort), f"neuralsort: values sum_j P_ij x_j, indices P_ij, {_RISING}",
            propagating=sorting, estimators=_of_choices(ops.sort), tied=ties.in_order),
    _values("SX206", ops.topk, _beside_nan(_topk),
            f"neuralsort: values sum_j P_ij x_j, indices P_ij, i up to k, {_FALLING}",
            estimators=_of_choices(ops.topk), unit=SELECTION, tied=ties.among_largest),
    _indices("SX207", ops.argsort, _beside_nan(_argsort), f"neuralsort: {_RISING}", refusing_ties,
             estimators=_of_choices(ops.argsort), tied=ties.in_order),
    _values("SX208", ops.median, _median,
            f"neuralsort: values sum_j P_mj x_j, indices P_mj, m the lower of the middle places, {_RISING}",
            unit=POSITION, tied=ties.at_median),
    _values("SX209", ops.kthvalue, _beside_nan(_kthvalue),
            f"neuralsort: values sum_j P_kj x_j, indices P_kj, {_RISING}", unit=POSITION,
            tied=ties.at_rank),
    _values("SX210", ops.quantile, _quantile,
            f"neuralsort: (1 - w) v_m + w v_(m+1), m + w = 1 + q (n - 1), v_i = sum_j P_ij x_j, {_RISING}",
            drop_in=True, unit=POSITION),
    _values("SX211", ops.cummax, _beside_nan(_cumulative(softtorch.cummax)),
            f"softsort: values sum_j P_ij x_j, indices P_ij, P_ij = softmax_(j <= i)(u_j / s), {STANDARDIZED}",
            unit=RUNNING, tied=ties.running_largest),
    _values("SX212", ops.cummin, _beside_nan(_cumulative(softtorch.cummin), -torch.inf),
            f"softsort: values sum_j P_ij x_j, indices P_ij, P_ij = softmax_(j <= i)(-u_j / s), {STANDARDIZED}",
            unit=RUNNING, tied=ties.running_smallest),
    _values("SX213", ops.msort, _beside_nan(_msort), f"neuralsort: sum_j P_ij x_j, {_RISING}", soft="softtorch.sort",
            drop_in=True),
    replace(_indices("SX214", ops.unique, _unique,
                     "neuralsort: values x_j as they are, inverse sum_i i P_ij / sum_i P_ij - 1, x the distinct "
                     f"numbers, {_RISING}", refusing_all, soft="softtorch.rank"),
            is_site=_of_reals),
    _values("SX221", ops.amax, _amax(softtorch.max),
            f"softsort, along each dim, the last first: sum_j p_j x_j, {LARGEST}",
            soft="softtorch.max", family="kink", propagating=extremes(True), drop_in=True, unit=CHOICE),
    _values("SX222", ops.amin, _amax(softtorch.min),
            f"softsort, along each dim, the last first: sum_j p_j x_j, {SMALLEST}",
            soft="softtorch.min", family="kink", propagating=extremes(False), drop_in=True, unit=CHOICE),
)  # fmt: skip
