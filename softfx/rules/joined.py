"""Bools that become one: the product of their probabilities, and more than that where their noise has a tail.

To have another operation join bools, call one of these in its propagation, and name it in
softfx.interpreter.joint_decisions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from softfx.rules.context import RuleContext, TensorOrSoft
from softfx.runtime import joining
from softfx.values import Soft, SoftBool

__all__ = ["both", "either", "every", "plainly", "some"]

OfTwo = Callable[[RuleContext, TensorOrSoft, TensorOrSoft], SoftBool]
OfRows = Callable[..., Tensor]


def plainly(function: Callable[..., Tensor]) -> OfTwo:
    """`function` of the probabilities of two bools, whatever their noise."""

    def join(context: RuleContext, x: TensorOrSoft, y: TensorOrSoft) -> SoftBool:
        return context.soft_bool(context.call(function, _probability(context, x), _probability(context, y)))

    return join


def both(product: Callable[..., Tensor]) -> OfTwo:
    """Whether two bools are true, `product` of independent ones. Several in turn are joined as a row of them is."""

    def join(context: RuleContext, x: TensorOrSoft, y: TensorOrSoft) -> SoftBool:
        if not context.reaches:
            return plainly(product)(context, x, y)
        independent, common = _in_turn(context, x, y, True)
        result = context.soft_bool(context.call(joining.mixed, independent, common))
        return replace(result, apart=(True, independent, common))

    return join


def either(plain: Callable[..., Tensor]) -> OfTwo:
    """Whether one of two bools is true, `plain` of independent ones: not that neither is."""

    def join(context: RuleContext, x: TensorOrSoft, y: TensorOrSoft) -> SoftBool:
        if not context.reaches:
            return plainly(plain)(context, x, y)
        independent, common = _in_turn(context, x, y, False)
        none = context.call(joining.mixed, independent, common)
        return replace(context.soft_bool(context.call(torch.rsub, none, 1)), apart=(False, independent, common))

    return join


def every(plain: Callable[..., Tensor]) -> OfRows:
    """Whether all are true along an axis, of probabilities: `plain` of independent ones."""
    return _of_rows(plain, joining.every)


def some(plain: Callable[..., Tensor]) -> OfRows:
    """Whether one is true along an axis, of probabilities: `plain` of independent ones."""
    return _of_rows(plain, joining.some)


def _of_rows(plain: Callable[..., Tensor], tailed: Callable[..., Tensor]) -> OfRows:
    def join(context: RuleContext, p: Tensor, dim: int, keepdim: bool = False) -> Tensor:
        return context.call(tailed if context.reaches else plain, p, dim=dim, keepdim=keepdim)

    return join


def _probability(context: RuleContext, operand: TensorOrSoft) -> Tensor:
    return operand.truth(context.call) if isinstance(operand, Soft) else operand


def _in_turn(context: RuleContext, x: TensorOrSoft, y: TensorOrSoft, happen: bool) -> tuple[Tensor, Tensor]:
    """The probability that two bools, and all that these were joined of, happen, or do not: independent and common."""
    (p, p_common), (q, q_common) = (_apart(context, operand, happen) for operand in (x, y))
    return context.call(torch.mul, p, q), context.call(joining.common, p_common, q_common)


def _apart(context: RuleContext, operand: TensorOrSoft, happen: bool) -> tuple[Tensor, Tensor]:
    if isinstance(operand, SoftBool) and operand.apart is not None and operand.apart[0] is happen:
        return operand.apart[1:]
    probability = _probability(context, operand)
    one = probability if happen else context.call(torch.rsub, probability, 1)
    return one, one
