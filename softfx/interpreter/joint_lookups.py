"""Two look-ups by one index that are multiplied and summed over its places: x[:, chosen] @ weights[chosen].

Each number that was chosen meets its own weight, so the mean is that of the products, sum(p * x * weights), and not the
product of two means, in which each meets the weights of all others. Where such a product runs once more on real shadows
(scope = "linear", "model"), it is made of the whole sources, each place as likely as it is chosen. A product element
by element is one of the calls of chosen_places. To follow another contraction, name the axes that it sums over in
CONTRACTED.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from softfx import ops
from softfx.interpreter.binding import real_operand
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext
from softfx.interpreter.records import Lookup
from softfx.interpreter.state import RunState
from softfx.ops.operation import Operation
from softfx.ops.spelling import arguments
from softfx.values import SoftIndex

__all__ = ["CONTRACTED", "looked_up", "meet", "shadow_of"]

CONTRACTED: Mapping[Operation, tuple[int, int]] = {ops.linear: (-1, -1), ops.matmul: (-1, -2)}
"""The axes of both operands that are summed over; a vector's only axis stands for either."""


class Chosen(NamedTuple):
    """What was looked up along one axis: the source, the axis from its end, and the places."""

    source: Tensor
    axis: int
    places: Tensor


def meet(state: RunState, call: Call) -> bool:
    """Return True for a product of two look-ups by one index."""
    return _pair(state, call) is not None


def shadow_of(state: RunState, context: CallContext, call: Call) -> Tensor | None:
    """A product of two look-ups by one index, on real shadows; None for any other call."""
    if (pair := _pair(state, call)) is None:
        return None
    soft, one, other = pair
    first, second = real_operand(context, one.source), real_operand(context, other.source)
    (*operands,), kwargs = arguments(call.spelled, call.args, call.kwargs)
    taken = context.call(torch.sum, soft.weights, 0)
    if (after := -1 - one.axis) > 0:
        taken = context.call(torch.reshape, taken, (soft.size, *(1,) * after))
    rest = [real_operand(context, value) if isinstance(value, Tensor) else value for value in operands[2:]]
    named = {key: real_operand(context, value) if isinstance(value, Tensor) else value for key, value in kwargs.items()}
    result: Tensor = context.call(
        call.operation.function, context.call(torch.mul, first, taken), second, *rest, **named
    )
    return result


def _pair(state: RunState, call: Call) -> tuple[SoftIndex, Chosen, Chosen] | None:
    """The index and the two look-ups by it that a call multiplies; None for any other call."""
    axes = CONTRACTED.get(call.operation)
    if axes is None or not state.lookups.entries or call.spelled.in_place:
        return None
    (*operands,), _ = arguments(call.spelled, call.args, call.kwargs)
    first, second = (*(_chosen(state, *each) for each in zip(operands, axes, strict=False)), None, None)[:2]
    if first is None or second is None or first.places is not second.places:
        return None
    soft = state.environment.facts(first.places).soft
    if not isinstance(soft, SoftIndex) or soft.support is not None or len(soft.shape) != 1:
        return None
    if any(chosen.source.shape[chosen.axis] != soft.size for chosen in (first, second)):
        return None
    return soft, first, second


def looked_up(state: RunState, tensor: object) -> Chosen | None:
    """What a tensor was looked up as, by one index along one axis; None for any other tensor."""
    lookup = state.lookups.get(tensor) if isinstance(tensor, Tensor) else None
    if lookup is None or lookup.addend is not None or lookup.writes != state.writes.count:
        return None
    return _along_one_axis(lookup)


def _chosen(state: RunState, tensor: object, axis: int) -> Chosen | None:
    """What was looked up as an operand along this axis."""
    found = looked_up(state, tensor)
    return found if found is not None and found.axis == (-1 if found.source.dim() == 1 else axis) else None


def _along_one_axis(lookup: Lookup) -> Chosen | None:
    """A look-up by one index with one axis, and all of the other axes."""
    place = next(place for place, part in enumerate(lookup.key) if isinstance(part, Tensor))
    index, before, after = lookup.key[place], lookup.key[:place], lookup.key[place + 1 :]
    others = [part for part in (*before, *after) if part is not Ellipsis]
    if any(not isinstance(part, slice) or part != slice(None) for part in others) or not isinstance(index, Tensor):
        return None
    axis = -1 - len(after) if Ellipsis in before else place - lookup.source.dim()
    return Chosen(lookup.source, axis, index) if Ellipsis not in after else None
