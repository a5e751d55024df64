"""Operations that choose or order along an axis: argmax, topk, sort and their kin.

Indices come back as soft indices, values as real numbers; on a shadow they act on the number it is worth.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.arithmetic import on_integers
from softfx.rules.estimators import drawn, reinmax
from softfx.rules.rule import Cut, Estimate, Rule, RuleContext
from softfx.rules.values import is_discrete, through_real, truth
from softfx.runtime import distributions, draws, places
from softfx.values.domains import Domain, Soft

__all__ = ["RULES"]


def _refuse(input: Any) -> None:
    if is_discrete(input):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")


def _ordered(context: RuleContext, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A call with the policy's options; those of a sorting network make one of the method's name."""
    network = {key: context.options[key] for key in _NETWORK if key in context.options}
    options = {key: value for key, value in context.options.items() if key not in network}
    if not network or options.get("method") != "sorting_network":
        return context.call(function, *args, **kwargs, **options)
    return context.call(distributions.by_network, function.__name__, network, *args, **kwargs, **options)


def _index(context: RuleContext, value: Tensor) -> Any:
    return context.soft(value, "soft_index")


def _arg(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        _refuse(input)
        return _index(context, _ordered(context, function, input, dim=dim, keepdim=keepdim))

    return relax


def _extreme(function: Callable[..., Any], pairwise: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        _refuse(input)
        other = dim if isinstance(dim, Tensor) else other
        if other is not None:
            _refuse(other)
            options = {key: context.options[key] for key in ("softness", "mode") if key in context.options}
            return context.call(pairwise, input, other, **options)
        if dim is None:
            return _ordered(context, function, input)
        values, index = _pair(context, _ordered(context, function, input, dim=dim, keepdim=keepdim))
        return values, index

    return relax


def _pair(context: RuleContext, pair: Any) -> tuple[Tensor, Any]:
    values, index = pair
    return values, None if index is None else _index(context, index)


def _permutation(context: RuleContext, index: Tensor | None) -> Soft | None:
    return None if index is None else replace(context.soft(index, "soft_index"), distinct=True)


def _topk(context: RuleContext, input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    _refuse(input)
    source = input if largest else context.call(torch.neg, input)
    values, index = _pair(context, _ordered(context, softtorch.topk, source, k, dim=dim))
    return values if largest else context.call(torch.neg, values), index


def _sort(context: RuleContext, input: Any, dim: int = -1, descending: bool = False, stable: bool | None = None) -> Any:
    _refuse(input)
    values, index = _ordered(context, softtorch.sort, input, dim=dim, descending=descending)
    return values, _permutation(context, index)


def _msort(context: RuleContext, input: Any) -> Any:
    _refuse(input)
    values, _ = _pair(context, _ordered(context, softtorch.sort, input, dim=0))
    return values


def _argsort(context: RuleContext, input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    _refuse(input)
    index = _ordered(context, softtorch.argsort, input, dim=dim, descending=descending)
    return _permutation(context, index)


def _median(context: RuleContext, input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    _refuse(input)
    if dim is None:
        return _ordered(context, softtorch.median, input)
    return _pair(context, _ordered(context, softtorch.median, input, dim=dim, keepdim=keepdim))


def _kthvalue(context: RuleContext, input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    _refuse(input)
    return _pair(context, _ordered(context, softtorch.kthvalue, input, k, dim=dim, keepdim=keepdim))


def _cumulative(function: Callable[..., Any]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, dim: int) -> Any:
        _refuse(input)
        return _pair(context, _ordered(context, function, input, dim=dim))

    return relax


def _unique(
    context: RuleContext, input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """The distinct numbers, and which of them each element is: its soft rank among them."""
    _refuse(input)
    if dim is not None or not sorted:
        raise Cut("unique along an axis, or unsorted, has no rule")
    hard = context.hard[0] if isinstance(context.hard, tuple) else context.hard
    values, place = context.call(places.distinct, input, hard)
    if not isinstance(context.hard, tuple):
        return values
    inverse: tuple[Any, ...] = ()
    if return_inverse:
        ranks = _ordered(context, softtorch.rank, values, descending=False)  # from 1 on
        inverse = (context.soft(context.call(places.place_of, ranks, place), "count"),)
    return (values, *inverse, *((None,) if return_counts else ()))


def _not_unique(context: RuleContext, *args: Any, **kwargs: Any) -> Any:
    raise Cut("unique has a shape that depends on data")


def _of_reals(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    input = args[0] if args else kwargs.get("input")
    return isinstance(input, Tensor) and not is_discrete(input)


def _quantile(
    context: RuleContext, input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Any:  # fmt: skip
    _refuse(input)
    return _ordered(context, softtorch.quantile, input, q, dim=dim, keepdim=keepdim, interpolation=interpolation)


def _amax(largest: bool) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, dim: Any = (), keepdim: bool = False) -> Any:
        _refuse(input)
        axes = (dim,) if isinstance(dim, int) else tuple(dim) or tuple(range(input.dim()))
        value = input
        function = softtorch.max if largest else softtorch.min
        for axis in sorted((axis % max(input.dim(), 1) for axis in axes), reverse=True):
            value = _ordered(context, function, value, dim=axis, keepdim=keepdim)[0]
        return value

    return relax


_NETWORK = ("swap", "error_free", "layout")
_OPTIONS = ("softness", "mode", "method", "standardize", "ot_kwargs", *_NETWORK)
_GATED = ("max", "min", "sort", "topk", "median", "kthvalue", "quantile", "cummax", "cummin", "msort", "amax", "amin")
_INDEX_WHY = "An index is an integer: the numbers it was chosen from receive no gradient from what it selects."
_VALUE_WHY = "Only the chosen elements receive a gradient; the others never learn that they were close."
_KEEP = "Keep it where the choice is not to be learned, or where another term already trains the scores."


def _are_bools(context: RuleContext, operand: Any) -> bool:
    """Whether a shadow ranges over 0 and 1 alone."""
    if not isinstance(operand, Soft) or operand.domain is Domain.SOFT_BOOL:
        return isinstance(operand, Soft)
    return operand.domain is Domain.SOFT_INDEX and operand.support is None and operand.value.shape[-1] <= 2


def _first(largest: bool) -> Callable[..., Any]:
    """argmax of bools: the first that is true, or the first of all; argmin: the first that is false."""

    def carry(context: RuleContext, input: Soft, dim: int | None = None, keepdim: bool = False) -> Any:
        chance = truth(context, input) if largest else context.call(torch.rsub, truth(context, input), 1)
        weights = context.call(places.first, chance, dim)
        if keepdim:
            axis = dim if dim is not None else 0
            weights = context.call(torch.unsqueeze, weights, axis % context.hard.dim())
        return context.soft(weights, "soft_index")

    return carry


_OF_TWO = {"max": torch.maximum, "min": torch.minimum}


def _through_ties(op: str, relax: Callable[..., Any]) -> Callable[..., Any]:
    """The carry of an operation that orders: values come through, the places of integers that tie do not.

    Where numbers tie torch takes the first of them; a relaxation shares the place among them at any softness. Bools and
    indices that are sorted tie as a rule, so only distinct ones (an argsort's) keep soft places; of the largest alone a
    bool's place is the first that is true, and any other's a place like that of a real number.
    """
    through = through_real(relax)
    first = {"argmax": _first(True), "argmin": _first(False)}.get(op)

    def carry(context: RuleContext, *args: Any, **kwargs: Any) -> Any:
        softs = [operand for operand in (*args, *kwargs.values()) if isinstance(operand, Soft)]
        ties = any(s.domain in (Domain.SOFT_INDEX, Domain.SOFT_BOOL) and not s.distinct for s in softs)
        if op in _OF_TWO and len(args) == 2 and isinstance(args[1], Tensor | Soft):
            index = on_integers(context, _OF_TWO[op], *args)
            if index is not None:
                return index
        if ties and op == "argsort":
            raise Cut("it orders integers, whose ties a relaxation would share out")
        if ties and first is not None and _are_bools(context, args[0]):
            return first(context, *args, **kwargs)
        shadow = through(context, *args, **kwargs)
        if ties and isinstance(shadow, tuple) and op not in ("max", "min"):
            return (shadow[0], *(None for _ in shadow[1:]))
        return shadow

    carry.__signature__ = inspect.signature(relax)  # type: ignore[attr-defined]  # arguments are checked as relax's
    return carry


def _axiswise(
    code: str, op: str, relax: Callable[..., Any], why: str, soft: str = "", *aliases: str, **kind: Any
) -> Rule:
    return Rule(
        code,
        op,
        kind.get("family", "discrete"),
        why,
        _KEEP,
        kind.get("source", "arXiv 2006.16038 (softsort), arXiv 1903.08850 (neuralsort)"),
        soft=f"softtorch.{soft or op}",
        relax=relax,
        carry=_through_ties(op, relax),
        aliases=aliases,
        options=(*_OPTIONS, "gated_grad") if op in _GATED else _OPTIONS,
        drop_in=kind.get("drop_in", False),
        estimators=_estimators(op),
    )


def _estimators(op: str) -> dict[str, Estimate]:
    """Draws for what chooses by place; ReinMax for the choice of one."""
    if op not in ("argmax", "argmin", "topk", "sort", "argsort"):
        return {}
    noise: dict[str, Estimate] = {"gumbel": drawn(getattr(torch, op), draws.with_gumbel_noise)}
    return noise | ({"reinmax": reinmax} if op in ("argmax", "argmin") else {})


RULES = (
    _axiswise("SX201", "argmax", _arg(softtorch.argmax), _INDEX_WHY),
    _axiswise("SX202", "argmin", _arg(softtorch.argmin), _INDEX_WHY),
    _axiswise("SX203", "max", _extreme(softtorch.max, softtorch.maximum), _VALUE_WHY),
    _axiswise("SX204", "min", _extreme(softtorch.min, softtorch.minimum), _VALUE_WHY),
    _axiswise("SX205", "sort", _sort, _VALUE_WHY),
    _axiswise("SX206", "topk", _topk, _VALUE_WHY),
    _axiswise("SX207", "argsort", _argsort, _INDEX_WHY),
    _axiswise("SX208", "median", _median, _VALUE_WHY),
    _axiswise("SX209", "kthvalue", _kthvalue, _VALUE_WHY),
    _axiswise("SX210", "quantile", _quantile, _VALUE_WHY, drop_in=True),
    _axiswise("SX211", "cummax", _cumulative(softtorch.cummax), _VALUE_WHY),
    _axiswise("SX212", "cummin", _cumulative(softtorch.cummin), _VALUE_WHY),
    _axiswise("SX213", "msort", _msort, _VALUE_WHY, "sort", drop_in=True),
    replace(_axiswise("SX214", "unique", _unique, _INDEX_WHY, "rank"), carry=_not_unique, site=_of_reals),
    _axiswise("SX221", "amax", _amax(True), _VALUE_WHY, "max", family="kink", drop_in=True),
    _axiswise("SX222", "amin", _amax(False), _VALUE_WHY, "min", family="kink", drop_in=True),
)
