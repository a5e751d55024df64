"""What ordering along an axis does to soft values: functions from a rule's `relax` to its `propagate`.

Where numbers tie torch takes the first of them; a relaxation shares the place among them at any softness. Bools and
indices that are sorted tie as a rule, so only distinct ones (an argsort's) keep soft places; of the largest alone a
bool's place is the first that is true, and any other's a place like that of a real number.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Kwargs, signature_of
from softfx.rules import joined
from softfx.rules.arithmetic import on_integers
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow
from softfx.rules.readings import checked_as, softs_in, through_real
from softfx.rules.refusals import CannotSoften
from softfx.runtime import counts, places, tallies
from softfx.values import Soft, SoftBool, SoftIndex, SoftSign, SoftTally

__all__ = [
    "Propagation",
    "extremes",
    "first_of_bools",
    "refusing_all",
    "refusing_ties",
    "sorting",
    "without_tied_places",
]

# What the comparisons of all numbers of a row with each other may take: 16 MiB of bools.
_MOST_NUMBERS = 1 << 24

# The largest of bools is whether one is true, the smallest whether all are.
_SOME, _EVERY = joined.some(softtorch.any), joined.every(softtorch.all)

Propagation = Callable[[RuleFunction], RuleFunction]


def _may_tie(relax: RuleFunction, args: Args, kwargs: Kwargs) -> bool:
    """Return True if integers among the operands may be equal along the axis that `relax` orders."""
    bound = signature_of(relax).bind(None, *args, **kwargs)
    bound.apply_defaults()
    softs = softs_in([*args, *kwargs.values()])
    return any(isinstance(soft, SoftBool) or _repeats(soft, **bound.arguments) for soft in softs)


def _repeats(soft: Soft, dim: object = None, **_: object) -> bool:
    """Return True if an index may be equal to another along `dim`."""
    if not isinstance(soft, SoftIndex) or not isinstance(dim, int) or soft.distinct is None:
        return isinstance(soft, SoftIndex)
    return dim % len(soft.shape) != soft.distinct


def without_tied_places(relax: RuleFunction) -> RuleFunction:
    """The propagation of an operation that returns elements: values are soft, the places of integers that tie hard."""
    through = through_real(relax)

    def propagate(context: RuleContext, *args: object, **kwargs: object) -> Shadow:
        shadow = through(context, *args, **kwargs)
        if isinstance(shadow, tuple) and _may_tie(relax, args, kwargs):
            return (shadow[0], *(None for _ in shadow[1:]))
        return shadow

    return checked_as(relax, propagate)


def refusing_ties(relax: RuleFunction) -> RuleFunction:
    """The propagation of an operation that returns all places in order; those of a permutation are its inverse."""
    through, signature = through_real(relax), inspect.signature(relax)

    def propagate(context: RuleContext, *args: object, **kwargs: object) -> Shadow:
        arguments = signature.bind(context, *args, **kwargs).arguments
        if (inverse := _inverse(**arguments)) is not None:
            return inverse
        if _may_tie(relax, args, kwargs):
            raise CannotSoften("it orders integers, whose ties a relaxation would share out")
        return through(context, *args, **kwargs)

    return checked_as(relax, propagate)


def sorting(relax: RuleFunction) -> RuleFunction:
    """The propagation of sort: the places of a permutation are its inverse, its values no decision."""
    through, signature = without_tied_places(relax), inspect.signature(relax)

    def propagate(context: RuleContext, *args: object, **kwargs: object) -> Shadow:
        inverse = _inverse(**signature.bind(context, *args, **kwargs).arguments)
        return (None, inverse) if inverse is not None else through(context, *args, **kwargs)

    return checked_as(relax, propagate)


def _inverse(
    context: RuleContext, input: object, dim: int = -1, descending: bool = False, **_: object
) -> SoftIndex | None:
    """The places of 0, 1, 2 ... in a permutation along `dim`, which are the ranks where an argsort gave it."""
    if not isinstance(input, SoftIndex) or not input.is_permutation or dim % len(input.shape) != input.distinct:
        return None
    context.recognise("rank: argsort of argsort")
    weights = context.call(places.inverse, input.weights, input.distinct, bool(descending))
    return context.soft_index(weights, distinct=input.distinct)


def extremes(largest: bool, pairwise: Callable[..., Tensor] | None = None) -> Propagation:
    """The propagation of max, min, amax or amin, on the numbers that integers range over.

    pairwise: what it is of two operands.
    """

    def propagation(relax: RuleFunction) -> RuleFunction:
        through = through_real(relax)

        def propagate(context: RuleContext, *args: Any, **kwargs: Any) -> Shadow:
            if pairwise is not None and len(args) == 2 and isinstance(args[1], Tensor | Soft):
                index = on_integers(context, pairwise, *args)
                return through(context, *args, **kwargs) if index is None else index
            number = _extreme_number(context, largest, *args, **kwargs)
            if number is None:
                return through(context, *args, **kwargs)
            return number if isinstance(context.hard, Tensor) else (number, None)  # the places of ties are hard

        return checked_as(relax, propagate)

    return propagation


def _extreme_number(
    context: RuleContext, largest: bool, input: Operand, dim: object = None, keepdim: bool = False, **_: object
) -> SoftIndex | SoftBool | None:
    """The largest, or smallest, of integers along one axis; None where these are no independent ones, or too many."""
    if not isinstance(input, SoftIndex | SoftBool | SoftSign) or not isinstance(dim, int):
        return None
    if isinstance(input, SoftIndex) and input.distinct is not None:
        return None
    if not input.shape:  # one number is its own extreme, and keeps no axis
        return context.soft_index(*input.finite(context.call))
    axis, length = dim % len(input.shape), input.shape[dim]
    if isinstance(input, SoftBool) and context.reaches:
        return context.soft_bool((_SOME if largest else _EVERY)(context, input.probability, axis, bool(keepdim)))
    if math.prod(input.shape) * length * input.size**2 > _MOST_NUMBERS:
        return None
    weights, numbers = context.call(counts.extreme, *input.finite(context.call), axis, largest)
    if keepdim:
        weights, numbers = (context.call(torch.unsqueeze, part, axis) for part in (weights, numbers))
    return context.soft_index(weights, numbers)


def first_of_bools(largest: bool) -> Propagation:
    """The propagation of argmax or argmin: of bools the first that is true, or false, or the first of all.

    Of tallies it is whichever wins, in all ways to their counts: these tie as a rule, and are far apart beside
    the softness of one of them.
    """

    operation, first_one = (ops.argmax, "true") if largest else (ops.argmin, "false")

    def first(context: RuleContext, input: Soft, dim: int | None = None, keepdim: bool = False) -> SoftIndex:
        if isinstance(input, SoftTally):
            context.recognise(f"vote: {operation.name} of counts")
            axis = None if dim is None or not input.shape else dim % len(input.shape)
            weights = context.call(tallies.winner, input.rows(context.call), axis, largest)
        else:
            context.recognise(f"first {first_one}: {operation.name} of bools")
            true = input.truth(context.call)
            weights = context.call(places.first, true if largest else context.call(torch.rsub, true, 1), dim)
        if keepdim and input.shape:
            axis = dim if dim is not None else 0
            weights = context.call(torch.unsqueeze, weights, axis % context.hard.dim())
        return context.soft_index(weights)

    def propagation(relax: RuleFunction) -> RuleFunction:
        through = through_real(relax)

        def propagate(context: RuleContext, *args: Any, **kwargs: Any) -> Shadow:
            if _is_vote(context, args[0]) or (_may_tie(relax, args, kwargs) and _are_bools(args[0])):
                return first(context, *args, **kwargs)
            return through(context, *args, **kwargs)

        return checked_as(relax, propagate)

    return propagation


def _is_vote(context: RuleContext, operand: object) -> bool:
    """Return True for tallies of which all numbers can be had."""
    return isinstance(operand, SoftTally) and operand.counted > 1 and tallies.is_small(operand.rows(context.call))


def _are_bools(operand: object) -> bool:
    """Return True if a shadow ranges over 0 and 1 alone."""
    index = isinstance(operand, SoftIndex) and operand.support is None and operand.size <= 2
    return index or isinstance(operand, SoftBool)


def refusing_all(relax: RuleFunction) -> RuleFunction:
    """The propagation of unique: none, because equal integers are one."""

    def propagate(context: RuleContext, *args: object, **kwargs: object) -> Shadow:
        raise CannotSoften("unique has a shape that depends on data")

    return propagate
