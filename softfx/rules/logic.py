"""Logical and bitwise operators on soft bools; any and all as their reductions.

To add an operator of bools, append a `_logic` to RULES with its propagation and its relaxation; one of integers alone
is a `_bitwise`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Operation
from softfx.rules import joined
from softfx.rules.arithmetic import joint
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.readings import as_probability, on_points, softs_in
from softfx.rules.refusals import ARRIVES_HARD, CannotSoften, is_discrete
from softfx.rules.rule import Rule
from softfx.rules.units import OPERAND
from softfx.values import Soft, SoftBool, SoftCount

__all__ = ["RULES"]


# -- relaxations: real numbers are true where they are not 0 -----------------------------------------------------------


def _nonzero(context: RuleContext, operand: object) -> Tensor:
    """The probability that a real number is not 0, which is what makes it true."""
    if is_discrete(operand) or not isinstance(operand, Tensor):
        raise CannotSoften(ARRIVES_HARD)
    zero = context.call(torch.zeros, (), dtype=operand.dtype, device=operand.device)
    result: Tensor = context.call(softtorch.not_equal, operand, zero, **context.options)
    return result


def _of_reals(function: Callable[..., Tensor]) -> Callable[..., SoftBool]:
    """The relaxation of logic, whose real operands are first asked whether they are 0."""

    def relax(context: RuleContext, input: Tensor, other: Tensor | None = None) -> SoftBool:
        operands = [operand for operand in (input, other) if operand is not None]
        like = next((operand for operand in operands if not is_discrete(operand)), input)
        bools = [_nonzero(context, o) if not is_discrete(o) else as_probability(context, o, like) for o in operands]
        return context.soft_bool(context.call(function, *bools))

    return relax


def _has_reals(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True if a real tensor is among the operands."""
    return any(isinstance(o, Tensor) and o.is_floating_point() for o in (*args, *kwargs.values()))


# -- propagation -------------------------------------------------------------------------------------------------------


def _of_two(join: joined.OfTwo, bitwise: Callable[..., Tensor]) -> RuleFunction:
    """The propagation of an operator that joins two bools, which is `bitwise` on integers."""

    def propagate(context: RuleContext, input: Operand, other: Operand) -> Shadow:
        like = softs_in([input, other])[0].tensor
        if context.hard.dtype is not torch.bool and not _are_masks(context, input, other):
            return _bits(context, bitwise, input, other)
        x, y = (o if isinstance(o, SoftBool) else _truth(context, o, like) for o in (input, other))
        return join(context, x, y)

    return propagate


def _are_masks(context: RuleContext, *operands: Operand) -> bool:
    """Return True if all are bools held as bytes: of such, bitwise operators are those of logic."""
    bools = [isinstance(o, SoftBool) or (isinstance(o, Tensor) and o.dtype is torch.bool) for o in operands]
    return context.hard.dtype is torch.uint8 and all(bools)


def _truth(context: RuleContext, operand: Operand, like: Tensor) -> Tensor:
    """An operand as the probability that it is true: what is no bool is true where it is not 0."""
    if isinstance(operand, Tensor) and operand.dtype is not torch.bool:
        if operand.is_floating_point():
            return context.call(torch.Tensor.to, _nonzero(context, operand), like.dtype)
        operand = context.call(torch.ne, operand, 0)
    elif not isinstance(operand, Tensor | Soft):
        operand = bool(operand)
    return as_probability(context, operand, like)


def _not(context: RuleContext, input: Soft) -> Soft:
    if context.hard.dtype is not torch.bool:
        return _bits(context, torch.bitwise_not, input)
    return context.soft_bool(context.call(softtorch.logical_not, input.truth(context.call)))


def _of_integers(bitwise: Callable[..., Tensor], idiom: str) -> Callable[..., Soft]:
    """The propagation of an operator of two integers."""

    def propagate(context: RuleContext, input: Operand, other: Operand) -> Soft:
        context.recognise(idiom)
        return _bits(context, bitwise, input, other)

    return propagate


