"""Sums of whole multiples of soft integers: row * width + column, a number written in any radices.

As a mere number such a sum lies between its neighbours, which are other pixels; it keeps its terms, and where it is
asked which integers it may be it ranges over their combinations. A sum of too many combinations is a number only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from softfx.rules.context import Operand, RuleContext
from softfx.rules.readings import softs_in
from softfx.runtime import counts
from softfx.values import Soft, SoftChoice, SoftCount, SoftIndex, SoftSum, Term

__all__ = ["as_sum", "in_radices", "negated", "pointed", "summed"]

# Combinations beyond these cost more than they tell.
_MOST_POINTS = 4096
_MOST_TERMS = 12


def as_sum(context: RuleContext, exact: Callable[..., Tensor], value: Tensor, *operands: Operand) -> SoftSum | None:
    """The sum that `exact`, an addition, subtraction or multiplication, gives of integers; None where it is no such.

    value: the number that it is worth.
    """
    softs = softs_in(operands)
    multiplies, adds = exact is torch.mul and len(softs) == 1, exact in (torch.add, torch.sub) and _keeps_terms(softs)
    if not (multiplies or adds) or not all(context.is_integral(operand) for operand in operands):
        return None
    if multiplies:
        factor = next(operand for operand in operands if operand is not softs[0])
        terms, offset = _multiplied(context, *_parts(context, softs[0]), _factor(factor))
    else:
        (terms, offset), (others, other) = (_parts(context, operand) for operand in operands)
        if exact is torch.sub:
            others, other = _multiplied(context, others, other, -1)
        terms, offset = (*terms, *others), _called(context, torch.add, offset, other)
    return _limited(_sum(context, value, terms, offset))


def _keeps_terms(softs: list[Soft]) -> bool:
    """Return True if a sum of these is more than a count: one of them has terms, or is a place beside a count."""
    if any(isinstance(soft, SoftSum) for soft in softs):
        return True
    return any(isinstance(soft, SoftIndex | SoftChoice) for soft in softs) and any(
        isinstance(soft, SoftCount) for soft in softs
    )


def _parts(context: RuleContext, operand: Operand) -> tuple[tuple[Term, ...], Tensor | float]:
    """An operand as terms and what is added to them."""
    if isinstance(operand, SoftSum):
        return operand.terms, operand.offset
    return ((Term(operand, 1),), 0) if isinstance(operand, Soft) else ((), operand)


def _factor(factor: Operand) -> Tensor | float:
    assert not isinstance(factor, Soft)  # it is the hard operand
    return int(factor) if isinstance(factor, float) else factor


def _multiplied(
    context: RuleContext, terms: tuple[Term, ...], offset: Tensor | float, factor: Tensor | float
) -> tuple[tuple[Term, ...], Tensor | float]:
    scaled = tuple(Term(term.integer, _called(context, torch.mul, term.factor, factor)) for term in terms)
    return scaled, _called(context, torch.mul, offset, factor)


def _called(
    context: RuleContext, function: Callable[..., Tensor], x: Tensor | float, y: Tensor | float
) -> Tensor | float:
    """`function` of two operands that may both be numbers: an addition or a multiplication."""
    if isinstance(x, Tensor):
        return x if _is_neutral(function, y) else context.call(function, x, y)
    if isinstance(y, Tensor):
        return y if _is_neutral(function, x) else context.call(function, y, x)
    return x + y if function is torch.add else x * y


def _is_neutral(function: Callable[..., Tensor], number: Tensor | float) -> bool:
    return not isinstance(number, Tensor) and number == (0 if function is torch.add else 1)


def _sum(context: RuleContext, value: Tensor, terms: tuple[Term, ...], offset: Tensor | float) -> SoftSum:
    count = context.soft_count(value)
    return SoftSum(count.value, terms, offset, exact=count.exact, sites=count.sites)


def _limited(found: SoftSum) -> SoftSum | None:
    return found if len(found.terms) <= _MOST_TERMS and found.points <= _MOST_POINTS else None


def negated(context: RuleContext, value: Tensor, soft: SoftCount) -> SoftSum:
    """Minus a count or a sum."""
    return _sum(context, value, *_multiplied(context, *_parts(context, soft), -1))


def pointed(context: RuleContext, operand: Operand, *radices: Operand) -> Operand:
    """A count, or a sum, as an index over the numbers that it may be; anything else as it is."""
    if isinstance(operand, SoftSum):
        operand = in_radices(context, operand, *radices)
    elif not isinstance(operand, SoftCount):
        return operand
    return context.soft_index(*operand.finite(context.call))


# -- along an axis -----------------------------------------------------------------------------------------------------


def summed(
    context: RuleContext, value: Tensor, soft: Soft, dim: object = None, keepdim: object = False
) -> SoftSum | None:
    """The sum of a few multiples along an axis, as of the rows and columns of points; None for any other sum.

    value: the number that it is worth.
    """
    if not isinstance(soft, SoftSum) or not isinstance(dim, int) or keepdim or not soft.shape:
        return None
    length = soft.shape[dim]
    if length * len(soft.terms) > _MOST_TERMS:
        return None
    parts = soft.moved(context.call, torch.unbind, dim)
    assert isinstance(parts, list)  # of the tensors that unbind gives
    sums = [part for part in parts if isinstance(part, SoftSum)]
    offset: Tensor | float = 0
    for part in sums:
        offset = _called(context, torch.add, offset, part.offset)
    return _limited(_sum(context, value, tuple(term for part in sums for term in part.terms), offset))


# -- radices -----------------------------------------------------------------------------------------------------------


def in_radices(context: RuleContext, soft: SoftSum, *radices: Operand) -> SoftSum:
    """A number in mixed radices, no digit of which leaves its range for its neighbour's sake.

    The neighbour of the last column is no pixel of the next row. Where factors are no radices it stays as it is.

    radices: what else is known of them: the size of the axis that it is a place on, what it is divided by.
    """
    factors = [term.factor for term in soft.terms if isinstance(term.factor, int) and term.factor > 0]
    if len(factors) < len(soft.terms) or isinstance(soft.offset, Tensor) or soft.offset:
        return soft
    known = [*factors, *(int(radix) for radix in radices if isinstance(radix, int | float))]
    terms = []
    for term, factor in zip(soft.terms, factors, strict=True):
        above = [radix for radix in known if radix > factor]
        if type(term.integer) is SoftCount and above:
            base = -(-min(above) // factor)
            term = Term(context.soft_index(*context.call(counts.digit, term.integer.value, base)), factor)
        terms.append(term)
    return replace(soft, terms=tuple(terms))
