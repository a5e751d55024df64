"""The choice of turns within a budget, and the derivative that they give a result.

Turns are drawn without replacement with probabilities that follow their weights, by systematic sampling, and each is
divided by its probability, so that the sum is unbiased whatever the budget (Horvitz and Thompson 1952; Madow 1949).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import mul
from typing import Any

import torch
from torch import Tensor

from softfx.control.choices import Parts, Turn
from softfx.errors import ControlError

__all__ = ["Difference", "chosen", "inclusion", "with_turns"]

Difference = Tensor | float  # of two results; a number where these have one element

# A choice that is nearly certain may still matter: what it decides is not known. Below .01 the variance of trees grows.
# In a long loop nearly all are: together they weigh no more than this part of what all others do, or none of these,
# which matter most, would be made.
_FLOOR, _PART = 0.01, 0.25


def inclusion(turns: Sequence[Turn], budget: int) -> list[float]:
    """The probability with which each turn is made: min(1, c w), such that the runs are `budget` in the mean."""
    costs = [len(turn.runs) for turn in turns]
    if sum(costs) <= budget:
        return [1.0] * len(turns)
    weights = [turn.weight for turn in turns]
    floor = min(_FLOOR, _PART * sum(weights) / len(weights)) or _FLOOR
    rest, left = [weight if weight > floor else floor for weight in weights], float(budget)
    while True:  # those whose probability would be above 1 are certain; each round finds some, or ends
        c = left / sum(map(mul, rest, costs))
        certain = [number for number, weight in enumerate(rest) if c * weight >= 1.0]
        if not certain:
            return [1.0 if weight == 0.0 else c * weight for weight in rest]
        for number in certain:
            rest[number] = 0.0
            left -= costs[number]


def chosen(probabilities: Sequence[float], u: float) -> list[int]:
    """The numbers of the turns that are made: systematic sampling by u from [0, 1), in one pass over their sums.

    >>> chosen([1.0, 0.5, 0.5, 1.0], 0.8)
    [0, 2, 3]
    """
    at, total, found = u, 0.0, []
    for number, p in enumerate(probabilities):
        total += p
        if p >= 1.0:
            total -= 1.0
            found.append(number)
        elif at < total:
            at += 1.0
            found.append(number)
    return found


def with_turns(
    result: Tensor,
    coefficients: Sequence[Parts],
    terms: Sequence[Difference],
    weights: Sequence[float],
    heard: Callable[[list[float]], None],
) -> Tensor:
    """`result` itself, with the derivative sum of grad coefficient times weight times term.

    coefficients: the parts that each is made of.
    terms: each of the shape of the result, or a number where that has one element.
    heard: is told in the backward pass by how much each term counts.
    """
    parts = [(number, tensor, factor) for number, item in enumerate(coefficients) for tensor, factor in item]
    shares = [(number, factor * weights[number], tensor.shape, tensor.dtype) for number, tensor, factor in parts]
    tensors = [tensor for _, tensor, _ in parts]
    numbers = [term for term in terms if not isinstance(term, Tensor)]
    if len(numbers) == len(terms):
        stacked = result.new_tensor(numbers).reshape(-1, *result.shape)
    else:
        stacked = torch.stack([term for term in terms if isinstance(term, Tensor)])
    made: Tensor = _WithTurns.apply(result, stacked, shares, weights, heard, *tensors)  # type: ignore[no-untyped-call]
    return made


class _WithTurns(torch.autograd.Function):
    """The value of its first operand; of the coefficients the derivative in the backward pass. It has no second one."""

    @staticmethod
    def forward(ctx: Any, result: Tensor, terms: Tensor, shares: Any, weights: Any, heard: Any, *parts: Any) -> Tensor:
        ctx.save_for_backward(terms)
        # The parts are no saved tensors: the program may write them, and their values are not asked for.
        ctx.parts, ctx.shares, ctx.weights, ctx.heard = parts, shares, weights, heard
        return result.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (terms,) = ctx.saved_tensors
        each = (terms * gradient).reshape(terms.shape[0], -1).sum(1)
        ctx.heard([size * weight for size, weight in zip(each.tolist(), ctx.weights, strict=True)])
        if torch.is_grad_enabled():  # the graph of this pass is wanted, for a derivative of the derivative
            each = _Once.apply(each, *ctx.parts)  # type: ignore[no-untyped-call]
        found = [(each[number] * factor).to(dtype).reshape(shape) for number, factor, shape, dtype in ctx.shares]
        return gradient, None, None, None, None, *found


class _Once(torch.autograd.Function):
    """What a term is worth depends on the coefficients, and nobody knows how: its derivative raises."""

    @staticmethod
    def forward(ctx: Any, each: Tensor, *parts: Tensor) -> Tensor:
        return each.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        raise ControlError(
            "softfx: a second derivative is taken through control flow, whose first one is made of differences of runs "
            "and has none. Legal are first derivatives. Take these, or keep the sites: "
            'op = "@control", action = "keep".'
        )
