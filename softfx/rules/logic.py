"""Logical and bitwise operators on soft bools; any and all as their reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.arithmetic import joint
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_probability, is_discrete, on_points, points, truth
from softfx.values.domains import Domain, Soft

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
    operands = tuple(_indexed(context, operand) for operand in operands)
    index = on_points(context, bitwise, *operands)
    if index is None and all(isinstance(operand, Soft) for operand in operands):
        index = joint(context, bitwise, *operands)
    if index is None:
        raise Cut("bitwise algebra of indices over many numbers has no soft form")
    return index


def _indexed(context: RuleContext, operand: Any) -> Any:
    """A count as one of the two integers that it lies between."""
    if not isinstance(operand, Soft) or operand.domain is not Domain.COUNT:
        return operand
    weights, support = points(context, operand)
    return context.soft(weights, "soft_index", support)


def _shift(bitwise: Callable[..., Tensor]) -> Callable[..., Any]:
    def carry(context: RuleContext, input: Any, other: Any) -> Any:
        return _bits(context, bitwise, input, other)

    return carry


def _nonzero(context: RuleContext, operand: Any) -> Tensor:
    """How likely real numbers are no 0, which is what makes them true."""
    if is_discrete(operand) or not isinstance(operand, Tensor):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")
    zero = context.call(torch.zeros, (), dtype=operand.dtype, device=operand.device)
    result: Tensor = context.call(softtorch.not_equal, operand, zero, **context.options)
    return result


def _of_reals(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Logic of real numbers, each of which is first asked whether it is 0."""

    def relax(context: RuleContext, input: Any, other: Any = None) -> Any:
        operands = [operand for operand in (input, other) if operand is not None]
        like = next((operand for operand in operands if not is_discrete(operand)), input)
        bools = [_nonzero(context, o) if not is_discrete(o) else as_probability(context, o, like) for o in operands]
        return context.soft(context.call(function, *bools), "soft_bool")

    return relax


def _has_reals(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return any(isinstance(o, Tensor) and o.is_floating_point() for o in (*args, *kwargs.values()))


def _not(context: RuleContext, input: Soft) -> Any:
    if context.hard.dtype not in (torch.bool, torch.uint8):
        return _bits(context, torch.bitwise_not, input)
    return context.soft(context.call(softtorch.logical_not, truth(context, input)), "soft_bool")


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def carry(context: RuleContext, input: Any, dim: Any = None, keepdim: bool = False) -> Any:
        value = truth(context, input) if isinstance(input, Soft) else _nonzero(context, input)
        axes = tuple(range(value.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        for axis in sorted((axis % max(value.dim(), 1) for axis in axes), reverse=True):
            value = context.call(function, value, dim=axis)
            if keepdim:
                value = context.call(Tensor.unsqueeze, value, axis)
        return context.soft(value, "soft_bool")

    return carry


def _logic(code: str, op: str, carry: Callable[..., Any], relax: Callable[..., Any], *aliases: str) -> Rule:
    return Rule(
        code,
        op,
        "discrete",
        "Joins bools, and real numbers by whether they are 0; a soft bool goes on through it as a probability.",
        "It is only decided on where real numbers are asked whether they are 0; keep it where that is a check.",
        "product logic; SoftTorch 0.1.1 documentation",
        soft=f"softtorch.{op}",
        relax=relax,
        carry=carry,
        aliases=aliases,
        site=_has_reals,
    )


def _bitwise(code: str, op: str, bitwise: Callable[..., Tensor], *aliases: str) -> Rule:
    """Of integers alone."""
    return Rule(code, op, "selection", "Bitwise algebra follows what reaches it.", "It follows what reaches it.", "",
                soft=f"torch.{op}", carry=_shift(bitwise), aliases=aliases, options=())  # fmt: skip


_ANY, _ALL = _reduce(softtorch.any), _reduce(softtorch.all)
RULES = (
    _logic("SX401", "logical_and", _binary(softtorch.logical_and, torch.bitwise_and),
           _of_reals(softtorch.logical_and), "bitwise_and"),
    _logic("SX402", "logical_or", _binary(softtorch.logical_or, torch.bitwise_or),
           _of_reals(softtorch.logical_or), "bitwise_or"),
    _logic("SX403", "logical_xor", _binary(softtorch.logical_xor, torch.bitwise_xor),
           _of_reals(softtorch.logical_xor), "bitwise_xor"),
    _logic("SX404", "logical_not", _not, _of_reals(softtorch.logical_not), "bitwise_not"),
    _bitwise("SX407", "bitwise_left_shift", torch.bitwise_left_shift, "__lshift__", "lshift"),
    _bitwise("SX408", "bitwise_right_shift", torch.bitwise_right_shift, "__rshift__", "rshift"),
    _logic("SX405", "any", _ANY, _ANY, "_is_any_true"),
    _logic("SX406", "all", _ALL, _ALL, "_is_all_true"),
)  # fmt: skip
