"""Operations that only move elements: on a shadow they do the same, slice by slice of a distribution.

To add one, append a record to RULES: `_move` serves whatever takes a tensor and says how to move its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softfx import ops
from softfx.ops.calls import Function
from softfx.ops.operation import Operation
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.readings import (
    as_indices,
    as_number,
    as_probability,
    counted,
    joined_kind,
    out_of_place,
    shape_of,
    softs_in,
)
from softfx.rules.refusals import AS_NUMBER, CannotSoften, is_discrete
from softfx.rules.rule import Rule
from softfx.runtime import distributions
from softfx.values import Soft, SoftBool, SoftChoice, SoftIndex

__all__ = ["RULES"]

# Integers of the size of a bool, whose bits are those of 0 and 1.
_OF_ONE_BYTE = (torch.uint8, torch.int8)


# -- one operand -------------------------------------------------------------------------------------------------------


def _move(context: RuleContext, input: Operand, *args: object, **kwargs: object) -> Shadow:
    if not isinstance(input, Soft) or softs_in(args):
        raise CannotSoften(AS_NUMBER)
    return input.moved(context.call, out_of_place(context), *args, **kwargs)


def _attribute(operation: Operation) -> RuleFunction:
    """The propagation of an attribute of tensors, read in the form that code can write."""

    def propagate(context: RuleContext, input: Soft) -> Shadow:
        return input.moved(context.call, getattr, operation.name)

    return propagate


def _view(context: RuleContext, input: Operand, *args: object, **kwargs: object) -> Shadow:
    """The propagation of x.view(...): a shadow may lie otherwise than its tensor, so that it is reshaped."""
    if not isinstance(input, Soft) or softs_in(args):
        raise CannotSoften(AS_NUMBER)
    if any(isinstance(value, torch.dtype) for value in (*args, *kwargs.values())):
        if isinstance(input, SoftBool) and context.hard.dtype in _OF_ONE_BYTE:
            return context.soft_count(input.real(context.call))
        raise CannotSoften("it reads the bits of its operand as another type")
    return input.moved(context.call, torch.reshape, tuple(context.hard.shape))


def _like(function: Callable[..., Tensor]) -> RuleFunction:
    """The propagation of x.view_as(y), of whose y only the shape is wanted."""

    def propagate(context: RuleContext, input: Operand, other: Operand) -> Shadow:
        if not isinstance(input, Soft):
            return None
        return input.moved(context.call, function, tuple(context.hard.shape))

    return propagate


def _same(context: RuleContext, input: Soft, *args: object, **kwargs: object) -> Shadow:
    """The propagation of operations that leave every element where it is."""
    return context.like(input, context.call(out_of_place(context), input.tensor, *args, **kwargs))


def _copied(context: RuleContext, input: Soft, **kwargs: object) -> Shadow:
    """The propagation of copies: a shadow is never written, so that the copy has the same one."""
    return context.like(input, input.tensor)


def _unchanged(context: RuleContext, input: Soft, *args: object, **kwargs: object) -> Shadow:
    """The propagation of what changes nothing of the elements, nor of their shadow."""
    return input


def _detached(context: RuleContext, input: Soft) -> Shadow:
    """The same for those that stop the derivative: they stop the shadow's too."""
    if isinstance(input, SoftChoice):
        kept, rest, mass = (context.call(torch.detach, part) for part in (input.kept, input.rest, input.mass))
        return replace(input, kept=kept, rest=rest, mass=mass)
    return context.like(input, context.call(torch.detach, input.tensor))


def _triangle(context: RuleContext, input: Soft, diagonal: int = 0) -> Shadow:
    if isinstance(input, SoftIndex | SoftChoice):
        raise CannotSoften("zeroing a part of a soft index has no rule")
    return context.like(input, context.call(out_of_place(context), input.tensor, diagonal))


