"""Sums of whole multiples of soft integers: row * width + column, a number written in any radices.

As a mere number such a sum lies between its neighbours, which are other pixels; it keeps its terms, and where it is
asked which integers it may be it ranges over their combinations. A sum of too many combinations is a number only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softfx.rules.context import Operand, RuleContext
from softfx.rules.readings import softs_in
from softfx.values import Soft, SoftChoice, SoftCount, SoftIndex, SoftSum, Term

__all__ = ["MOST_TERMS", "as_sum", "multiple", "negated", "pointed", "summed", "total"]

# Combinations beyond these cost more than they tell.
_MOST_POINTS = 4096
MOST_TERMS = 12


def as_sum(context: RuleContext, exact: Callable[..., Tensor], value: Tensor, *operands: Operand) -> SoftSum | None:
    """The sum that `exact`, an addition, subtraction or multiplication, gives of integers; None where it is no such.

    value: the number that it is worth.
    """
    softs = softs_in(operands)
    multiplies, adds = exact is torch.mul and len(softs) == 1, exact in (torch.add, torch.sub) and _keeps_terms(softs)
    if not (multiplies or adds) or not all(context.is_integral(operand) for operand in operands):
        return None
    if multiplies:
        return multiple(context, value, softs[0], next(operand for operand in operands if operand is not softs[0]))
    first, second = operands
    return total(context, value, first, second, -1 if exact is torch.sub else 1)


def multiple(context: RuleContext, value: Tensor, soft: Soft, factor: Operand) -> SoftSum | None:
    """A soft integer times a whole number, or a tensor of such, that is worth `value`."""
    return _limited(_sum(context, value, *_multiplied(context, *_parts(context, soft), _factor(context, factor))))


def total(context: RuleContext, value: Tensor, first: Operand, second: Operand, sign: int = 1) -> SoftSum | None:
    """The sum of two integers, or their difference, that is worth `value`."""
    (terms, offset), (others, other) = _parts(context, first), _parts(context, second)
    if sign < 0:
        others, other = _multiplied(context, others, other, sign)
    return _limited(_sum(context, value, (*terms, *others), _called(context, torch.add, offset, other)))


def _keeps_terms(softs: list[Soft]) -> bool:
    """Return True if a sum of these is more than a count: one of them has terms, or is a place beside a count."""
    if any(isinstance(soft, SoftSum) for soft in softs):
        return True
    return any(isinstance(soft, SoftIndex | SoftChoice) for soft in softs) and any(
        isinstance(soft, SoftCount) for soft in softs
    )


def _parts(context: RuleContext, operand: Operand) -> tuple[tuple[Term, ...], Tensor | float]:
    """An operand as terms and what is added to them; a sum that has wrapped around in another type is one term."""
    if isinstance(operand, SoftSum) and operand.held in (None, _type_of(context.hard)):
        return operand.terms, operand.offset
    return ((Term(operand, 1),), 0) if isinstance(operand, Soft) else ((), _number(context, operand))


def _type_of(hard: object) -> torch.dtype | None:
    return hard.dtype if isinstance(hard, Tensor) else None


def _number(context: RuleContext, operand: Tensor | float) -> Tensor | float:
    """A hard operand, as one number where it is a constant that is filled with it."""
    fill = context.fill(operand) if isinstance(operand, Tensor) else None
    return operand if fill is None else int(fill)


def _factor(context: RuleContext, factor: Operand) -> Tensor | float:
    assert not isinstance(factor, Soft)  # it is the hard operand
    return int(factor) if isinstance(factor, float) else _number(context, factor)


def _multiplied(
    context: RuleContext, terms: tuple[Term, ...], offset: Tensor | float, factor: Tensor | float
) -> tuple[tuple[Term, ...], Tensor | float]:
    scaled = tuple(Term(term.integer, _called(context, torch.mul, term.factor, factor)) for term in terms)
    return scaled, _called(context, torch.mul, offset, factor)


def _called(
    context: RuleContext, function: Callable[..., Tensor], x: Tensor | float, y: Tensor | float
) -> Tensor | float:
    """`function` of two operands that may both be numbers: an addition or a multiplication."""
    if function is torch.mul and any(not isinstance(operand, Tensor) and operand == 0 for operand in (x, y)):
        return 0
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
    return found if len(found.terms) <= MOST_TERMS and found.size <= _MOST_POINTS else None


def negated(context: RuleContext, value: Tensor, soft: SoftCount) -> SoftSum:
    """Minus a count or a sum."""
    return _sum(context, value, *_multiplied(context, *_parts(context, soft), -1))


def pointed(context: RuleContext, operand: Operand, *radices: Operand) -> Operand:
    """A count, or a sum, as an index over the numbers that it may be; anything else as it is."""
    if not isinstance(operand, SoftCount):
        return operand
    if isinstance(operand, SoftSum):
        operand = operand.in_radices(context.call, *radices)
    return context.soft_index(*operand.finite(context.call))


# -- along an axis -----------------------------------------------------------------------------------------------------


def summed(context: RuleContext, value: Tensor, soft: Soft, dim: Any = None, keepdim: object = False) -> SoftSum | None:
    """The sum of a few multiples along an axis, as of the rows and columns of points; None for any other sum.

    Or of a few indices that are independent of each other, as of bits times their weights.

    value: the number that it is worth.
    """
    is_index = isinstance(soft, SoftIndex) and soft.distinct is None
    if not (isinstance(soft, SoftSum) or is_index) or not soft.shape:
        return None
    axes = _axes(dim, len(soft.shape))
    if not 0 < math.prod(soft.shape[axis] for axis in axes) * len(_parts(context, soft)[0]) <= MOST_TERMS:
        return None
    parts: list[Soft] = [soft]
    for axis in axes:
        cut = (torch.split, 1, axis) if keepdim else (torch.unbind, axis)
        parts = [piece for part in parts for piece in _pieces(context, part, *cut)]
    sums = [_parts(context, part) for part in parts]
    offset: Tensor | float = 0
    for _, added in sums:
        offset = _called(context, torch.add, offset, added)
    return _limited(_sum(context, value, tuple(term for terms, _ in sums for term in terms), offset))


def _axes(dim: Any, ndim: int) -> list[int]:
    """The axes that a sum is taken along, from the last."""
    if dim is None or dim == ():
        return list(range(ndim))[::-1]
    return sorted({axis % ndim for axis in (dim if isinstance(dim, tuple | list) else [dim])}, reverse=True)


def _pieces(context: RuleContext, soft: Soft, function: Callable[..., Any], *args: Any) -> list[Soft]:
    pieces = soft.moved(context.call, function, *args)
    return pieces if isinstance(pieces, list) else [pieces]
