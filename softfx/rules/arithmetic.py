"""Arithmetic on what stands for integers and bools: masks times numbers, index // width, counts plus one.

On a soft index it is arithmetic on the numbers the index ranges over; on counts it is mean-field; a mask times a
mask stays a mask. Floor division and remainder of real numbers are sites.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx import runtime
from softfx.domains import Domain, Soft
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_real, is_discrete, points

__all__ = ["RULES"]

# A joint distribution of two indices has n m points; beyond this many it is worth its expectation only.
_MOST_POINTS = 4096


def _binary(exact: Callable[..., Tensor]) -> Callable[..., Any]:
    """The carry of an operation that is smooth in real operands."""

    def carry(context: RuleContext, input: Any, other: Any, *, alpha: Any = 1, rounding_mode: Any = None) -> Any:
        if alpha != 1:
            other = _scaled(context, other, alpha)
        if rounding_mode is not None:
            raise Cut(f"division with rounding_mode={rounding_mode!r} of a soft value has no rule")
        shadow = _as_bool(context, exact, input, other) or _as_index(context, exact, input, other)
        return shadow if shadow is not None else _mean_field(context, exact, input, other)

    return carry


def _scaled(context: RuleContext, other: Any, alpha: Any) -> Any:
    if not isinstance(other, Soft):
        return other * alpha if not isinstance(other, Tensor) else context.call(torch.mul, other, alpha)
    return context.call(torch.mul, as_real(context, other), alpha)


def _as_bool(context: RuleContext, exact: Callable[..., Tensor], input: Any, other: Any) -> Soft | None:
    """Products of masks, and one minus a mask, are masks."""
    softs = [operand for operand in (input, other) if isinstance(operand, Soft)]
    if any(soft.domain is not Domain.SOFT_BOOL for soft in softs):
        return None
    if exact is torch.mul and (len(softs) == 2 or _is_bool(input) or _is_bool(other)):
        return context.soft(context.call(exact, _value(input), _value(other)), "soft_bool")
    if exact is torch.sub and not isinstance(input, Soft | Tensor) and input == 1:
        return context.soft(context.call(torch.rsub, softs[0].value, 1), "soft_bool")
    return None


def _is_bool(operand: Any) -> bool:
    return isinstance(operand, Tensor) and operand.dtype is torch.bool


def _value(operand: Any) -> Any:
    return operand.value if isinstance(operand, Soft) else operand


def _as_index(context: RuleContext, exact: Callable[..., Tensor], input: Any, other: Any) -> Soft | None:
    """An index and a number, an integer tensor or another index: the same arithmetic on the points."""
    softs = [operand for operand in (input, other) if isinstance(operand, Soft)]
    fixed = [operand for operand in (input, other) if not isinstance(operand, Soft)]
    if any(soft.domain is not Domain.SOFT_INDEX for soft in softs):
        return None
    if any(isinstance(operand, Tensor) and not is_discrete(operand) for operand in fixed):
        return None
    if len(softs) == 2:
        return _joint(context, exact, *softs)
    weights, support = points(context, softs[0])
    if isinstance(fixed[0], Tensor) and fixed[0].dim() > 0:
        fixed[0] = context.call(torch.Tensor.unsqueeze, fixed[0], -1)
    operands = (support, fixed[0]) if isinstance(input, Soft) else (fixed[0], support)
    if not isinstance(operands[0], Tensor):
        operands = (context.call(torch.full_like, support, operands[0]), operands[1])
    return context.soft(weights, "soft_index", context.call(exact, *operands))


def _joint(context: RuleContext, exact: Callable[..., Tensor], p: Soft, q: Soft) -> Soft | None:
    if p.value.shape[-1] * q.value.shape[-1] > _MOST_POINTS:
        return None
    weights = context.call(runtime.joint, p.value, q.value)
    support = context.call(runtime.joint_points, exact, p.value, p.support, q.value, q.support)
    return context.soft(weights, "soft_index", support)


def _mean_field(context: RuleContext, exact: Callable[..., Tensor], input: Any, other: Any) -> Any:
    x, y = as_real(context, input), as_real(context, other)
    if not isinstance(x, Tensor):
        x = context.call(torch.full_like, y, x)
    return context.call(exact, x, y)


def _stepped(exact: Callable[..., Tensor]) -> Callable[..., Any]:
    """The carry of // and %: on the points of an index, between the neighbours of a count."""

    def carry(context: RuleContext, input: Any, other: Any) -> Any:
        shadow = _as_index(context, exact, input, other)
        if shadow is not None:
            return shadow
        if not isinstance(input, Soft) or isinstance(other, Soft):
            raise Cut(f"{exact.__name__} by a soft value has no rule")
        weights, support = points(context, input)
        return context.call(runtime.probability, exact, weights, support, None, other, False)

    return carry


def _floor_divide(context: RuleContext, input: Any, other: Any) -> Any:
    _refuse(input, other)
    return context.call(softtorch.floor, context.call(torch.div, *_tensors(context, input, other)), **context.options)


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
    if input.domain is Domain.SOFT_INDEX:
        weights, support = points(context, input)
        return context.soft(weights, "soft_index", context.call(torch.neg, support))
    return context.call(torch.neg, as_real(context, input))


def _smooth(code: str, op: str, exact: Callable[..., Tensor], *aliases: str) -> Rule:
    return Rule(
        code,
        op,
        "selection",
        "Arithmetic follows what reaches it.",
        "It follows what reaches it.",
        "",
        soft=f"torch.{op}",
        carry=_binary(exact),
        aliases=aliases,
        options=(),
    )


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
        carry=_stepped(exact),
    )


RULES = (
    _smooth("SX611", "add", torch.add),
    _smooth("SX612", "sub", torch.sub, "subtract"),
    _smooth("SX613", "mul", torch.mul, "multiply"),
    _smooth("SX615", "pow", torch.pow),
    Rule("SX616", "neg", "selection", "Arithmetic follows what reaches it.", "It follows what reaches it.", "",
         soft="torch.neg", carry=_neg, aliases=("negative",), options=()),
    _stepping("SX617", "floor_divide", _floor_divide, torch.floor_divide, "softtorch.floor"),
    _stepping("SX618", "remainder", _remainder, torch.remainder, "softtorch.remainder"),
)  # fmt: skip
