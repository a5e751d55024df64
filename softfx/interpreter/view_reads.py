"""Look-ups that torch answers with a view: x[i] of an integer without axes is x.select(0, i), and shares x's memory.

Softly such a look-up is a tensor of its own, a mean of rows, so that the program's writes through it, or to what it was
read from, would miss the other. A planning run finds the look-ups of which one side is used after the other was
written; these are made as the program makes them, by the hard index, and the index is told to end there. Where
x[i] += v writes back what it has read, nothing is missed, and the look-up stays soft.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from softfx import ops, torch_private
from softfx.interpreter.call import Call, on_operands
from softfx.interpreter.indexed_update import parts_of, same_parts
from softfx.interpreter.records import ViewRead
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.trees import map_tensors, tensors_in

__all__ = ["as_view", "note_results", "note_uses", "note_writes"]

# They look beyond a tensor's own elements, at the memory that it lies in.
_OF_MEMORY = (torch.as_strided, Tensor.as_strided, Tensor.as_strided_)
_LOSS = "gives a view of what is written in place, which has one index"


def as_view(state: RunState, call: Call) -> Call:
    """The call by hard indices if its result has to be a view, else as it is."""
    if call.operation is not ops.getitem or not call.softs or not _is_view(call):
        return call
    unknown = state.live and state.planning and state.evidence.writes  # what follows is not known before
    if not unknown and (call.name, call.location) not in state.evidence.written_views:
        return call
    source, key = call.args
    softs = [soft for tensor in tensors_in(key) if (soft := state.environment.facts(tensor).soft) is not None]
    state.evidence.lost(softs, call.name, call.location, _LOSS)
    hard = map_tensors(lambda index: state.backend.emit(torch.clone, (index,), {}), key)
    return on_operands(call, state.environment, (source, hard), call.kwargs)


def note_uses(state: RunState, call: Call) -> None:
    """Note, before a call, the look-ups of which it uses a side that missed a write to the other, or the memory."""
    for tensor in call.tensors if state.view_reads else ():
        for read, side in _sides(state, tensor):
            in_memory = side == "result" and call.func in _OF_MEMORY
            if in_memory or (read.missing == side and not _writes_back(state, read, call)):
                state.evidence.written_views.add(read.origin)


def note_writes(state: RunState, call: Call, result: Result) -> None:
    """Note, after a call, what it has looked up softly, and what its writes miss."""
    moves = call.rule is not None and call.rule.moves  # x.unsqueeze_(0) writes no element
    for tensor in call.all_written if state.view_reads and not moves else ():
        for read, side in _sides(state, tensor):
            read.missing = None if _writes_back(state, read, call) else "source" if side == "result" else "result"
    for tensor in tensors_in(result) if state.view_reads else ():
        _note_alias(state, call, tensor)
    if call.operation is ops.getitem and isinstance(result, Tensor) and _is_view(call):
        _note_read(state, call, result)


def _note_read(state: RunState, call: Call, result: Tensor) -> None:
    """Note a look-up by a soft index whose result is no view."""
    source, key = call.args
    if all(state.environment.facts(index).soft is None for index in tensors_in(key)):
        return
    storage = torch_private.storage_key(source)
    if storage is not None and not torch.is_inference_mode_enabled():
        reference = torch_private.storage_reference(source)
        read = ViewRead((call.name, call.location), source, storage, parts_of(key), reference)
        state.view_reads.append(read)
        state.read_views.set(result, read)


def note_results(state: RunState, tensors: Iterable[Tensor]) -> None:
    """Note, at the end, the look-ups of which a result, or what else outlives the call, misses a write."""
    for tensor in tensors if state.view_reads else ():
        for read, side in _sides(state, tensor):
            if read.missing == side:
                state.evidence.written_views.add(read.origin)


def _is_view(call: Call) -> bool:
    """Return True for a look-up that torch answers with a view: by slices, numbers, and integers without axes."""
    source, key = call.args
    return isinstance(source, Tensor) and all(map(_selects, parts_of(key)))


def _selects(part: object) -> bool:
    if isinstance(part, Tensor):
        return part.dim() == 0 and part.dtype not in (torch.bool, torch.uint8)
    return part is None or part is Ellipsis or (isinstance(part, int | slice) and not isinstance(part, bool))


def _note_alias(state: RunState, call: Call, result: Tensor) -> None:
    """Note that a view of what was looked up is one, too."""
    for operand in call.tensors if all(result is not operand for operand in call.tensors) else ():
        read = state.read_views.get(operand)
        lying = tensors_in(state.backend.lying(result))
        if read is not None and torch_private.storage_key(operand) in map(torch_private.storage_key, (result, *lying)):
            state.read_views.set(result, read)


def _sides(state: RunState, tensor: Tensor) -> Iterator[tuple[ViewRead, str]]:
    """The look-ups that a tensor is a result or the source of."""
    results: list[ViewRead] = []
    keys = {torch_private.storage_key(tensor)}
    while (read := state.read_views.get(tensor)) is not None and read not in results:  # a look-up in a look-up
        results.append(read)
        keys.add(read.storage)
        tensor = read.source
    yield from ((read, "result") for read in results)
    yield from ((read, "source") for read in state.view_reads if read.storage in keys and read not in results)


def _writes_back(state: RunState, read: ViewRead, call: Call) -> bool:
    """Return True for x[i] = r of what r = x[i] has read, and has become since."""
    if call.operation is not ops.setitem or len(call.args) != 3:
        return False
    target, key, value = call.args
    own = state.read_views.get(value) if isinstance(value, Tensor) else None
    return own is read and target is read.source and same_parts(parts_of(key), read.key)
