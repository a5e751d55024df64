"""Comparisons: of real numbers (relaxed), and of soft indices, counts and bools (resolved on their points).

A comparison of an index is the probability that it holds, summed over the numbers the index ranges over; it is
not relaxed a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.estimators import difference, drawn, identity
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_real, is_discrete, points
from softfx.runtime import distributions, draws
from softfx.values.domains import Domain, Soft

__all__ = ["RULES"]


def _relax(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, other: Any) -> Any:
        tensors = [operand for operand in (input, other) if isinstance(operand, Tensor)]
        if all(is_discrete(tensor) for tensor in tensors):
            raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")
        like = next(tensor for tensor in tensors if not is_discrete(tensor))
        x, y = (_real(context, operand, like) for operand in (input, other))
        return context.soft(context.call(function, x, y, **context.options), "soft_bool")

    return relax


def _real(context: RuleContext, operand: Any, like: Tensor) -> Any:
    if isinstance(operand, Tensor):
        return context.call(torch.Tensor.to, operand, like.dtype) if is_discrete(operand) else operand
    return context.call(torch.full, (), operand, dtype=like.dtype, device=like.device)


def _carry(compare: Callable[..., Tensor], function: Callable[..., Tensor]) -> Callable[..., Any]:
    relax = _relax(function)

    def carry(context: RuleContext, input: Any, other: Any) -> Any:
        if any(isinstance(operand, Tensor) and not context.whole(operand) for operand in (input, other)):
            return relax(context, as_real(context, input), as_real(context, other))
        if isinstance(input, Soft) and isinstance(other, Soft):
            return context.soft(_both(context, compare, input, other), "soft_bool")
        soft, fixed, reflected = (input, other, False) if isinstance(input, Soft) else (other, input, True)
        weights, support = points(context, soft)
        value = context.call(distributions.probability, compare, weights, support, None, fixed, reflected)
        return context.soft(value, "soft_bool")

    return carry


def _both(context: RuleContext, compare: Callable[..., Tensor], input: Soft, other: Soft) -> Any:
    if input.domain is Domain.COUNT and other.domain is Domain.COUNT:
        weights, support = points(context, Soft(Domain.COUNT, context.call(torch.sub, input.value, other.value)))
        return context.call(distributions.probability, compare, weights, support, None, 0, False)
    return context.call(distributions.probability, compare, *points(context, input), *points(context, other))


def _comparison(
    code: str, op: str, compare: Callable[..., Tensor], function: Callable[..., Tensor], *aliases: str, sign: int = 0
) -> Rule:
    return Rule(
        code,
        op,
        "discrete",
        "A bool has no derivative: whatever is compared stops learning from what the comparison decides.",
        "Keep it where the bool only checks an argument, pads, or selects between branches that need no gradient.",
        "SoftTorch 0.1.1 documentation",
        soft=f"softtorch.{function.__name__}",
        relax=_relax(function),
        carry=_carry(compare, function),
        aliases=aliases,
        options=("softness", "mode", "epsilon"),
        site=_of_numbers,
        estimators={"identity": identity(difference(sign)), "gumbel": drawn(compare, draws.with_logistic_noise)}
        if sign
        else {},
    )


def _of_numbers(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether numbers are compared, and not a tensor with None or a string."""
    return all(isinstance(operand, Tensor | int | float | complex) for operand in (*args, *kwargs.values()))


def _isclose(context: RuleContext, input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8) -> Any:
    if is_discrete(input) or is_discrete(other):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")
    value = context.call(softtorch.isclose, input, other, rtol=rtol, atol=atol, **context.options)
    return context.soft(value, "soft_bool")


def _signbit(context: RuleContext, input: Any) -> Any:
    zero = _real(context, 0, input)
    return context.soft(context.call(softtorch.less, input, zero, **context.options), "soft_bool")


def _isin(
    context: RuleContext, elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Any:
    """Whether an index is one of these: how likely it is at any of them."""
    if not isinstance(elements, Soft) or isinstance(test_elements, Soft):
        raise Cut("isin in a list of soft values")
    weights, support = points(context, elements)
    hits = context.call(torch.isin, support, test_elements, invert=invert)
    return context.soft(context.call(distributions.weighted, weights, hits), "soft_bool")


RULES = (
    _comparison("SX301", "gt", torch.gt, softtorch.greater, "greater", sign=1),
    _comparison("SX302", "ge", torch.ge, softtorch.greater_equal, "greater_equal", sign=1),
    _comparison("SX303", "lt", torch.lt, softtorch.less, "less", sign=-1),
    _comparison("SX304", "le", torch.le, softtorch.less_equal, "less_equal", sign=-1),
    _comparison("SX305", "eq", torch.eq, softtorch.eq),
    _comparison("SX306", "ne", torch.ne, softtorch.not_equal, "not_equal"),
    Rule(
        "SX307",
        "isclose",
        "discrete",
        "A bool has no derivative.",
        "Keep it where it only checks an argument.",
        "SoftTorch 0.1.1 documentation",
        soft="softtorch.isclose",
        relax=_isclose,
        options=("softness", "mode", "epsilon"),
    ),
    Rule(
        "SX308",
        "signbit",
        "discrete",
        "A bool has no derivative.",
        "Keep it where it only checks an argument.",
        "SoftTorch 0.1.1 documentation",
        soft="softtorch.less",
        relax=_signbit,
        site=_of_numbers,
    ),
    Rule(
        "SX309",
        "isin",
        "selection",
        "Whether an index is in a list; of a soft one it is a probability.",
        "It follows what reaches it.",
        "",
        soft="softfx.runtime.distributions.weighted",
        carry=_isin,
        options=(),
    ),
)
