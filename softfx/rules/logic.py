"""Logical and bitwise operators on soft bools; any and all as their reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.domains import Soft
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_probability, on_points, truth

__all__ = ["RULES"]


def _binary(function: Callable[..., Tensor], bitwise: Callable[..., Tensor]) -> Callable[..., Any]:
    def carry(context: RuleContext, input: Any, other: Any) -> Any:
        like = next(operand.value for operand in (input, other) if isinstance(operand, Soft))
        if context.hard.dtype not in (torch.bool, torch.uint8):
            return _bits(context, bitwise, input, other)
        x, y = as_probability(context, input, like), as_probability(context, other, like)
        return context.soft(context.call(function, x, y), "soft_bool")

    return carry


def _bits(context: RuleContext, bitwise: Callable[..., Tensor], *operands: Any) -> Any:
    """Bitwise algebra of integers, on the numbers that an index ranges over."""
    index = on_points(context, bitwise, *operands)
    if index is None:
        raise Cut("bitwise algebra of a count, or of two soft indices, has no soft form")
    return index


def _shift(bitwise: Callable[..., Tensor]) -> Callable[..., Any]:
    def carry(context: RuleContext, input: Any, other: Any) -> Any:
        return _bits(context, bitwise, input, other)

    return carry


def _not(context: RuleContext, input: Soft) -> Any:
    if context.hard.dtype not in (torch.bool, torch.uint8):
        return _bits(context, torch.bitwise_not, input)
    return context.soft(context.call(softtorch.logical_not, truth(context, input)), "soft_bool")


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def carry(context: RuleContext, input: Soft, dim: Any = None, keepdim: bool = False) -> Any:
        value = truth(context, input)
        axes = tuple(range(value.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        for axis in sorted((axis % max(value.dim(), 1) for axis in axes), reverse=True):
            value = context.call(function, value, dim=axis)
            if keepdim:
                value = context.call(Tensor.unsqueeze, value, axis)
        return context.soft(value, "soft_bool")

    return carry


def _logic(code: str, op: str, carry: Callable[..., Any], *aliases: str) -> Rule:
    return Rule(
        code,
        op,
        "selection",
        "Joins bools; a soft bool goes on through it as a probability.",
        "It follows what reaches it.",
        "product logic; SoftTorch 0.1.1 documentation",
        soft=f"softtorch.{op}",
        carry=carry,
        aliases=aliases,
        options=(),
    )


RULES = (
    _logic("SX401", "logical_and", _binary(softtorch.logical_and, torch.bitwise_and), "bitwise_and"),
    _logic("SX402", "logical_or", _binary(softtorch.logical_or, torch.bitwise_or), "bitwise_or"),
    _logic("SX403", "logical_xor", _binary(softtorch.logical_xor, torch.bitwise_xor), "bitwise_xor"),
    _logic("SX404", "logical_not", _not, "bitwise_not"),
    _logic("SX407", "bitwise_left_shift", _shift(torch.bitwise_left_shift), "__lshift__", "lshift"),
    _logic("SX408", "bitwise_right_shift", _shift(torch.bitwise_right_shift), "__rshift__", "rshift"),
    _logic("SX405", "any", _reduce(softtorch.any), "_is_any_true"),
    _logic("SX406", "all", _reduce(softtorch.all), "_is_all_true"),
)