def _bits(context: RuleContext, bitwise: Callable[..., Tensor], *operands: object) -> Soft:
    """Bitwise algebra of integers, on the numbers that an index ranges over."""
    operands = tuple(_indexed(context, operand) for operand in operands)
    index: Soft | None = on_points(context, bitwise, *operands)
    softs = softs_in(operands)
    if index is None and len(softs) == len(operands):
        index = joint(context, bitwise, *softs)
    if index is None:
        raise CannotSoften("bitwise algebra of indices over many numbers has no soft form")
    return index


def _indexed(context: RuleContext, operand: object) -> object:
    """A count as one of the two integers that it lies between."""
    if not isinstance(operand, SoftCount):
        return operand
    weights, support = operand.finite(context.call)
    return context.soft_index(weights, support)


def _reduce(join: joined.OfRows) -> Callable[..., SoftBool]:
    """any or all, of shadows and of real numbers: one axis after the other, the last first."""

    def reduce(
        context: RuleContext, input: TensorOrSoft, dim: int | Sequence[int] | None = None, keepdim: bool = False
    ) -> SoftBool:
        value = input.truth(context.call) if isinstance(input, Soft) else _nonzero(context, input)
        axes = tuple(range(value.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        for axis in sorted((axis % max(value.dim(), 1) for axis in axes), reverse=True):
            value = join(context, value, axis, keepdim)  # a number by itself has no axis to keep
        return context.soft_bool(value)

    return reduce


# -- the records -------------------------------------------------------------------------------------------------------


def _logic(code: str, operation: Operation, propagate: RuleFunction, relax: RuleFunction, formula: str) -> Rule:
    return Rule(
        code,
        operation,
        "discrete",
        "Joins bools, and real numbers by whether they are 0; a soft bool goes on through it as a probability.",
        "It is only decided on where real numbers are asked whether they are 0; keep it where that is a check.",
        "product logic; SoftTorch 0.1.1 documentation",
        formula=formula,
        soft=f"softtorch.{operation.name}",
        relax=relax,
        unit=OPERAND,
        propagate=propagate,
        is_site=_has_reals,
    )


def _bitwise(code: str, operation: Operation, idiom: str) -> Rule:
    """A rule of an operator of integers alone, which is no site."""
    return Rule(code, operation, "selection", "Bitwise algebra follows what reaches it.", "It follows what reaches it.",
                "", soft=f"torch.{operation.name}", propagate=_of_integers(operation.function, idiom),
                options=())  # fmt: skip


_REALS = "of real numbers: a = ne(x, 0), b = ne(y, 0), ne soft"
_ROWS_OF_REALS = "of real numbers: a_j = ne(x_j, 0), ne soft"

_AND = joined.both(softtorch.logical_and)
_OR = joined.either(softtorch.logical_or)
_XOR = joined.plainly(softtorch.logical_xor)
_ANY, _ALL = _reduce(joined.some(softtorch.any)), _reduce(joined.every(softtorch.all))
RULES = (
    _logic("SX401", ops.logical_and, _of_two(_AND, torch.bitwise_and),
           _of_reals(softtorch.logical_and), f"a b, of probabilities; {_REALS}"),
    _logic("SX402", ops.logical_or, _of_two(_OR, torch.bitwise_or), _of_reals(softtorch.logical_or),
           f"1 - (1 - a) (1 - b), of probabilities; {_REALS}"),
    _logic("SX403", ops.logical_xor, _of_two(_XOR, torch.bitwise_xor),
           _of_reals(softtorch.logical_xor), f"1 - (1 - a (1 - b)) (1 - (1 - a) b), of probabilities; {_REALS}"),
    _logic("SX404", ops.logical_not, _not, _of_reals(softtorch.logical_not),
           "1 - a, of a probability; of a real number: a = ne(x, 0), ne soft"),
    _bitwise("SX407", ops.bitwise_left_shift, "bits: decisions shifted to their places in a number"),
    _bitwise("SX408", ops.bitwise_right_shift, "bits: a number shifted to one of its bits"),
    _logic("SX405", ops.any, _ANY, _ANY, f"1 - prod_j (1 - a_j), of probabilities; {_ROWS_OF_REALS}"),
    _logic("SX406", ops.all, _ALL, _ALL, f"prod_j a_j, of probabilities; {_ROWS_OF_REALS}"),
)  # fmt: skip
