"""Arithmetic on tensors that stand for integers and bools: masks times numbers, index // width, counts plus one.

On a soft index it is arithmetic on the numbers that the index ranges over; on counts it is mean-field; a mask times a
mask stays a mask. Floor division and remainder of real numbers are sites. To add an operation, append one record to
RULES: `_smooth` for one that needs no decision, `_following` for one with a propagation of its own, `_stepping` for one
that jumps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Kwargs
from softfx.ops.operation import Operation
from softfx.rules import joined
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow
from softfx.rules.multiples import as_sum, negated, pointed
from softfx.rules.readings import (
    as_probability,
    as_real,
    counted,
    on_points,
    softs_in,
)
from softfx.rules.refusals import is_discrete, refuse_discrete
from softfx.rules.rule import Rule, following
from softfx.rules.units import STEP
from softfx.runtime import distributions, divisions, guards, ties
from softfx.values import Soft, SoftBool, SoftChoice, SoftCount, SoftIndex

__all__ = ["DIV", "POW", "RULES", "joint", "on_integers"]

# A joint distribution of two indices has n m points. Beyond this many, or this many numbers in all, it is worth its
# expectation only.
_MOST_POINTS = 1024
_MOST_NUMBERS = 1 << 24
# Functions that give integers for integers.
_CLOSED = (torch.add, torch.sub, torch.mul, torch.minimum, torch.maximum)
_PRODUCT = joined.both(torch.mul)
# Functions whose derivatives are the operands, or have them as divisors: an infinite one met a derivative of 0 before.
_GUARDED: dict[Callable[..., Tensor], Callable[..., Tensor]] = {torch.mul: guards.mul, torch.div: guards.div}


# -- operations of two operands ----------------------------------------------------------------------------------------


def _binary(exact: Callable[..., Tensor]) -> RuleFunction:
    """The propagation of an operation that is smooth in real operands."""

    def propagate(context: RuleContext, input: Operand, other: Operand, *, alpha: float = 1) -> Shadow:
        if alpha != 1:
            other = _scaled(context, other, alpha)
        for reading in (_as_bool, on_integers):
            if (shadow := reading(context, exact, input, other)) is not None:
                return shadow
        return _mean_field(context, exact, input, other)

    return propagate


def _scaled(context: RuleContext, other: Operand, alpha: float) -> Operand:
    if not isinstance(other, Soft):
        return context.call(torch.mul, other, alpha) if isinstance(other, Tensor) else other * alpha
    value = context.call(torch.mul, as_real(context, other), alpha)
    return as_sum(context, torch.mul, value, other, alpha) or value


def _as_bool(context: RuleContext, exact: Callable[..., Tensor], input: Operand, other: Operand) -> SoftBool | None:
    """Products of masks, and one minus a mask, which are masks; None for anything else."""
    softs = [soft for soft in softs_in((input, other)) if isinstance(soft, SoftBool)]
    if len(softs) != len(softs_in((input, other))):
        return None
    if exact is torch.mul and len(softs) == 2:
        return _PRODUCT(context, *softs)
    if exact is torch.mul and (_is_bool(input) or _is_bool(other)):
        return context.soft_bool(context.call(exact, _tensor_of(input), _tensor_of(other)))
    if exact is torch.add and context.hard.dtype is torch.bool:  # True + True is True
        values = [as_probability(context, operand, softs[0].probability) for operand in (input, other)]
        return context.soft_bool(context.call(softtorch.logical_or, *values))
    if exact is torch.sub and not isinstance(input, Soft | Tensor) and input == 1:
        return context.soft_bool(context.call(torch.rsub, softs[0].probability, 1))
    return None


def _is_bool(operand: Operand) -> bool:
    return isinstance(operand, Tensor) and operand.dtype is torch.bool


def _tensor_of(operand: Operand) -> Tensor | float:
    return operand.tensor if isinstance(operand, Soft) else operand


def on_integers(context: RuleContext, exact: Callable[..., Tensor], input: Operand, other: Operand) -> Soft | None:
    """`exact` of an index and a number, an integer tensor or another index, on the points; None where it has none."""
    softs = softs_in((input, other))
    if (
        not all(isinstance(soft, SoftIndex | SoftBool | SoftChoice) for soft in softs)
        or context.hard.dtype is torch.bool
    ):
        return None
    if not is_discrete(context.hard) and (exact not in _CLOSED or all(isinstance(soft, SoftBool) for soft in softs)):
        return None  # no integer, or a number will do
    if len(softs) == 2:
        if any(isinstance(soft, SoftChoice) for soft in softs):
            return None
        return joint(context, exact, *softs)
    return on_points(context, exact, input, other)


def joint(context: RuleContext, exact: Callable[..., Tensor], p: Soft, q: Soft) -> SoftIndex | None:
    """`exact` of two indices, on every pair of the numbers that they range over; None where these are too many."""
    (p_weights, p_points), (q_weights, q_points) = p.finite(context.call), q.finite(context.call)
    size = p_weights.shape[-1] * q_weights.shape[-1]
    if size > _MOST_POINTS or context.hard.numel() * size > _MOST_NUMBERS:
        return None
    if exact is torch.add and not _has_support(p) and not _has_support(q):
        return context.soft_index(context.call(distributions.summed, p_weights, q_weights))
    weights = context.call(distributions.joint, p_weights, q_weights)
    support = context.call(distributions.joint_points, exact, p_weights, p_points, q_weights, q_points)
    return context.soft_index(weights, support)


def _has_support(soft: Soft) -> bool:
    """Return True if the integers that it ranges over are given, and are not 0..n-1."""
    return isinstance(soft, SoftIndex) and soft.support is not None


def _mean_field(context: RuleContext, exact: Callable[..., Tensor], input: Operand, other: Operand) -> Shadow:
    x, y = as_real(context, input), as_real(context, other)
    if not isinstance(x, Tensor):
        x = context.call(torch.full_like, y, x)
    result = context.call(_GUARDED.get(exact, exact), x, y)
    if (multiples := as_sum(context, exact, result, input, other)) is not None:
        return multiples
    return counted(context, result, input, other) if exact in _CLOSED else result


def _power(context: RuleContext, input: Operand, exponent: Operand) -> Shadow:
    """A power of real numbers, whose integer exponents need no more than the powers they lie between."""
    if not isinstance(input, Tensor) or input.dtype.is_complex or not isinstance(exponent, Soft):
        return _binary(torch.pow)(context, input, exponent)
    if is_discrete(input) and (index := on_integers(context, torch.pow, input, exponent)) is not None:
        return index
    weights, support = exponent.finite(context.call)
    return context.call(distributions.probability, torch.pow, weights, support, None, input, True)


# -- division and remainder --------------------------------------------------------------------------------------------


def _stepped(exact: Callable[..., Tensor], relax: RuleFunction) -> RuleFunction:
    """The propagation of // and %: on the points of an index, between the neighbours of a count."""

    def propagate(context: RuleContext, input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Shadow:
        shadow = on_integers(context, exact, pointed(context, input, other), pointed(context, other))
        if shadow is not None:
            return shadow
        if not (context.is_integral(input) and context.is_integral(other)):
            return relax(context, as_real(context, input), as_real(context, other))
        if isinstance(input, Soft) and isinstance(other, Soft):
            pairs = (*input.finite(context.call), *other.finite(context.call))
            return context.call(distributions.probability, exact, *pairs)
        soft, fixed, reflected = (input, other, False) if isinstance(input, Soft) else (other, input, True)
        assert isinstance(soft, Soft)  # one of the two is
        weights, support = soft.finite(context.call)
        return context.call(distributions.probability, exact, weights, support, None, fixed, reflected)

    return propagate


def _divide(rounded: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of a division that is rounded afterwards."""

    def relax(context: RuleContext, input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Shadow:
        refuse_discrete(input, other)
        return context.call(rounded, context.call(guards.div, *_tensors(context, input, other)), **context.options)

    return relax


def _by_rounding_mode(args: Args, kwargs: Kwargs) -> Operation | None:
    """The operation that a division with a rounding mode is."""
    return {"floor": ops.floor_divide, "trunc": ops.trunc_divide}.get(kwargs.get("rounding_mode") or "")


def _remainder(context: RuleContext, input: Operand, other: Operand) -> Shadow:
    refuse_discrete(input, other)
    input, other = _tensors(context, input, other)
    return context.call(softtorch.remainder, input, other, **context.options)


def _fmod(context: RuleContext, input: Operand, other: Operand) -> Shadow:
    refuse_discrete(input, other)
    input, other = _tensors(context, input, other)
    steps = context.call(softtorch.trunc, context.call(guards.div, input, other), **context.options)
    return context.call(torch.sub, input, context.call(guards.mul, steps, other))


def _tensors(context: RuleContext, input: Operand, other: Operand) -> tuple[Operand, Operand]:
    """The operands, the first as a tensor."""
    if not isinstance(input, Tensor):
        input = context.call(torch.full_like, other, input)
    return input, other


# -- further operations ------------------------------------------------------------------------------------------------


def _neg(context: RuleContext, input: Soft) -> Shadow:
    if isinstance(input, SoftCount):
        return negated(context, context.call(torch.neg, input.value), input)
    index = on_points(context, torch.neg, input)
    return index if index is not None else counted(context, context.call(torch.neg, as_real(context, input)), input)


def _unravel_index(context: RuleContext, indices: Soft, shape: int | Sequence[int]) -> list[SoftIndex]:
    """Rows, columns ...: floor division and remainder on the numbers that an index ranges over."""
    sizes = list(shape) if isinstance(shape, Sequence) else [shape]
    strides = [math.prod(sizes[axis:]) for axis in range(len(sizes))]
    places = pointed(context, indices, *strides)
    assert isinstance(places, Soft)  # as the indices are
    weights, support = places.finite(context.call)
    found = []
    for axis, size in enumerate(sizes):
        quotient = context.call(torch.floor_divide, support, math.prod(sizes[axis + 1 :]))
        found.append(context.soft_index(weights, context.call(torch.remainder, quotient, size)))
    return found


def _diff(
    context: RuleContext, input: Operand, n: int = 1, dim: int = -1, prepend: Operand | None = None,
    append: Operand | None = None,
) -> Shadow:  # fmt: skip
    if context.hard.dtype is torch.bool:
        return _diff_of_bools(context, [o for o in (prepend, input, append) if o is not None], n, dim)
    if n != 1 or prepend is not None or append is not None or not isinstance(input, Soft):
        return _further_diff(context, input, n, dim, prepend, append)
    length = context.hard.shape[dim]
    later = input.moved(context.call, torch.narrow, dim, 1, length)
    return _binary(torch.sub)(context, later, input.moved(context.call, torch.narrow, dim, 0, length))


def _further_diff(
    context: RuleContext, input: Operand, n: int, dim: int, prepend: Operand | None, append: Operand | None
) -> Shadow:
    """Differences of a higher order, or with ends given, of the numbers that shadows are worth."""
    given = {"input": input, "prepend": prepend, "append": append}
    operands = {name: operand for name, operand in given.items() if operand is not None}
    real = {name: as_real(context, operand) for name, operand in operands.items()}
    value = context.call(torch.diff, n=n, dim=dim, **real)
    is_whole = all(context.is_integral(operand) for operand in operands.values())
    return context.soft_count(value) if is_whole else value


def _diff_of_bools(context: RuleContext, parts: Sequence[Operand], n: int, dim: int) -> SoftBool:
    """Of bools, whether neighbours differ."""
    like = softs_in(parts)[0].tensor
    own = [as_probability(context, part, like) for part in parts]
    p = own[0] if len(own) == 1 else context.call(torch.cat, own, dim)
    for _ in range(n):
        sides = (context.call(torch.narrow, p, dim, start, p.shape[dim] - 1) for start in (1, 0))
        p = context.call(softtorch.logical_xor, *sides)
    return context.soft_bool(p)


# -- records -----------------------------------------------------------------------------------------------------------


def _smooth(code: str, operation: Operation) -> Rule:
    """The record of an operation of two operands that is smooth in both."""
    return following(code, operation, _binary(operation.function))


def _stepping(
    code: str, operation: Operation, relax: RuleFunction, exact: Callable[..., Tensor], soft: str, formula: str
) -> Rule:
    """The record of an operation of two operands that jumps."""
    return Rule(
        code,
        operation,
        "discrete",
        "Constant, or sawtooth, between its jumps: the derivative misses what the quotient's floor decides.",
        "Keep it where it computes a position from a size.",
        "arXiv 2504.19026",
        formula=formula,
        soft=soft,
        relax=relax,
        propagate=_stepped(exact, relax),
        unit=STEP,
        ties=ties.whole_quotient,
    )


# These two are in unsafe.py's table: of real numbers they have infinite derivatives.
DIV = replace(_smooth("SX614", ops.div), becomes=_by_rounding_mode, reads_numbers=True)
POW = following("SX615", ops.pow, _power)

RULES = (
    _smooth("SX611", ops.add),
    _smooth("SX612", ops.sub),
    _smooth("SX613", ops.mul),
    following("SX631", ops.unravel_index, _unravel_index),
    following("SX632", ops.diff, _diff),
    following("SX616", ops.neg, _neg),
    _stepping("SX617", ops.floor_divide, _divide(softtorch.floor), divisions.floor_divide, "softtorch.floor",
              "floor(x / y), floor soft"),
    _stepping("SX630", ops.trunc_divide, _divide(softtorch.trunc), divisions.trunc_divide, "softtorch.trunc",
              "trunc(x / y), trunc soft"),
    _stepping("SX618", ops.remainder, _remainder, divisions.remainder, "softtorch.remainder",
              "x - y floor(x / y), floor soft"),
    _stepping("SX633", ops.fmod, _fmod, divisions.fmod, "softtorch.trunc", "x - y trunc(x / y), trunc soft"),
)  # fmt: skip
