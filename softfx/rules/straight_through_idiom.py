"""Straight-through code that the program has of its own, as a site: left as it is unless a policy names it.

It is recognised by softfx.interpreter.straight_through_idiom, for it is no single call. Its operands are the value q
and the surrogate x, of which the program takes the derivative.
"""

from __future__ import annotations

from torch import Tensor

import softtorch
from softfx import ops
from softfx.rules.context import RuleContext, RuleFunction
from softfx.rules.rule import Rule

__all__ = ["RULE", "RULES"]


def _relax(context: RuleContext, value: Tensor, surrogate: Tensor) -> Tensor:
    """The value itself, with the derivative that softening what made it brings."""
    return value


def _rotation(context: RuleContext, relax: RuleFunction, value: Tensor, surrogate: Tensor) -> Tensor:
    """The derivative of the rotation that takes the surrogate to the value (arXiv 2410.06424)."""
    return context.call(softtorch.rotation, surrogate, context.hard, **context.options)


RULE = Rule(
    "SX851",
    ops.existing_straight_through,
    "discrete",
    "Straight-through code of the program: the value of one tensor with the derivative of another.",
    "Left as it is unless an entry names it: its author has decided what the derivative is.",
    "arXiv 1308.3432; arXiv 2410.06424 for estimator = 'rotation'",
    formula="its own value; estimator = 'rotation': the rotation that takes x to q",
    soft="the derivative of the value's own soft form",
    relax=_relax,
    options=("dim",),
    drop_in=True,
    estimators={"rotation": _rotation},
    note="the program's own answer to such an operation. Kept unless named.",
)
RULES = (RULE,)
