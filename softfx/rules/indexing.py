"""x[key] and x[key] = value, where the key, the data or the value is soft.

A soft index in a key becomes a weighted sum over the axis that it indexes, a soft mask a soft where, and a hard key
moves soft data as it moves hard data. A form of key that has no rule is refused where it is met; to add one, handle it
there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.ops.operation import Operation
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.readings import (
    as_indices,
    as_number,
    as_probability,
    as_real,
    counted,
    joined_kind,
    shape_of,
    softs_in,
)
from softfx.rules.refusals import CannotSoften, is_discrete
from softfx.rules.rule import Rule
from softfx.rules.selection import MOST_POINTS, excluded, excludes, look_up, may_be_infinite, positions, spans
from softfx.rules.writing import put
from softfx.runtime import distributions, infinities, keys, places
from softfx.values import Soft, SoftBool, SoftChoice, SoftIndex

__all__ = ["RULES"]


# -- x[key] ------------------------------------------------------------------------------------------------------------


def _getitem(context: RuleContext, input: TensorOrSoft, key: object) -> Shadow:
    parts = list(key) if isinstance(key, tuple) else [key]
    _refuse_soft_bounds(parts)
    soft_parts = [i for i, part in enumerate(parts) if isinstance(part, Soft)]
    if not soft_parts:
        assert isinstance(input, Soft)  # one of the two is
        return input.moved(context.call, _reading(key), key)
    if any(isinstance(parts[i], SoftBool) for i in soft_parts):
        raise CannotSoften("x[mask] has a shape that depends on data; use torch.where or a masked reduction")
    input, parts = _merged(context, input, parts)
    at = next(i for i, part in enumerate(parts) if isinstance(part, Soft))
    index = parts[at]
    if len(parts) == 1 and isinstance(input, Tensor) and spans(index, input, input.shape[0]):
        if may_be_infinite(context, input):
            return context.call(infinities.rows_of, index.weights, input, context.hard)
        return context.call(places.rows_of, index.weights, input)
    place = _place(context, parts, at, shape_of(input))
    return look_up(context, _reading(place.key), (input, place.key), place.index, place.block, place.size)


def _reading(key: object) -> Callable[..., Tensor]:
    """What reads a hard key of a shadow."""
    return keys.read if keys.has_numbers(key) else torch.Tensor.__getitem__


@dataclass(frozen=True)
class _Place:
    """The place of one soft index in a key.

    key: the key, with "index" in that place.
    index: the soft index, as large as the hard ones beside it.
    block: the axis of x[key] at which its own axes begin.
    size: the length of the axis that it indexes.
    """

    key: tuple[object, ...]
    index: Soft
    block: int
    size: int


def _place(context: RuleContext, parts: Sequence[Any], at: int, shape: Sequence[int]) -> _Place:
    if any(isinstance(part, Tensor) and part.dtype is torch.bool for part in parts):
        raise CannotSoften("a mask stands beside a soft index in a key")
    others = [torch.as_tensor(p).shape for i, p in enumerate(parts) if i != at and _is_advanced(p)]
    index = _as_large(context, parts[at], torch.broadcast_shapes(*others)) if others else parts[at]  # type: ignore[no-untyped-call]
    key = tuple("index" if i == at else part for i, part in enumerate(parts))
    ndim = len(shape)
    return _Place(key, index, _block(parts, ndim), shape[_axis(parts, at, ndim)])


def _as_large(context: RuleContext, index: Soft, others: torch.Size) -> Soft:
    """A soft index, broadcast with the hard ones beside it."""
    own = shape_of(index)
    shape = torch.broadcast_shapes(own, others)  # type: ignore[no-untyped-call]
    if shape == own:
        return index
    if isinstance(index, SoftChoice):
        wide = index.moved(context.call, torch.Tensor.expand, shape)
        assert isinstance(wide, Soft)  # one tensor comes of one
        return wide
    if not isinstance(index, SoftIndex):
        expanded: Soft = context.like(index, context.call(torch.Tensor.expand, index.tensor, shape))
        return expanded
    weights = context.call(torch.Tensor.expand, index.weights, (*shape, index.size))
    return context.soft_index(weights, index.support)


def _merged(context: RuleContext, input: TensorOrSoft, parts: list[Any]) -> tuple[TensorOrSoft, list[Any]]:
    """Soft indices on neighbouring axes as one index on the axis that these make when flattened."""
    soft = [i for i, part in enumerate(parts) if isinstance(part, Soft)]
    if len(soft) < 2:
        return input, parts
    first, second = soft[0], soft[1]
    if second != first + 1 or isinstance(input, Soft):
        raise CannotSoften("soft keys index several axes at once")
    axis = _axis(parts, first, input.dim())
    rows, columns = input.shape[axis : axis + 2]
    p, p_places = positions(context, parts[first], rows)
    q, q_places = positions(context, parts[second], columns)
    if p.shape[-1] * q.shape[-1] > MOST_POINTS:
        raise CannotSoften(f"a pair of indices over more than {MOST_POINTS} points")
    scaled = context.call(torch.mul, p_places, columns)
    weights = context.call(distributions.joint, p, q)
    places = context.call(distributions.joint_points, torch.add, p, scaled, q, q_places)
    flat = context.call(torch.flatten, input, axis, axis + 1)
    return _merged(context, flat, [*parts[:first], context.soft_index(weights, places), *parts[second + 1 :]])


# -- keys --------------------------------------------------------------------------------------------------------------


def _refuse_soft_bounds(parts: Sequence[object]) -> None:
    """Refuse soft bounds of a slice: how many elements it has would depend on data."""
    if any(softs_in((part.start, part.stop, part.step)) for part in parts if isinstance(part, slice)):
        raise CannotSoften("a soft value bounds a slice, whose shape then depends on data; compare an arange with it")


def _block(parts: Sequence[object], ndim: int) -> int:
    """The axis of x[parts] where the axes of the indices in the key begin (NumPy's rule for advanced keys)."""
    advanced = [i for i, part in enumerate(parts) if _is_advanced(part) or isinstance(part, Soft)]
    if advanced[-1] - advanced[0] + 1 != len(advanced):
        return 0
    block = 0
    for part in parts[: advanced[0]]:
        block += ndim - _consumed(parts) if part is Ellipsis else 1
    return block


def _is_advanced(part: object) -> bool:
    return isinstance(part, Tensor | list | int) and not isinstance(part, bool)


def _axis(parts: Sequence[object], at: int, ndim: int) -> int:
    """The axis of x that parts[at] indexes."""
    before = parts[:at]
    rest = ndim - _consumed(parts) if any(part is Ellipsis for part in before) else 0
    return _consumed(before) + rest


def _consumed(parts: Sequence[object]) -> int:
    """The number of axes of x that a key takes up."""
    masks = [part.dim() for part in parts if isinstance(part, Tensor) and part.dtype is torch.bool]
    return sum(masks) + sum(1 for part in parts if _takes_one(part))


def _takes_one(part: object) -> bool:
    if isinstance(part, Tensor):
        return part.dtype is not torch.bool
    return part is not None and part is not Ellipsis and not isinstance(part, bool)


# -- x[key] = value ----------------------------------------------------------------------------------------------------


def _setitem(context: RuleContext, input: TensorOrSoft, key: object, value: Operand) -> Shadow:
    if isinstance(key, SoftBool):
        return _masked_write(context, input, key, value)
    return _index_put(context, input, key if isinstance(key, tuple) else (key,), value)


def _index_put(
    context: RuleContext, input: TensorOrSoft, key: Sequence[Any], value: Operand, accumulate: bool = False
) -> Shadow:
    parts = list(key)
    _refuse_soft_bounds(parts)
    soft = [i for i, part in enumerate(parts) if isinstance(part, Soft)]
    if not soft:
        return _written(context, input, tuple(parts), value, accumulate)
    if any(isinstance(parts[i], SoftBool) for i in soft):
        if len(parts) == 1 and not accumulate:
            return _masked_write(context, input, parts[0], value)
        return _written_in_part(context, input, parts, value, accumulate)
    shape = shape_of(input)
    if len(soft) > 1:
        return _put_at_pairs(context, input, parts, soft, value, accumulate)
    place = _place(context, parts, soft[0], shape)
    return put(context, input, place.key, place.index, place.size, value, place.block, accumulate)


def _put_at_pairs(
    context: RuleContext, input: TensorOrSoft, parts: list[Any], soft: list[int], value: Operand, accumulate: bool
) -> Shadow:
    """Soft indices on neighbouring axes: the write is made on the axis that these make when flattened."""
    base = as_number(context, input, parts[soft[0]].tensor)
    axis = _axis(parts, soft[0], base.dim())
    flat, merged = _merged(context, base, parts)
    place = _place(context, merged, soft[0], flat.shape)
    weights, places = positions(context, place.index, place.size)
    values = as_number(context, value, weights)
    result = context.call(distributions.put, flat, place.key, weights, places, values, place.block, accumulate)
    shape = base.shape[axis : axis + len(soft)]
    return _in_form(context, context.call(torch.unflatten, result, axis, shape), input, value)


def _written_in_part(
    context: RuleContext, input: TensorOrSoft, parts: list[Any], value: Operand, accumulate: bool
) -> Shadow:
    """x[mask, 0] = v: the masked write to x[:, 0], in its place."""
    mask, rest = parts[0], parts[1:]
    basic = all(isinstance(part, int | slice) and not isinstance(part, bool) for part in rest)
    hard = isinstance(input, Tensor) and not isinstance(value, Soft)
    if accumulate or not basic or not hard or not isinstance(mask, Soft):
        raise CannotSoften("a soft mask stands in a key beside other indices")
    key = (*(slice(None),) * mask.tensor.dim(), *rest)
    part = _masked_write(context, context.call(Tensor.__getitem__, input, key), mask, value)
    if isinstance(part, Soft):
        base = context.call(Tensor.to, input, part.tensor.dtype)
        return context.like(part, context.call(keys.write, base, key, part.tensor))
    return context.call(keys.write, input, key, part)


def _masked_write(context: RuleContext, input: TensorOrSoft, mask: Soft, value: Operand) -> Shadow:
    """x[mask] = v: where(mask, v, x), the mask over x's leading axes."""
    if isinstance(value, Tensor) and value.dim() > 0 and value.numel() != 1:
        raise CannotSoften("x[mask] = values takes as many values as the mask has hits, which depends on data")
    real = as_real(context, input)
    weight = mask.tensor
    extra = real.dim() - weight.dim()
    if extra:
        weight = context.call(torch.reshape, weight, (*weight.shape, *(1,) * extra))
    fill = context.fill(value) if isinstance(value, Tensor) else value
    if isinstance(fill, int | float) and excludes(fill) and not is_discrete(context.hard):
        return excluded(context, fill, real, weight, False)
    like = real if not is_discrete(real) else weight
    filled = as_probability(context, value, like) if is_discrete(value) else as_real(context, value)
    if not isinstance(filled, Tensor):
        filled = context.call(torch.full, (), filled, dtype=like.dtype, device=like.device)
    base = real if not is_discrete(real) else context.call(torch.Tensor.to, real, like.dtype)
    result = context.call(distributions.blend, weight, filled, base)
    return _in_form(context, result, input, value)


def _written(
    context: RuleContext, input: TensorOrSoft, key: tuple[object, ...], value: Operand, accumulate: bool
) -> Shadow:
    """The write at a hard key, made on a copy of the shadow."""
    softs = softs_in((input, value))
    if not softs:
        raise CannotSoften("nothing soft is written")
    indices = joined_kind([input, value]) is SoftIndex and is_discrete(context.hard)
    if indices and context.hard.dtype is not torch.bool and not accumulate:
        (base, new), supports = as_indices(context, [input, value])
        key = key if any(part is Ellipsis for part in key) else (*key, Ellipsis)
        written = context.call(keys.write, base, (*key, slice(None)), new)
        if supports is None:
            return context.soft_index(written)
        return context.soft_index(written, context.call(keys.write, supports[0], (*key, slice(None)), supports[1]))
    data, values = as_number(context, input, softs[0].tensor), as_number(context, value, softs[0].tensor)
    return _in_form(context, context.call(keys.write, data, key, values, accumulate), input, value)


def _in_form(context: RuleContext, result: Tensor, *operands: Operand) -> Shadow:
    """The result of a write, as the kind of value that it stands for."""
    if not is_discrete(context.hard):
        return counted(context, result, *operands)
    return context.soft_bool(result) if context.hard.dtype is torch.bool else context.soft_count(result)


# -- records -----------------------------------------------------------------------------------------------------------


def _rule(code: str, operation: Operation, propagate: RuleFunction, soft: str, *, moves: bool = False) -> Rule:
    """The record of an operation that indexes by a key."""
    return Rule(
        code,
        operation,
        "selection",
        "Indexing follows what reaches it: by a soft index it becomes a weighted sum, by a soft mask a soft where.",
        "It follows what reaches it.",
        "",
        soft=soft,
        propagate=propagate,
        options=(),
        moves=moves,
    )


RULES = (
    _rule("SX510", ops.index_put, _index_put, "softtorch.scatter"),
    _rule("SX511", ops.getitem, _getitem, "softtorch.take_along_dim", moves=True),
    _rule("SX512", ops.setitem, _setitem, "softtorch.where"),
)
