"""Estimators: other derivatives that a policy may give to a straight-through site instead of its soft form's.

An estimator is called in place of a rule's own function, with that function and the operands, and returns a shadow as
that function would. To add one, write its function here, its name in softfx.decisions.policy.schema, and an entry in
`Rule.estimators` of the rules that it fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

import softtorch
from softfx.ops.calls import Function
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow
from softfx.rules.readings import as_real
from softfx.rules.refusals import ARRIVES_HARD, CannotSoften, is_discrete
from softfx.rules.rule import Estimate
from softfx.runtime import distributions
from softfx.values import Soft, SoftIndex

__all__ = ["difference", "drawn", "first", "identity", "reinmax"]

_Shadow = TypeVar("_Shadow", bound=Soft)


# -- estimators --------------------------------------------------------------------------------------------------------


def identity(passed: Callable[..., Tensor]) -> Estimate:
    """The derivative of `passed(context, *operands)`, a real number of the result's shape (arXiv 1308.3432)."""

    def estimate(context: RuleContext, relax: RuleFunction, *args: object, **kwargs: object) -> Tensor | Soft:
        operands = [as_real(context, arg) for arg in args]
        if all(is_discrete(operand) for operand in operands if isinstance(operand, Tensor)):
            raise CannotSoften(ARRIVES_HARD)
        value = passed(context, *operands)
        if not isinstance(context.hard, Tensor) or value.shape != context.hard.shape:
            raise CannotSoften("the identity has another shape than its result")
        return _with_hard_value(context, context.soft_bool(value)) if is_discrete(context.hard) else value

    return estimate


def reinmax(context: RuleContext, relax: RuleFunction, *args: object, **kwargs: object) -> SoftIndex:
    """The second-order derivative of ReinMax for the choice of one of several (arXiv 2304.08612)."""
    soft = relax(context, *args, **kwargs)
    if not isinstance(soft, SoftIndex):
        raise CannotSoften("ReinMax is for a choice of one of several, and this gives no soft index")
    chosen = soft.hardened(context.call, context.hard)
    weights = context.call(distributions.second_order, chosen, soft.weights)
    return _with_hard_value(context, soft.with_tensor(weights))


def drawn(function: Function, noise: Callable[[Tensor], Tensor]) -> Estimate:
    """A draw instead of the most likely value: noise on the first operand, both of `function` and of the soft form."""

    def estimate(context: RuleContext, relax: RuleFunction, input: Operand, *args: object, **kwargs: object) -> Shadow:
        noisy = context.call(noise, as_real(context, input))
        operands = [as_real(context, arg) for arg in args]
        context.hard = context.call(function, noisy, *operands, **kwargs)
        return relax(context, noisy, *operands, **kwargs)

    return estimate


def _with_hard_value(context: RuleContext, soft: _Shadow) -> _Shadow:
    """The shadow with the hard value: an estimator gives a derivative, and no probability."""
    hard = soft.hardened(context.call, context.hard)
    return soft.with_tensor(context.call(softtorch.straight_through, hard, soft.tensor))


# -- real numbers whose derivative `identity` passes on ----------------------------------------------------------------


def first(context: RuleContext, input: Tensor, *_: object) -> Tensor:
    """The first operand."""
    return input


def difference(sign: int) -> Callable[..., Tensor]:
    """x - y for a comparison that grows with x (`sign` above 0), y - x for one that falls."""

    def passed(context: RuleContext, input: Tensor | float, other: Tensor | float) -> Tensor:
        x, y = (input, other) if sign > 0 else (other, input)
        result: Tensor = context.call(torch.sub, x, y) if isinstance(x, Tensor) else context.call(torch.rsub, y, x)
        return result

    return passed
