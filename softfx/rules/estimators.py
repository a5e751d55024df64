"""What may give a straight-through site its derivative instead of its soft form: the estimators of a policy.

An estimator is called in place of a rule's own function, with that function and the operands, and returns a shadow as
that one would. A rule names those that fit it (`Rule.estimators`). To add one: a function here, its name in
softfx.decisions.policy.schema, and a place in the rules that it fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Estimate, RuleContext
from softfx.rules.values import as_real, harden, is_discrete
from softfx.runtime import distributions
from softfx.values.domains import Domain, Soft

__all__ = ["difference", "drawn", "first", "identity", "reinmax"]


def identity(passed: Callable[..., Any]) -> Estimate:
    """The derivative of `passed(context, *operands)`, a real number of the result's shape (arXiv 1308.3432)."""

    def estimate(context: RuleContext, relax: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        operands = [as_real(context, arg) for arg in args]
        if all(is_discrete(operand) for operand in operands if isinstance(operand, Tensor)):
            raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")
        value = passed(context, *operands)
        if not isinstance(context.hard, Tensor) or value.shape != context.hard.shape:
            raise Cut("the identity has another shape than its result")
        return _certain(context, context.soft(value, "soft_bool")) if is_discrete(context.hard) else value

    return estimate


def reinmax(context: RuleContext, relax: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The second-order derivative of ReinMax for the choice of one of several (arXiv 2304.08612)."""
    soft = relax(context, *args, **kwargs)
    if not isinstance(soft, Soft) or soft.domain is not Domain.SOFT_INDEX:
        raise Cut("ReinMax is for a choice of one of several, and this gives no soft index")
    chosen = harden(context, context.hard, soft)
    return _certain(context, replace(soft, value=context.call(distributions.second_order, chosen, soft.value)))


def drawn(function: Callable[..., Any], noise: Callable[[Tensor], Tensor]) -> Estimate:
    """A draw instead of the most likely value: noise on the first operand, of the hard side and the soft one."""

    def estimate(context: RuleContext, relax: Callable[..., Any], input: Any, *args: Any, **kwargs: Any) -> Any:
        noisy = context.call(noise, as_real(context, input))
        operands = [as_real(context, arg) for arg in args]
        context.hard = context.call(function, noisy, *operands, **kwargs)
        return relax(context, noisy, *operands, **kwargs)

    return estimate


def _certain(context: RuleContext, soft: Soft) -> Soft:
    """The shadow with the hard value: what an estimator makes is a derivative, and no probability."""
    value = context.call(softtorch.straight_through, harden(context, context.hard, soft), soft.value)
    return replace(soft, value=value)


def first(context: RuleContext, input: Tensor, *_: Any) -> Any:
    return input


def difference(sign: int) -> Callable[..., Any]:
    """x - y for what grows with x, y - x for what falls."""

    def passed(context: RuleContext, input: Any, other: Any) -> Any:
        x, y = (input, other) if sign > 0 else (other, input)
        return context.call(torch.sub, x, y) if isinstance(x, Tensor) else context.call(torch.rsub, y, x)

    return passed
