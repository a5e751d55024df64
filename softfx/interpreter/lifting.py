"""What must not be lifted: no_grad blocks and detachments of which something outlives the call, or has no derivative.

A power iteration that updates its buffers, weights that are clamped, a moving average of detached numbers: as part of
the graph such a value would keep every call alive in the next, and torch takes no write into a parameter. Planning
finds these values, written in place or kept by the module, and the block or detachment stays as the program has it;
sites in such a block are kept with that reason. So does what is written through an expanded tensor, whose elements lie
on one place of memory: torch lets the program do so where it has no derivative, and refuses the backward pass of one.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from softfx import torch_private
from softfx.decisions.evidence import Left
from softfx.interpreter.call import Call
from softfx.interpreter.native import overlaps_itself
from softfx.interpreter.records import LiftedAt
from softfx.interpreter.state import RunState
from softfx.locations import Location
from softfx.ops.trees import tensors_in
from softfx.values.histories import is_leaf

__all__ = [
    "behind",
    "kept_tensors",
    "leave_what_is_expanded",
    "leave_what_is_refused",
    "must_be_left",
    "note_detachment",
    "note_given",
    "note_kept",
    "note_made",
    "reason",
]

_NONE = frozenset[LiftedAt]()
_WRITTEN = "what outlives the call is written in place"
_LEAF = "a leaf is written in place"
_KEPT = "the module keeps what outlives the call"
_REFUSED = "torch takes no operand here that has a derivative"
_EXPANDED = "it is written through an expanded tensor, of which torch has no derivative"


def must_be_left(state: RunState, call: Call) -> bool:
    """Return True for a write by which a lifted block, or a lifted detachment, turns out to be one to leave."""
    foreign = state.foreign
    for tensor in call.tensors:
        key = torch_private.storage_key(tensor)
        if key is not None and key not in foreign.made and key not in foreign.keys:
            note_given(state, tensor)
    if not state.sites.lifts_any:
        return False
    found = False
    for tensor in call.all_written:
        key = torch_private.storage_key(tensor)
        lifted_at = state.grad_mode.lifted_at
        if lifted_at is not None and (key in foreign.keys or (tensor.requires_grad and is_leaf(tensor))):
            reason = _WRITTEN if key in foreign.keys else _LEAF
            state.evidence.to_leave["no_grad", lifted_at] = Left(reason, call.location)
            found = True
        if key is None or key not in foreign.keys:
            continue
        if key in foreign.detached:
            state.evidence.to_leave["detach", foreign.detached[key]] = Left(_WRITTEN, call.location)
            found = True
        if lifted := behind(state, call):
            state.evidence.to_leave.update(dict.fromkeys(lifted, Left(_WRITTEN, call.location)))
            found = True
    return found


def note_given(state: RunState, tensor: Tensor) -> None:
    """Note a tensor that the call has not made."""
    key = torch_private.storage_key(tensor)
    if key is not None:
        state.foreign.keys.add(key)
        state.foreign.given.set(tensor, True)


def leave_what_is_expanded(state: RunState, call: Call) -> None:
    """Take the derivative that softening gives from what is written through an expanded tensor."""
    if not torch.is_grad_enabled() or not any(map(overlaps_itself, call.all_written)):
        return
    left = Left(_EXPANDED, call.location)
    keys = map(torch_private.storage_key, call.all_written)
    written = (state.foreign.sites_in.get(key, frozenset()) for key in keys if key is not None)
    for site in call.carried_sites.union(*(soft.sites for soft in call.softs), *written):
        decision = state.sites[site]
        if decision.acts:
            state.sites.replace(decision.blocked(str(left)))
    state.evidence.to_leave.update(dict.fromkeys(behind(state, call), left))


def leave_what_is_refused(state: RunState, call: Call) -> None:
    """Leave what gives operands a derivative for which torch refuses the call, where no site is the reason."""
    if call.refuses_gradients and not call.carried_sites and not call.softs:
        left = Left(_REFUSED, call.location)
        state.evidence.to_leave.update(dict.fromkeys(behind(state, call), left))


def behind(state: RunState, call: Call) -> frozenset[LiftedAt]:
    """The lifted blocks and detachments that the derivative of a call's operands goes through."""
    foreign = state.foreign
    found = _NONE.union(*(foreign.lifted.get(tensor) or _NONE for tensor in call.tensors))
    if foreign.lifted_in:
        keys = map(torch_private.storage_key, call.tensors)
        found = found.union(*(foreign.lifted_in.get(key, _NONE) for key in keys if key is not None))
    return found


def note_made(state: RunState, call: Call, result: object) -> None:
    """Note the tensors that a call has made, in storage of their own, and what of them is lifted."""
    lifted = behind(state, call)
    if state.grad_mode.lifted_at is not None:
        lifted |= {("no_grad", state.grad_mode.lifted_at)}
    for tensor in (*tensors_in(result), *call.all_written):
        if lifted and state.environment.facts(tensor).depends_on_source:
            state.foreign.lifted.set(tensor, lifted | (state.foreign.lifted.get(tensor) or _NONE))
        key = torch_private.storage_key(tensor)
        if key is not None and key not in state.foreign.keys and key not in state.foreign.made:
            state.foreign.made[key] = torch_private.storage_reference(tensor)
    for tensor in call.all_written:
        sites = call.written_facts.gradient_sites | state.environment.facts(tensor).gradient_sites
        if (key := torch_private.storage_key(tensor)) is not None and (sites or lifted):
            state.foreign.lifted_in[key] = lifted | state.foreign.lifted_in.get(key, _NONE)
            state.foreign.sites_in[key] = sites | state.foreign.sites_in.get(key, frozenset())


def note_detachment(state: RunState, call: Call, result: Tensor) -> None:
    """Note that `result` is what a lifted detachment gives."""
    key = torch_private.storage_key(result)
    if state.planning and key is not None:
        state.foreign.detached[key] = call.location
        state.foreign.lifted.set(result, behind(state, call) | {("detach", call.location)})


def note_kept(state: RunState, target: object) -> None:
    """Note what a module keeps beyond the call of tensors that carry a lifted derivative."""
    for value in kept_tensors(target) if state.sites.lifts_any else ():
        lifted = state.foreign.lifted.get(value) or _NONE
        state.evidence.to_leave.update({cut: Left(_KEPT, cut[1]) for cut in lifted})


def kept_tensors(target: object) -> Iterator[Tensor]:
    """The tensors that a module has, in its attributes and its parts; a function has none."""
    for module in target.modules() if isinstance(target, nn.Module) else ():
        yield from (value for value in torch_private.leaves(vars(module)) if isinstance(value, Tensor))


def reason(state: RunState, block: Location) -> str:
    """Why a site in a block that is left is kept."""
    return f"inside a no_grad block of the program that is not lifted, for {state.evidence.to_leave['no_grad', block]}"