def _pad(
    context: RuleContext, input: Soft, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Shadow:
    if mode != "constant":
        return _move(context, input, pad, mode)
    filler = value or 0
    if not isinstance(input, SoftIndex | SoftChoice):
        return context.like(input, context.call(F.pad, input.tensor, pad, "constant", float(filler)))
    weights, support = input.finite(context.call)
    padded, numbers = context.call(distributions.padded, weights, support, list(pad), filler)
    return context.soft_index(padded, numbers)


# -- several operands, joined ------------------------------------------------------------------------------------------


def _cat(context: RuleContext, tensors: Sequence[TensorOrSoft], dim: int = 0) -> Shadow:
    return _join(context, _without_empty(context, tensors), dim, torch.cat)


def _stack(context: RuleContext, tensors: Sequence[TensorOrSoft], dim: int = 0) -> Shadow:
    return _join(context, tensors, dim, torch.stack)


def _hstack(context: RuleContext, tensors: Sequence[TensorOrSoft]) -> Shadow:
    return _join(context, tensors, 0 if context.hard.dim() == 1 else 1, torch.cat)


def _broadcast(context: RuleContext, *operands: TensorOrSoft | Sequence[TensorOrSoft]) -> Shadow:
    """The propagation of torch.broadcast_tensors(x, y, ...)."""
    tensors: Any = operands[0] if isinstance(operands[0], tuple | list) else operands
    shape = tuple(context.hard[0].shape)

    def wide(operand: TensorOrSoft) -> Shadow:
        if isinstance(operand, Soft):
            return operand.moved(context.call, Tensor.expand, shape)
        return context.call(Tensor.expand, operand, shape)

    return [wide(operand) for operand in tensors]


def _vstack(context: RuleContext, tensors: Sequence[TensorOrSoft]) -> Shadow:
    if any(len(shape_of(tensor)) < 2 for tensor in tensors):
        return _join(context, tensors, 0, torch.stack)
    return _join(context, tensors, 0, torch.cat)


def _join(context: RuleContext, operands: Sequence[Operand], dim: int, func: Function) -> Shadow:
    like = softs_in(operands)[0].tensor
    if not is_discrete(context.hard) and not _are_indices(context, operands):
        numbers = [as_number(context, operand, context.hard) for operand in operands]
        return counted(context, context.call(func, numbers, dim), *operands)
    if context.hard.dtype is torch.bool:
        probabilities = [as_probability(context, operand, like) for operand in operands]
        return context.soft_bool(context.call(func, probabilities, dim))
    kind = joined_kind(operands)
    if kind is not SoftIndex:
        joined = context.call(func, [as_number(context, operand, like) for operand in operands], dim)
        return context.soft_bool(joined) if kind is SoftBool else context.soft_count(joined)
    weights, supports = as_indices(context, operands)
    axis = dim if dim >= 0 else dim - 1
    support = None if supports is None else context.call(func, supports, axis)
    return context.soft_index(context.call(func, weights, axis), support)


def _are_indices(context: RuleContext, operands: Sequence[Operand]) -> bool:
    """Return True for real numbers that stand for integers, whose distributions are worth more than their numbers."""
    return joined_kind(operands) is SoftIndex and all(context.is_integral(operand) for operand in operands)


def _without_empty(context: RuleContext, operands: Sequence[Operand]) -> list[Operand]:
    """The operands without the empty 1-d tensors that torch.cat lets stand among larger ones."""
    return [o for o in operands if context.hard.dim() == 1 or not isinstance(o, Tensor) or o.shape != (0,)]


# -- records -----------------------------------------------------------------------------------------------------------


def _rule(code: str, operation: Operation, propagate: RuleFunction, moves: bool = True) -> Rule:
    """The record of an operation that moves elements. moves: and does nothing else; in place it writes none."""
    return Rule(
        code,
        operation,
        "selection",
        "Moves data; a soft value moves with it.",
        "It follows what reaches it.",
        "",
        soft=f"torch.{operation.name}",
        propagate=propagate,
        options=(),
        moves=moves,
    )


RULES = (
    _rule("SX701", ops.reshape, _move),
    _rule("SX702", ops.view, _view),
    _rule("SX703", ops.flatten, _move),
    _rule("SX704", ops.unflatten, _move),
    _rule("SX705", ops.squeeze, _move),
    _rule("SX706", ops.unsqueeze, _move),
    _rule("SX707", ops.permute, _move),
    _rule("SX708", ops.transpose, _move),
    _rule("SX709", ops.t, _move),
    _rule("SX710", ops.T, _attribute(ops.T)),
    _rule("SX711", ops.mT, _attribute(ops.mT)),
    _rule("SX712", ops.movedim, _move),
    _rule("SX713", ops.expand, _move),
    _rule("SX714", ops.broadcast_to, _move),
    _rule("SX715", ops.repeat, _move),
    _rule("SX716", ops.tile, _move),
    _rule("SX717", ops.narrow, _move),
    _rule("SX718", ops.select, _move),
    _rule("SX719", ops.split, _move),
    _rule("SX720", ops.chunk, _move),
    _rule("SX721", ops.unbind, _move),
    _rule("SX722", ops.flip, _move),
    _rule("SX723", ops.roll, _move),
    _rule("SX724", ops.ravel, _move),
    _rule("SX725", ops.diagonal, _move),
    _rule("SX726", ops.repeat_interleave, _move),
    _rule("SX727", ops.tensor_split, _move),
    _rule("SX728", ops.unfold, _move),
    _rule("SX729", ops.adjoint, _move),
    _rule("SX730", ops.fliplr, _move),
    _rule("SX731", ops.flipud, _move),
    _rule("SX732", ops.rot90, _move),
    _rule("SX733", ops.atleast_1d, _move),
    _rule("SX734", ops.atleast_2d, _move),
    _rule("SX735", ops.atleast_3d, _move),
    _rule("SX736", ops.hsplit, _move),
    _rule("SX737", ops.vsplit, _move),
    _rule("SX738", ops.H, _attribute(ops.H)),
    _rule("SX739", ops.mH, _attribute(ops.mH)),
    _rule("SX740", ops.unsafe_chunk, _move),
    _rule("SX741", ops.unsafe_split, _move),
    _rule("SX742", ops.split_with_sizes, _move),
    _rule("SX761", ops.clone, _copied),
    _rule("SX762", ops.contiguous, _copied),
    _rule("SX763", ops.detach, _detached),
    _rule("SX764", ops.data, _detached),
    _rule("SX765", ops.cpu, _same),
    _rule("SX766", ops.cuda, _same),
    _rule("SX767", ops.requires_grad_, _unchanged),
    _rule("SX768", ops.pin_memory, _same),
    _rule("SX769", ops.alias, _same),
    _rule("SX770", ops.resolve_neg, _same),
    _rule("SX771", ops.resolve_conj, _same),
    _rule("SX772", ops.positive, _same),
    _rule("SX781", ops.view_as, _like(torch.reshape)),
    _rule("SX782", ops.reshape_as, _like(torch.reshape)),
    _rule("SX783", ops.expand_as, _like(torch.Tensor.expand)),
    _rule("SX784", ops.broadcast_tensors, _broadcast),
    _rule("SX790", ops.pad, _pad),
    _rule("SX791", ops.cat, _cat),
    _rule("SX792", ops.stack, _stack),
    _rule("SX793", ops.hstack, _hstack),
    _rule("SX794", ops.vstack, _vstack),
    _rule("SX795", ops.tril, _triangle, moves=False),
    _rule("SX796", ops.triu, _triangle, moves=False),
)
