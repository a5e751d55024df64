"""Arithmetic on what stands for integers and bools: masks times numbers, index // width, counts plus one.

On a soft index it is arithmetic on the numbers the index ranges over; on counts it is mean-field; a mask times a
mask stays a mask. Floor division and remainder of real numbers are sites.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_number, as_probability, as_real, counted, is_discrete, moved, on_points, points
from softfx.runtime import distributions
from softfx.values.domains import Domain, Soft

__all__ = ["DIV", "POW", "RULES", "joint", "on_integers"]

# A joint distribution of two indices has n m points. Beyond this many, or this many numbers in all, it is worth its
# expectation only.
_MOST_POINTS = 1024
_MOST_NUMBERS = 1 << 24


def _binary(exact: Callable[..., Tensor]) -> Callable[..., Any]:
    """The carry of an operation that is smooth in real operands."""

    def carry(context: RuleContext, input: Any, other: Any, *, alpha: Any = 1) -> Any:
        if alpha != 1:
            other = _scaled(context, other, alpha)
        for reading in (_as_bool, on_integers):
            if (shadow := reading(context, exact, input, other)) is not None:
                return shadow
        return _mean_field(context, exact, input, other)

    return carry


def _scaled(context: RuleContext, other: Any, alpha: Any) -> Any:
    if not isinstance(other, Soft):
        return context.call(torch.mul, other, alpha) if isinstance(other, Tensor) else other * alpha
    return context.call(torch.mul, as_real(context, other), alpha)


def _as_bool(context: RuleContext, exact: Callable[..., Tensor], input: Any, other: Any) -> Soft | None:
    """Products of masks, and one minus a mask, are masks."""
    softs = [operand for operand in (input, other) if isinstance(operand, Soft)]
    if any(soft.domain is not Domain.SOFT_BOOL for soft in softs):
        return None
    if exact is torch.mul and (len(softs) == 2 or _is_bool(input) or _is_bool(other)):
        return context.soft(context.call(exact, _value(input), _value(other)), "soft_bool")
    if exact is torch.add and context.hard.dtype is torch.bool:  # True + True is True
        values = [as_probability(context, operand, softs[0].value) for operand in (input, other)]
        return context.soft(context.call(softtorch.logical_or, *values), "soft_bool")
    if exact is torch.sub and not isinstance(input, Soft | Tensor) and input == 1:
        return context.soft(context.call(torch.rsub, softs[0].value, 1), "soft_bool")
    return None


def _is_bool(operand: Any) -> bool:
    return isinstance(operand, Tensor) and operand.dtype is torch.bool


def _value(operand: Any) -> Any:
    return operand.value if isinstance(operand, Soft) else operand


_WHOLE = (torch.add, torch.sub, torch.mul, torch.minimum, torch.maximum)  # of integers, integers
_INDICES = (Domain.SOFT_INDEX, Domain.SOFT_BOOL)


def on_integers(context: RuleContext, exact: Callable[..., Tensor], input: Any, other: Any) -> Soft | None:
    """An index and a number, an integer tensor or another index: the same arithmetic on the points."""
    softs = [operand for operand in (input, other) if isinstance(operand, Soft)]
    if context.hard.dtype is torch.bool or any(soft.domain not in _INDICES for soft in softs):
        return None
    if context.hard.is_floating_point() and (
        exact not in _WHOLE or all(soft.domain is Domain.SOFT_BOOL for soft in softs)
    ):
        return None  # no integer, or a number will do
    if len(softs) == 2:
        return joint(context, exact, *softs)
    return on_points(context, exact, input, other)


def joint(context: RuleContext, exact: Callable[..., Tensor], p: Soft, q: Soft) -> Soft | None:
    """`exact` of two indices, on every pair of the numbers that they range over; None where these are too many."""
    (p_weights, p_points), (q_weights, q_points) = points(context, p), points(context, q)
    size = p_weights.shape[-1] * q_weights.shape[-1]
    if size > _MOST_POINTS or context.hard.numel() * size > _MOST_NUMBERS:
        return None
    if exact is torch.add and p.support is None and q.support is None:
        return context.soft(context.call(distributions.summed, p_weights, q_weights), "soft_index")
    weights = context.call(distributions.joint, p_weights, q_weights)
    support = context.call(distributions.joint_points, exact, p_weights, p_points, q_weights, q_points)
    return context.soft(weights, "soft_index", support)


def _mean_field(context: RuleContext, exact: Callable[..., Tensor], input: Any, other: Any) -> Any:
    x, y = as_real(context, input), as_real(context, other)
    if not isinstance(x, Tensor):
        x = context.call(torch.full_like, y, x)
    result = context.call(exact, x, y)
    return counted(context, result, input, other) if exact in _WHOLE else result


def _power(context: RuleContext, input: Any, exponent: Any) -> Any:
    """A power of real numbers, whose integer exponents need no more than the powers they lie between."""
    if not isinstance(input, Tensor) or input.dtype.is_complex or not isinstance(exponent, Soft):
        return _binary(torch.pow)(context, input, exponent)
    if is_discrete(input) and (index := on_integers(context, torch.pow, input, exponent)) is not None:
        return index
    weights, support = points(context, exponent)
    return context.call(distributions.probability, torch.pow, weights, support, None, input, True)


def _stepped(exact: Callable[..., Tensor], relax: Callable[..., Any]) -> Callable[..., Any]:
    """The carry of // and %: on the points of an index, between the neighbours of a count."""

    def carry(context: RuleContext, input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
        shadow = on_integers(context, exact, input, other)
        if shadow is not None:
            return shadow
        if not (context.whole(input) and context.whole(other)):
            return relax(context, as_real(context, input), as_real(context, other))
        if isinstance(input, Soft) and isinstance(other, Soft):
            return context.call(distributions.probability, exact, *points(context, input), *points(context, other))
        soft, fixed, reflected = (input, other, False) if isinstance(input, Soft) else (other, input, True)
        weights, support = points(context, soft)
        return context.call(distributions.probability, exact, weights, support, None, fixed, reflected)

    return carry


def _trunc_divide(input: Any, other: Any) -> Tensor:
    return torch.div(input, other, rounding_mode="trunc")


def _divide(rounded: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
        _refuse(input, other)
        return context.call(rounded, context.call(torch.div, *_tensors(context, input, other)), **context.options)

    return relax


def _rounded(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """The operation that a division with a rounding mode is."""
    return {"floor": "floor_divide", "trunc": "trunc_divide"}.get(kwargs.get("rounding_mode") or "")


def _remainder(context: RuleContext, input: Any, other: Any) -> Any:
    _refuse(input, other)
    input, other = _tensors(context, input, other)
    return context.call(softtorch.remainder, input, other, **context.options)


def _refuse(*operands: Any) -> None:
    if all(is_discrete(operand) for operand in operands if isinstance(operand, Tensor)):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")


def _tensors(context: RuleContext, input: Any, other: Any) -> tuple[Any, Any]:
    if not isinstance(input, Tensor):
        input = context.call(torch.full_like, other, input)
    return input, other


def _neg(context: RuleContext, input: Soft) -> Any:
    index = on_points(context, torch.neg, input)
    return index if index is not None else counted(context, context.call(torch.neg, as_real(context, input)), input)


def _product(exact: Callable[..., Tensor]) -> Callable[..., Any]:
    """Products of matrices of masks and counts: those of the numbers they are worth."""

    def carry(context: RuleContext, input: Any, other: Any) -> Any:
        like = next(operand.value for operand in (input, other) if isinstance(operand, Soft))
        return context.call(exact, as_number(context, input, like), as_number(context, other, like))

    return carry


def _einsum(context: RuleContext, equation: str, *operands: Any) -> Any:
    tensors = operands[0] if len(operands) == 1 and isinstance(operands[0], tuple | list) else operands
    like = next(operand.value for operand in tensors if isinstance(operand, Soft))
    return context.call(torch.einsum, equation, *(as_number(context, tensor, like) for tensor in tensors))


def _smooth(code: str, op: str, exact: Callable[..., Tensor], *aliases: str) -> Rule:
    return _following(code, op, _binary(exact), *aliases)


def _unravel_index(context: RuleContext, indices: Soft, shape: Any) -> list[Soft]:
    """Rows, columns ...: floor division and remainder on the numbers an index ranges over."""
    weights, support = points(context, indices)
    sizes = list(shape) if isinstance(shape, tuple | list | torch.Size) else [shape]
    found = []
    for axis, size in enumerate(sizes):
        quotient = context.call(torch.floor_divide, support, math.prod(sizes[axis + 1 :]))
        found.append(context.soft(weights, "soft_index", context.call(torch.remainder, quotient, size)))
    return found


def _diff(context: RuleContext, input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    if n != 1 or prepend is not None or append is not None or not isinstance(input, Soft):
        raise Cut("diff of a higher order, or with ends given, has no rule for a soft value")
    length = context.hard.shape[dim]
    later = moved(context, torch.narrow, input, dim, 1, length)
    return _binary(torch.sub)(context, later, moved(context, torch.narrow, input, dim, 0, length))


def _following(code: str, op: str, carry: Callable[..., Any], *aliases: str, discrete_only: bool = False) -> Rule:
    return Rule(code, op, "selection", "Arithmetic follows what reaches it.", "It follows what reaches it.", "",
                soft=f"torch.{op}", carry=carry, aliases=aliases, options=(), discrete_only=discrete_only)  # fmt: skip


def _stepping(code: str, op: str, relax: Callable[..., Any], exact: Callable[..., Tensor], soft: str) -> Rule:
    return Rule(
        code,
        op,
        "discrete",
        "Constant, or sawtooth, between its jumps: the derivative misses what the quotient's floor decides.",
        "Keep it where it computes a position from a size.",
        "arXiv 2504.19026",
        soft=soft,
        relax=relax,
        carry=_stepped(exact, relax),
    )


# These two are in unsafe.py's table: of real numbers they have infinite derivatives.
DIV = replace(_smooth("SX614", "div", torch.div, "divide", "true_divide"), becomes=_rounded)
POW = _following("SX615", "pow", _power)

RULES = (
    _smooth("SX611", "add", torch.add),
    _smooth("SX612", "sub", torch.sub, "subtract"),
    _smooth("SX613", "mul", torch.mul, "multiply"),
    _following("SX619", "matmul", _product(torch.matmul), "mm", "bmm", "mv", "dot", discrete_only=True),
    _following("SX620", "einsum", _einsum, discrete_only=True),
    _following("SX631", "unravel_index", _unravel_index),
    _following("SX632", "diff", _diff),
    _following("SX616", "neg", _neg, "negative"),
    _stepping("SX617", "floor_divide", _divide(softtorch.floor), torch.floor_divide, "softtorch.floor"),
    _stepping("SX630", "trunc_divide", _divide(softtorch.trunc), _trunc_divide, "softtorch.trunc"),
    _stepping("SX618", "remainder", _remainder, torch.remainder, "softtorch.remainder"),
)  # fmt: skip
