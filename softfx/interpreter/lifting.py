"""What must not be lifted: no_grad blocks and detachments in which the program writes in place what outlives the call.

A power iteration that updates its buffers, weights that are clamped: as part of the graph such a write would keep every
call alive in the next, and torch takes none into a parameter. Planning finds these writes, and the block stays as the
program has it; sites in it are kept with that reason.
"""

from __future__ import annotations

from torch import Tensor

from softfx import torch_private
from softfx.interpreter.call import Call
from softfx.interpreter.state import RunState
from softfx.locations import Location, shown_place
from softfx.ops.trees import tensors_in

__all__ = ["must_be_left", "note_detachment", "note_made", "reason"]


def must_be_left(state: RunState, call: Call) -> bool:
    """Return True for a write by which a lifted block, or a lifted detachment, turns out to be one to leave."""
    if not state.sites.lifts_any:
        return False
    foreign = state.foreign
    for tensor in call.tensors:
        key = torch_private.storage_key(tensor)
        if key is not None and key not in foreign.made:
            foreign.keys.add(key)
    found = False
    for tensor in call.all_written:
        key = torch_private.storage_key(tensor)
        if key is None or key not in foreign.keys:
            continue
        if state.grad_mode.lifted_at is not None:
            state.evidence.to_leave["no_grad", state.grad_mode.lifted_at] = call.location
            found = True
        if key in foreign.detached:
            state.evidence.to_leave["detach", foreign.detached[key]] = call.location
            found = True
    return found


def note_made(state: RunState, result: object) -> None:
    """Note the tensors that a call has made, in storage of their own."""
    if not state.sites.lifts_any:
        return
    for tensor in tensors_in(result):
        key = torch_private.storage_key(tensor)
        if key is not None and key not in state.foreign.keys and key not in state.foreign.made:
            state.foreign.made[key] = torch_private.storage_reference(tensor)


def note_detachment(state: RunState, call: Call, result: Tensor) -> None:
    """Note that `result` is what a lifted detachment gives."""
    key = torch_private.storage_key(result)
    if state.planning and key is not None:
        state.foreign.detached[key] = call.location


def reason(state: RunState, block: Location) -> str:
    """Why a site in a block that is left is kept."""
    at = state.evidence.to_leave["no_grad", block]
    return (
        f"inside a no_grad block of the program that writes in place what outlives the call "
        f"({shown_place(at.file, at.line)}); such a block is not lifted"
    )
