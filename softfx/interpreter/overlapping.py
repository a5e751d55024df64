"""Operands that lie in the memory which a call writes, and tensors whose own elements share memory.

torch reads and writes element by element, so that what `rows -= rows[0]` reads of the first row is what it has written
there already. Softly such a call reads copies, and what the program's call makes of that memory is made beside it.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

import softtorch
from softfx import ops, torch_private
from softfx.interpreter.call import Call, on_operands
from softfx.interpreter.hard_values import hard_value
from softfx.interpreter.native import cut_beneath, outgrows_base, overlaps_itself
from softfx.interpreter.parts import part_of
from softfx.interpreter.state import RunState
from softfx.ops.calls import Args
from softfx.ops.operation import Effect, Reads
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules.refusals import is_discrete
from softfx.runtime import storage
from softfx.torch_private import version_of

__all__ = ["beside_memory", "into_part", "settle_memory"]


def into_part(state: RunState, call: Call) -> Call:
    """An assignment to a part of an expanded tensor, made to the part by itself: that one's elements lie apart."""
    if call.operation is not ops.setitem or len(call.args) != 3 or not overlaps_itself(call.args[0]):
        return call
    target, key, value = call.args
    if tensors_in(key) or not _carries(state, call):
        return call
    lying = target.detach()[key]
    if overlaps_itself(lying) or torch_private.storage_key(lying) != torch_private.storage_key(target):
        return call
    part = part_of(state, call, target, key)
    torch_private.lay_on(part, lying)  # a part that a graph is written with lies nowhere by itself
    return replace(on_operands(call, state.environment, (part, ..., value), {}), altered=True)


def _carries(state: RunState, call: Call) -> bool:
    """Return True if operands may have a derivative that softening has given them."""
    return state.sites.lifts_any or any(facts.soft is not None or facts.gradient_sites for facts in call.facts)


def beside_memory(state: RunState, call: Call) -> tuple[Call, Tensor | None]:
    """The call on copies of the operands that lie in memory which it writes, and what it makes of this memory.

    The latter is None where each element is read before it is written.
    """
    out = tensors_in(call.kwargs.get("out")) if call.kwargs else []
    if (call.written is None and not out) or not call.depends_on_source:
        return call, None
    if call.written is not None and overlaps_itself(call.written) and not _carries(state, call):
        return call, None  # the program's own call, which is not made to a part
    operation = call.operation
    draws = bool(operation.effect & (Effect.DRAWS | Effect.MAY_DRAW))  # made once more it would draw other numbers
    if operation.stops_gradient or operation.reads is Reads.NONE or (draws and not out):
        return call, None
    first = 0 if out else 1
    operands = tensors_in((call.args[first:], {**call.kwargs, "out": None}))
    if not operands or (operation is ops.setitem and tensors_in(call.args[1])):
        return call, None
    meeting = [tensor for tensor in operands if any(_meet(target, tensor) for target in out or call.args[:1])]
    apart = [tensor for tensor in meeting if storage.geometry_of(tensor) != _place(call)]
    if not (meeting if out else apart):
        return call, None
    made = _made_in_memory(state, call, meeting) if call.written is not None and apart and not draws else None
    return _copied(state, call, call.args[:first], meeting if out else apart), made


def _meet(target: object, operand: Tensor) -> bool:
    """Return True if two tensors lie in the same memory."""
    key = torch_private.storage_key(operand)
    if key is None or not isinstance(target, Tensor) or torch_private.storage_key(target) != key:
        return False
    return storage.meet(storage.geometry_of(target), storage.geometry_of(operand))


def _place(call: Call) -> storage.Geometry | None:
    """The places that a call with one target writes."""
    if call.operation is ops.setitem:
        target, key, _ = call.args
        return storage.geometry_of(target.detach()[key])
    return None if call.written is None else storage.geometry_of(call.written)


def settle_memory(state: RunState, call: Call, made: Tensor) -> None:
    """Give what a call has written the values that the program's call makes, with the derivative that it has."""
    target = call.written
    assert target is not None
    facts = state.environment.facts(target)
    if facts.hard is not None:
        state.environment.set(target, replace(facts, hard=made))
        return
    emit = state.backend.emit
    if outgrows_base(target):
        emit(torch.Tensor.copy_, (emit(torch.detach, (target,), {}), made), {})
        cut_beneath(state, call, target)
        return
    if not is_discrete(target):
        made = emit(softtorch.straight_through, (made, emit(torch.clone, (target,), {})), {})
    emit(torch.Tensor.copy_, (target, made), {})
    state.environment.set(target, replace(facts, version=version_of(target)))


def _copied(state: RunState, call: Call, first: Args, read: list[Tensor]) -> Call:
    """The call with the operands `first` as they are, and with copies of those that are `read` behind them."""
    copies: dict[int, Tensor] = {}
    for tensor in read:
        copy: Tensor = state.backend.emit(torch.clone, (tensor,), {})
        state.environment.set(copy, replace(state.environment.facts(tensor), version=version_of(copy)))
        copies[id(tensor)] = copy
    rest = map_tensors(lambda tensor: copies.get(id(tensor), tensor), call.args[len(first) :])
    return on_operands(call, state.environment, (*first, *rest), call.kwargs)


def _made_in_memory(state: RunState, call: Call, read: list[Tensor]) -> Tensor:
    """What the program's call makes of the hard values of its target, with the operands that it reads in its memory."""
    emit, target = state.backend.emit, call.written
    assert target is not None
    tensors = [target, *(tensor for tensor in read if tensor.dtype == target.dtype)]
    hard = [hard_value(state, tensor) for tensor in tensors]
    copies = emit(storage.copies, (hard, [*map(storage.geometry_of, tensors)]), {})
    known = {id(tensor): copy for tensor, copy in zip(tensors, copies, strict=True)}

    def own(tensor: Tensor) -> Tensor:
        other: Tensor | None = known.get(id(tensor))
        return emit(torch.detach, (hard_value(state, tensor),), {}) if other is None else other

    args, kwargs = map_tensors(own, (call.args, call.kwargs))
    emit(call.func, args, kwargs)
    made: Tensor = copies[0]
    return made
