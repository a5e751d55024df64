"""What rules share: shadows as real numbers, as points with weights, and back.

Not here: any single operation. A rule that needs a new reading of a shadow finds or adds it in this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softfx import runtime
from softfx.domains import Domain, Soft
from softfx.rules.rule import Cut, RuleContext

__all__ = ["as_index", "as_probability", "as_real", "harden", "is_discrete", "lift", "points", "through_real"]


def as_real(context: RuleContext, operand: Any) -> Any:
    """A shadow as the real number it is worth; anything else as it is."""
    if not isinstance(operand, Soft):
        return operand
    if operand.domain is Domain.SOFT_INDEX:
        return context.call(runtime.expectation, operand.value, operand.support)
    return operand.value


def as_probability(context: RuleContext, operand: Any, like: Tensor) -> Tensor:
    """A condition as a probability; a hard bool becomes 0 or 1."""
    if isinstance(operand, Soft):
        if operand.domain is Domain.SOFT_BOOL:
            return operand.value
        raise Cut(f"a {operand.domain.value} stands where a condition is wanted")
    if isinstance(operand, Tensor):
        result: Tensor = context.call(torch.Tensor.to, operand, like.dtype)
        return result
    return context.call(torch.full_like, like, float(operand))  # type: ignore[no-any-return]  # call is untyped


def harden(context: RuleContext, hard: Tensor, soft: Soft) -> Tensor:
    """The hard tensor in the form of its shadow: 0 or 1, a one-hot, or the number."""
    if soft.domain is Domain.SOFT_INDEX:
        result: Tensor = context.call(runtime.index_points, hard, soft.value, soft.support)
    else:
        result = context.call(torch.Tensor.to, hard, soft.value.dtype)
    return result


def points(context: RuleContext, soft: Soft) -> tuple[Tensor, Tensor]:
    """A shadow as weights over finitely many integers.  # -> (..., [n]), broadcastable to (..., [n])"""
    if soft.domain is Domain.SOFT_INDEX:
        return soft.value, context.call(runtime.support_of, soft.value, soft.support)
    function = runtime.bool_points if soft.domain is Domain.SOFT_BOOL else runtime.count_points
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


def lift(context: RuleContext, operand: Any, soft: Soft) -> Tensor:
    """A hard operand in the form of `soft`, so that the two can be joined."""
    if isinstance(operand, Soft):
        if operand.domain is not soft.domain:
            raise Cut(f"a {operand.domain.value} and a {soft.domain.value} cannot be joined")
        if operand.support is not None or soft.support is not None:
            raise Cut("soft indices with supports of their own cannot be joined")
        return operand.value
    return harden(context, operand, soft)


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


def _signature(function: Callable[..., Any]) -> Any:
    import inspect

    return inspect.signature(function)
