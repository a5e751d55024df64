"""What rules share: shadows as real numbers, as points with weights, and back.

Not here: any single operation. A rule that needs a new reading of a shadow finds or adds it in this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softfx.rules.rule import RuleContext
from softfx.runtime import distributions
from softfx.values.domains import Domain, Soft

__all__ = [
    "as_index",
    "as_indices",
    "as_number",
    "as_probability",
    "as_real",
    "counted",
    "harden",
    "integer_domain",
    "is_discrete",
    "moved",
    "on_points",
    "points",
    "through_real",
    "truth",
]


def as_real(context: RuleContext, operand: Any) -> Any:
    """A shadow as the real number it is worth; anything else as it is."""
    if not isinstance(operand, Soft):
        return operand
    if operand.domain is Domain.SOFT_INDEX:
        return context.call(distributions.expectation, operand.value, operand.support)
    return operand.value


def as_probability(context: RuleContext, operand: Any, like: Tensor) -> Tensor:
    """A condition as a probability; a hard bool becomes 0 or 1."""
    if isinstance(operand, Soft):
        return truth(context, operand)
    if isinstance(operand, Tensor):
        result: Tensor = context.call(torch.Tensor.to, operand, like.dtype)
        return result
    return context.call(torch.full_like, like, float(operand))  # type: ignore[no-any-return]  # call is untyped


def truth(context: RuleContext, soft: Soft) -> Tensor:
    """The probability that a shadow is not zero."""
    if soft.domain is Domain.SOFT_BOOL:
        return soft.value
    if soft.domain is Domain.SOFT_INDEX:
        weights, support = points(context, soft)
        result: Tensor = context.call(distributions.probability, torch.ne, weights, support, None, 0, False)
        return result
    return context.call(torch.clamp, context.call(torch.abs, soft.value), max=1.0)  # type: ignore[no-any-return]


def harden(context: RuleContext, hard: Tensor, soft: Soft) -> Tensor:
    """The hard tensor in the form of its shadow: 0 or 1, a one-hot, or the number."""
    if soft.domain is Domain.SOFT_INDEX:
        result: Tensor = context.call(distributions.index_points, hard, soft.value, soft.support)
    else:
        result = context.call(torch.Tensor.to, hard, soft.value.dtype)
    return result


def points(context: RuleContext, soft: Soft) -> tuple[Tensor, Tensor]:
    """A shadow as weights over finitely many integers.  # -> (..., [n]), broadcastable to (..., [n])"""
    if soft.domain is Domain.SOFT_INDEX:
        return soft.value, context.call(distributions.support_of, soft.value, soft.support)
    function = distributions.bool_points if soft.domain is Domain.SOFT_BOOL else distributions.count_points
    weights, support = context.call(function, soft.value)
    return weights, support


