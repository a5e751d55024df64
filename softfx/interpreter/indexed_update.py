"""y[i] += v by a soft index adds v to the places; it does not mix the places with what was read from them.

Python makes three calls of it: r = y[i], r + v, y[i] = r. As three, each place would become (1 - p) y + p (p . y + v);
what a program means is y + p v, whose sum grows by v. So a look-up and one addition to it are remembered until the sum
is written back where it came from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from softfx import ops
from softfx.interpreter.call import Call
from softfx.interpreter.records import Lookup
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.spelling import arguments
from softfx.ops.trees import in_own_containers
from softfx.torch_private import base_of
from softfx.values import SoftBool, SoftIndex, ValueFacts

__all__ = ["addend", "note_result", "parts_of", "pending_sum", "same_parts"]

_NOTED = (ops.getitem, ops.index_select, ops.add)


def pending_sum(state: RunState, call: Call) -> Lookup | None:
    """The look-up plus something that a call about to be made will give, if it adds to what was looked up."""
    if call.written is not None:
        state.writes.made(call.written)
    return _sum(state, call) if call.operation is ops.add and state.lookups.entries else None


def note_result(state: RunState, call: Call, result: Result, pending: Lookup | None) -> None:
    """Remember a result that is a look-up by a soft index, or one plus something."""
    if not isinstance(result, Tensor) or call.operation not in _NOTED:
        return
    lookup = pending if call.operation is ops.add else _looked_up(state, call, result)
    for tensor in (result, call.written):
        if tensor is not None and lookup is not None:
            state.lookups.set(tensor, lookup)


def addend(state: RunState, call: Call) -> tuple[tuple[object, ...], Any] | None:
    """The key and what is added there, if this call writes back what it read with an addition."""
    if call.operation is not ops.setitem or len(call.args) != 3 or not isinstance(call.args[2], Tensor):
        return None
    target, key, value = call.args
    lookup = state.lookups.get(value)
    if (
        lookup is None
        or lookup.addend is None
        or lookup.source is not target
        or lookup.writes + 1 != state.writes.count
    ):
        return None
    return (lookup.key, lookup.addend) if same_parts(parts_of(key), lookup.key) else None


def _looked_up(state: RunState, call: Call, result: Tensor) -> Lookup | None:
    if (read := _read(call)) is None:
        return None
    source, parts = read
    tensors = [part for part in parts if isinstance(part, Tensor)]
    facts = [state.environment.facts(part) for part in tensors]
    softs = [item.soft for item in facts if item.soft is not None]
    if not isinstance(source, Tensor) or not softs or any(isinstance(soft, SoftBool) for soft in softs):
        return None
    if not result.is_floating_point():
        return None
    # A place that is named twice is written once. A view of the source is written with it.
    once = all(map(_names_each_place_once, tensors, facts)) and base_of(result) is None
    return Lookup(source, state.writes.count, in_own_containers(parts), once)


def _read(call: Call) -> tuple[object, tuple[object, ...]] | None:
    """What is looked up, and the parts of the key: of x[key], and of index_select along one axis."""
    if call.operation is ops.getitem:
        source, key = call.args
        return source, parts_of(key)
    (source, *rest), kwargs = arguments(call.spelled, call.args, call.kwargs)
    dim, index = (*rest, *kwargs.values()) if len(rest) + len(kwargs) == 2 else (None, None)
    if not isinstance(source, Tensor) or not isinstance(dim, int) or not source.dim():
        return None
    return source, (*(slice(None),) * (dim % source.dim()), index)


def _sum(state: RunState, call: Call) -> Lookup | None:
    """r + v or v + r of what was looked up, if nothing else was written since."""
    if len(call.args) != 2 or call.kwargs:
        return None
    lookups = [state.lookups.get(arg) if isinstance(arg, Tensor) else None for arg in call.args]
    for lookup, other, other_lookup in zip(lookups, reversed(call.args), reversed(lookups), strict=True):
        if lookup is not None and lookup.once and lookup.addend is None and other_lookup is None:
            own = call.written is not None
            unchanged = lookup.writes + own == state.writes.count
            return replace(lookup, writes=state.writes.count, addend=other) if unchanged else None
    return None


def _names_each_place_once(index: Tensor, facts: ValueFacts) -> bool:
    return index.numel() == 1 or (isinstance(facts.soft, SoftIndex) and facts.soft.distinct is not None)


def parts_of(key: Any) -> tuple[object, ...]:
    """The parts of a key."""
    return key if isinstance(key, tuple) else (key,)


def same_parts(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    """Return True if two keys are one: by the same tensors and equal numbers."""
    return len(left) == len(right) and all(
        a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and bool(a == b))
        for a, b in zip(left, right, strict=True)
    )
