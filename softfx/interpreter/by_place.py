"""What a choice has looked up in rows, and what calls have made of that, each place by itself.

f(x[chosen]) is f(x)[chosen] for what treats places by themselves, so the whole that such a number was chosen from is
known: the source of a look-up, or what the calls make of it. Which calls these are is in chosen_places; products that
meet by places are in joint_lookups.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from softfx.interpreter.binding import real_operand
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext
from softfx.interpreter.records import ByPlace, Lookup
from softfx.interpreter.state import RunState
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.trees import map_tensors
from softfx.values import SoftIndex, SoftReal

__all__ = ["index_of", "is_too_large", "known", "on_whole", "whole_of"]

# As many numbers as are made of one decision element by element (softfx.interpreter.pointwise).
_MOST_NUMBERS = 1 << 24


def known(state: RunState, tensor: Tensor) -> ByPlace | None:
    """What a tensor is of a choice, place by place."""
    found = state.by_place.get(tensor)
    if found is None and (chosen := _looked_up(state, tensor)) is not None:
        fits = chosen.places.dim() == 1 and index_of(state, chosen.places, chosen.source.shape[chosen.axis]) is not None
        found = ByPlace(chosen.places, chosen.axis, state.writes.count, chosen.source) if fits else None
    return found if found is not None and found.writes == state.writes.count else None


def index_of(state: RunState, index: Tensor, size: int) -> SoftIndex | None:
    """The shadow of an index that ranges over so many places."""
    soft = state.environment.facts(index).soft
    return soft if isinstance(soft, SoftIndex) and soft.support is None and soft.size == size else None


def is_too_large(state: RunState, call: Call, found: ByPlace) -> bool:
    """Return True if a call on the whole would take too much memory."""
    index = state.environment.facts(found.places).soft
    chosen = next(tensor.shape[own.axis] for tensor in call.tensors if (own := known(state, tensor)) is not None)
    most = max(math.prod(tensor.shape) for tensor in call.tensors)
    return not isinstance(index, SoftIndex) or most * index.size > _MOST_NUMBERS * max(chosen, 1)


def on_whole(state: RunState, context: CallContext, func: Function | None, args: Args, kwargs: Kwargs) -> Tensor:
    """What a call makes of all places."""
    wide, named = map_tensors(partial(whole_of, state, context), (args, kwargs))
    assert func is not None
    result: Tensor = context.call(func, *wide, **named)
    return result


def whole_of(state: RunState, context: CallContext, tensor: Tensor) -> Any:
    """A tensor with all places in the place of the chosen ones; any other as it is."""
    found = known(state, tensor) if isinstance(state.environment.facts(tensor).soft, SoftReal) else None
    if found is None:
        return real_operand(context, tensor)
    if found.source is not None:
        return real_operand(context, found.source)
    return on_whole(state, context, found.func, found.args, found.kwargs)


class Chosen(NamedTuple):
    """What was looked up along one axis: the source, the axis from its end, and the places."""

    source: Tensor
    axis: int
    places: Tensor


def _looked_up(state: RunState, tensor: object) -> Chosen | None:
    """What a tensor was looked up as, by one index along one axis; None for any other tensor."""
    lookup = state.lookups.get(tensor) if isinstance(tensor, Tensor) else None
    if lookup is None or lookup.addend is not None or lookup.writes != state.writes.count:
        return None
    return _along_one_axis(lookup)


def _along_one_axis(lookup: Lookup) -> Chosen | None:
    """A look-up by one index with one axis, and all of the other axes."""
    place = next(place for place, part in enumerate(lookup.key) if isinstance(part, Tensor))
    index, before, after = lookup.key[place], lookup.key[:place], lookup.key[place + 1 :]
    others = [part for part in (*before, *after) if part is not Ellipsis]
    if any(not isinstance(part, slice) or part != slice(None) for part in others) or not isinstance(index, Tensor):
        return None
    axis = -1 - len(after) if Ellipsis in before else place - lookup.source.dim()
    return Chosen(lookup.source, axis, index) if Ellipsis not in after else None