def as_index(context: RuleContext, operand: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Anything that stands for an integer as weights over points; a hard one is certain."""
    if isinstance(operand, Soft):
        return points(context, operand)
    if isinstance(operand, Tensor):
        certain = context.call(torch.Tensor.unsqueeze, operand, -1)
    else:
        certain = context.call(torch.full, (1,), operand, device=like.device)
    ones = context.call(torch.ones_like, certain, dtype=like.dtype)
    return ones, certain


def as_indices(context: RuleContext, operands: list[Any]) -> tuple[list[Tensor], list[Tensor] | None]:
    """Operands that stand for integers, over equally many points each, so that they can be joined.

    # -> weights (..., [n]) each; points (..., [n]) each, or None where all range over 0..n-1
    """
    softs = [operand for operand in operands if isinstance(operand, Soft)]
    ranges = {(soft.domain, soft.support is None, soft.value.shape[-1]) for soft in softs}
    if len(softs) == len(operands) and ranges == {(Domain.SOFT_INDEX, True, softs[0].value.shape[-1])}:
        return [soft.value for soft in softs], None
    pairs = [as_index(context, operand, softs[0].value) for operand in operands]
    size = max(weights.shape[-1] for weights, _ in pairs)
    spread = [context.call(distributions.spread, weights, support, size) for weights, support in pairs]
    return [weights for weights, _ in spread], [support for _, support in spread]


def integer_domain(operands: list[Any]) -> Domain:
    """What integers joined from these operands are: an index if any is one and none is a mere number."""
    domains = {operand.domain for operand in operands if isinstance(operand, Soft)}
    if domains & {Domain.COUNT, Domain.REAL}:
        return Domain.COUNT
    if Domain.SOFT_INDEX in domains:
        return Domain.SOFT_INDEX
    return Domain.SOFT_BOOL if all(isinstance(operand, Soft) for operand in operands) else Domain.COUNT


def as_number(context: RuleContext, operand: Any, like: Tensor) -> Any:
    """An operand as a real number, a hard one in the dtype of `like`."""
    real = as_real(context, operand)
    return context.call(torch.Tensor.to, real, like.dtype) if is_discrete(real) else real


def counted(context: RuleContext, value: Any, *operands: Any) -> Any:
    """A result that stands for an integer if its operands do, in a floating type as well."""
    whole = all(context.whole(operand) for operand in operands if operand is not None)
    return context.soft(value, "count") if whole and isinstance(value, Tensor) else value


def is_discrete(operand: Any) -> bool:
    """Whether an operand is a hard tensor of integers or bools."""
    return isinstance(operand, Tensor) and not operand.is_floating_point() and not operand.is_complex()


def through_real(relax: Callable[..., Any]) -> Callable[..., Any]:
    """The carry of an operation that simply takes shadows as the real numbers they are worth."""

    def carry(context: RuleContext, *args: Any, **kwargs: Any) -> Any:
        real = [as_real(context, arg) for arg in args]
        return relax(context, *real, **{key: as_real(context, value) for key, value in kwargs.items()})

    carry.__signature__ = _signature(relax)  # type: ignore[attr-defined]  # so that arguments are checked as relax's
    return carry


def on_points(context: RuleContext, func: Callable[..., Any], *operands: Any, **options: Any) -> Soft | None:
    """`func`, elementwise, of one soft index and hard integers: the same on the numbers it ranges over; else None."""
    soft = next((operand for operand in operands if isinstance(operand, Soft)), None)
    if soft is None or soft.domain not in (Domain.SOFT_INDEX, Domain.SOFT_BOOL):
        return None
    others = [other for other in (*operands, *options.values()) if other is not soft]
    if any(isinstance(other, Soft) or not context.whole(other) for other in others if other is not None):
        return None
    if soft.domain is Domain.SOFT_BOOL and context.hard.is_floating_point():  # a number will do
        return None
    weights, support = points(context, soft)
    wide = [support if operand is soft else _beside(context, operand) for operand in operands]
    if operands and not isinstance(wide[0], Tensor):
        wide[0] = context.call(torch.full_like, support, wide[0])
    named = {key: _beside(context, option) for key, option in options.items()}
    numbers = context.call(func, *wide, **named)
    if weights.shape[:-1] != context.hard.shape:
        weights = context.call(Tensor.expand, weights, (*context.hard.shape, weights.shape[-1]))
    return context.soft(weights, "soft_index", numbers)


def _beside(context: RuleContext, operand: Any) -> Any:
    """A hard operand, broadcast along the points."""
    if isinstance(operand, Tensor) and operand.dim() > 0:
        return context.call(torch.Tensor.unsqueeze, operand, -1)
    return operand


def moved(context: RuleContext, func: Callable[..., Any], input: Soft, *args: Any, **kwargs: Any) -> Any:
    """`func`, which only moves data, on a shadow: a Soft, or several where it gives several."""
    if input.domain is not Domain.SOFT_INDEX:
        return _each(context, context.call(func, input.value, *args, **kwargs), input.domain.value)
    weights = context.call(distributions.move, func, input.value, *args, **kwargs)
    support = input.support
    if support is not None and support.dim() > 1:
        full = context.call(Tensor.expand, support, input.value.shape)
        support = context.call(distributions.move, func, full, *args, **kwargs)
    return _each(context, weights, "soft_index", support)


def _each(context: RuleContext, moved: Any, domain: str, support: Any = None) -> Any:
    """A shadow for each piece: unbind, split and chunk return several."""
    if isinstance(moved, Tensor):
        return context.soft(moved, domain, support)
    supports = support if isinstance(support, tuple | list) else [support] * len(moved)
    return [context.soft(piece, domain, part) for piece, part in zip(moved, supports, strict=True)]


def _signature(function: Callable[..., Any]) -> Any:
    import inspect

    return inspect.signature(function)
