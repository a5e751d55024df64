"""Readings of operands that rules share: a shadow, a tensor or a number, as a real number or weights over integers.

A shadow's own readings are methods of its class (softfx.values); these functions take anything that stands where an
operand does. No single operation is treated here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, overload

import torch
from torch import Tensor

from softfx.ops.calls import Function
from softfx.ops.spelling import INDEX
from softfx.rules.chosen import compute as compute_chosen
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.refusals import is_discrete
from softfx.runtime import distributions
from softfx.values import Soft, SoftBool, SoftChoice, SoftCount, SoftIndex, SoftReal, SoftSign, SoftSum, SoftTally

__all__ = [
    "as_index",
    "as_indices",
    "as_number",
    "as_probability",
    "as_real",
    "checked_as",
    "counted",
    "joined_kind",
    "on_points",
    "out_of_place",
    "shape_of",
    "softs_in",
    "through_real",
]


def softs_in(operands: Sequence[object]) -> list[Soft]:
    """The shadows among operands."""
    return [operand for operand in operands if isinstance(operand, Soft)]


@overload
def as_real(context: RuleContext, operand: TensorOrSoft) -> Tensor: ...
@overload
def as_real(context: RuleContext, operand: Operand) -> Tensor | float: ...
@overload
def as_real(context: RuleContext, operand: object) -> Any: ...
def as_real(context: RuleContext, operand: object) -> Any:
    """A shadow as the real number that it is worth; anything else as it is."""
    return operand.real(context.call) if isinstance(operand, Soft) else operand


def as_probability(context: RuleContext, operand: Operand, like: Tensor) -> Tensor:
    """A condition as a probability; a hard bool becomes 0 or 1 in the dtype of `like`."""
    result: Tensor
    if isinstance(operand, Soft):
        return operand.truth(context.call)
    if isinstance(operand, Tensor):
        result = context.call(torch.Tensor.to, operand, like.dtype)
    else:
        result = context.call(torch.full_like, like, float(operand))
    return result


@overload
def as_number(context: RuleContext, operand: TensorOrSoft, like: Tensor) -> Tensor: ...
@overload
def as_number(context: RuleContext, operand: Operand, like: Tensor) -> Tensor | float: ...
def as_number(context: RuleContext, operand: Operand, like: Tensor) -> Tensor | float:
    """An operand as a real number, a hard integer or bool in the dtype of `like`."""
    real = as_real(context, operand)
    return context.call(torch.Tensor.to, real, like.dtype) if is_discrete(real) else real


def as_index(context: RuleContext, operand: Operand, like: Tensor) -> tuple[Tensor, Tensor]:
    """Anything that stands for an integer, as weights over integers; a hard one is certain."""
    if isinstance(operand, Soft):
        return operand.finite(context.call)
    if isinstance(operand, Tensor):
        certain = context.call(torch.Tensor.unsqueeze, operand, -1)
    else:
        certain = context.call(torch.full, (1,), operand, device=like.device)
    ones = context.call(torch.ones_like, certain, dtype=like.dtype)
    return ones, certain


def as_indices(context: RuleContext, operands: Sequence[Operand]) -> tuple[list[Tensor], list[Tensor] | None]:
    """Operands that stand for integers, over equally many integers each, so that they can be joined.

    # -> weights (..., [n]) each; integers (..., [n]) each, or None where all range over 0..n-1
    """
    softs = softs_in(operands)
    indices = [soft for soft in softs if isinstance(soft, SoftIndex) and soft.support is None]
    if len(indices) == len(operands) and len({index.size for index in indices}) == 1:
        return [index.weights for index in indices], None
    pairs = [as_index(context, operand, softs[0].tensor) for operand in operands]
    size = max(weights.shape[-1] for weights, _ in pairs)
    spread = [context.call(distributions.spread, weights, support, size) for weights, support in pairs]
    return [weights for weights, _ in spread], [support for _, support in spread]


def joined_kind(operands: Sequence[object]) -> type[Soft]:
    """The kind of integers that are joined from these operands: an index if any is one and none is a mere number."""
    softs = softs_in(operands)
    if any(type(soft) in (SoftCount, SoftReal, SoftSign, SoftTally) for soft in softs):
        return SoftCount
    if any(isinstance(soft, SoftIndex | SoftSum | SoftChoice) for soft in softs):
        return SoftIndex
    return SoftBool if len(softs) == len(operands) else SoftCount


def counted(context: RuleContext, value: Shadow, *operands: object) -> Shadow:
    """A result that stands for an integer if its operands do, in a floating type as well."""
    integral = all(context.is_integral(operand) for operand in operands if operand is not None)
    return context.soft_count(value) if integral and isinstance(value, Tensor) else value


def shape_of(operand: TensorOrSoft) -> torch.Size:
    """The shape of what an operand stands for."""
    return operand.shape if isinstance(operand, Soft) else torch.Size(operand.shape)


def out_of_place(context: RuleContext) -> Function:
    """The function to call on shadows: the program's own, out of place and with its operands in order.

    Several tensors may share a shadow, so that a call in place would change the shadows of others.
    """
    spelled = INDEX.of(context.func)
    if spelled.reflected and spelled.operation.python is not None:
        return spelled.operation.python.function
    return spelled.operation.function if spelled.in_place or spelled.order else context.func


def checked_as(relax: RuleFunction, propagate: RuleFunction) -> RuleFunction:
    """`propagate`, whose arguments are checked as those of `relax`."""
    propagate.__signature__ = inspect.signature(relax)  # type: ignore[attr-defined]  # functions take attributes
    return propagate


def through_real(relax: RuleFunction) -> RuleFunction:
    """A `propagate` that takes shadows as the real numbers that they are worth."""

    def propagate(context: RuleContext, *args: object, **kwargs: object) -> Shadow:
        real = [as_real(context, arg) for arg in args]
        return relax(context, *real, **{key: as_real(context, value) for key, value in kwargs.items()})

    return checked_as(relax, propagate)


def on_points(context: RuleContext, func: Callable[..., Tensor], *operands: object, **options: object) -> Soft | None:
    """`func`, elementwise, of one soft index and hard integers: the same on the numbers it ranges over; else None."""
    soft = next((operand for operand in operands if isinstance(operand, Soft)), None)
    if not isinstance(soft, SoftIndex | SoftBool | SoftChoice):
        return None
    others = [other for other in (*operands, *options.values()) if other is not soft]
    if any(isinstance(other, Soft) or not context.is_integral(other) for other in others if other is not None):
        return None
    if isinstance(soft, SoftBool) and not is_discrete(context.hard):  # a number will do
        return None
    if isinstance(soft, SoftChoice):
        return compute_chosen(context, func, operands, options)
    weights, support = soft.finite(context.call)
    wide = [support if operand is soft else _along_points(context, operand) for operand in operands]
    if operands and not isinstance(wide[0], Tensor):
        wide[0] = context.call(torch.full_like, support, wide[0])
    named = {key: _along_points(context, option) for key, option in options.items()}
    numbers = context.call(func, *wide, **named)
    if weights.shape[:-1] != context.hard.shape:
        weights = context.call(Tensor.expand, weights, (*context.hard.shape, weights.shape[-1]))
    return context.soft_index(weights, numbers)


def _along_points(context: RuleContext, operand: object) -> object:
    """A hard operand, broadcast along the numbers that an index ranges over."""
    if isinstance(operand, Tensor) and operand.dim() > 0:
        return context.call(torch.Tensor.unsqueeze, operand, -1)
    return operand
