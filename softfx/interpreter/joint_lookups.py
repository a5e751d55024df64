"""Two look-ups by one index that are multiplied and summed over its places: x[:, chosen] @ weights[chosen].

Each number that was chosen meets its own weight, so the mean is that of the products, sum(p * x * weights), and not the
product of two means, in which each meets the weights of all others. Where such a product runs once more on real shadows
(scope = "linear", "model"), it is made of the wholes, each place as likely as it is chosen: of the sources, and of what
calls have made of them place by place, torch.tanh(x[:, chosen]) @ weights[chosen]. A product element by element is one
of the calls of chosen_places. To follow another contraction, name the axes that it sums over in `_axes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx import ops
from softfx.interpreter import by_place
from softfx.interpreter.binding import real_operand
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext
from softfx.interpreter.records import ByPlace
from softfx.interpreter.state import RunState
from softfx.ops.spelling import arguments
from softfx.runtime import places
from softfx.values import SoftIndex

__all__ = ["meet", "shadow_of"]

# The axis of the channels, from the end, of what is convolved and of the filters.
_CHANNELS = {ops.conv1d: -2, ops.conv2d: -3, ops.conv3d: -4}
_GROUPS = 6  # the place of this argument of a convolution


class _Pair(NamedTuple):
    """A product that sums over chosen places. first, second: its operands. axis: where the places of the first lie."""

    soft: SoftIndex
    first: Tensor
    second: Tensor
    axis: int


def meet(state: RunState, call: Call) -> bool:
    """Return True for a product of two look-ups by one index."""
    return _pair(state, call) is not None


def shadow_of(state: RunState, context: CallContext, call: Call) -> Tensor | None:
    """A product of two look-ups by one index, on real shadows; None for any other call."""
    if (pair := _pair(state, call)) is None:
        return None
    first, second = (context.call(places.finite, by_place.whole_of(state, context, each)) for each in pair[1:3])
    (*operands,), kwargs = arguments(call.spelled, call.args, call.kwargs)
    taken = context.call(torch.sum, pair.soft.weights, 0)
    if (after := -1 - pair.axis) > 0:
        taken = context.call(torch.reshape, taken, (pair.soft.size, *(1,) * after))
    rest = [real_operand(context, value) if isinstance(value, Tensor) else value for value in operands[2:]]
    named = {key: real_operand(context, value) if isinstance(value, Tensor) else value for key, value in kwargs.items()}
    result: Tensor = context.call(
        call.operation.function, context.call(torch.mul, first, taken), second, *rest, **named
    )
    return result


def _pair(state: RunState, call: Call) -> _Pair | None:
    """The two look-ups by one index that a call multiplies; None for any other call."""
    if call.spelled.in_place or not (state.lookups.entries or state.by_place.entries):
        return None
    (*operands,), kwargs = arguments(call.spelled, call.args, call.kwargs)
    axes = _axes(call, operands, kwargs)
    if axes is None or len(operands) < 2:
        return None
    first, second = (_chosen(state, *each) for each in zip(operands[:2], axes, strict=True))
    if first is None or second is None or first.places is not second.places:
        return None
    soft = state.environment.facts(first.places).soft
    if not isinstance(soft, SoftIndex) or by_place.is_too_large(state, call, first):
        return None
    return _Pair(soft, operands[0], operands[1], first.axis)


def _axes(call: Call, operands: list[Any], kwargs: Mapping[str, Any]) -> tuple[int, int] | None:
    """The axes of both operands that a call sums over, from the end; a vector's only axis stands for either."""
    if call.operation is ops.linear:
        return -1, -1
    if call.operation is ops.matmul:
        return -1, -2
    channels = _CHANNELS.get(call.operation)
    groups = kwargs.get("groups", operands[_GROUPS] if len(operands) > _GROUPS else 1)
    return None if channels is None or groups != 1 else (channels, channels)


def _chosen(state: RunState, tensor: object, axis: int) -> ByPlace | None:
    """What an operand is of a choice whose places lie along this axis."""
    found = by_place.known(state, tensor) if isinstance(tensor, Tensor) else None
    if found is None or found.in_rows or not isinstance(tensor, Tensor):
        return None
    return found if found.axis == (-1 if tensor.dim() == 1 else axis) else None
