"""Tensors that autograd keeps for a derivative of softening's making, and that the program then writes in place.

In the original they need no derivative, so that nothing keeps them and the writes are legal; softened, torch would
refuse the backward pass. A planning run finds the calls whose operands or results are written later. When the program
runs, such a call is made on copies of its operands, and a result that its derivative is computed from is a copy too.
What moves elements keeps nothing of the tensor that they come from, and may be a view of it: that one is not copied.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from softfx import ops, torch_private
from softfx.interpreter.call import Call
from softfx.interpreter.state import RunState
from softfx.locations import Location
from softfx.ops.calls import Args, Kwargs, Result
from softfx.ops.operation import Effect, Operation, Reads
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules import rule_of

__all__ = ["is_overwritten", "kept_operands", "kept_results", "note_reads"]

# The operations whose derivative torch computes from their result (tools/autograd/derivatives.yaml: "result").
_KEEP_RESULTS = frozenset(
    {
        ops.exp, ops.exp2, ops.expm1, ops.sqrt, ops.rsqrt, ops.reciprocal, ops.sigmoid, ops.tanh, ops.tan, ops.pow,
        ops.softmax, ops.log_softmax, ops.relu, ops.elu, ops.celu, ops.selu, ops.leaky_relu, ops.prod, ops.cumprod,
        ops.amax, ops.amin, ops.norm, ops.std, ops.hypot, ops.erfinv, ops.hardtanh, ops.threshold,
    }
)  # fmt: skip
# Those that are linear in each operand alone, so that their derivative is made of none.
_KEEP_NOTHING = frozenset(
    {ops.add, ops.sub, ops.rsub, ops.neg, ops.sum, ops.mean, ops.cumsum, ops.cast, ops.cat, ops.stack, ops.clone,
     ops.detach, ops.copy_, ops.fill, ops.zero_}
)  # fmt: skip
_SCALED_BY_NUMBERS = frozenset({ops.mul, ops.div})


def note_reads(state: RunState, call: Call, result: Result) -> None:
    """Note, in a planning run, what a call's derivative may keep, and the earlier calls that its write concerns."""
    made = tensors_in(state.backend.lying(result))
    results = {torch_private.storage_key(tensor) for tensor in made}
    read = call.tensors if call.written is None else tensors_in((call.args[1:], {**call.kwargs, "out": None}))
    operands = {torch_private.storage_key(tensor) for tensor in read}
    softened = any(facts.gradient_sites or facts.soft is not None for facts in call.facts)
    # A derivative that softening takes later may go through calls of which the program takes none.
    crossed = call.depends_on_source and state.sites.policy.can_act
    scales = call.operation in _SCALED_BY_NUMBERS and len(call.tensors) == 1
    idle = scales or call.operation in _KEEP_NOTHING or _reads_no_elements(call.operation)
    keeps = torch.is_grad_enabled() and (softened or crossed) and not idle
    own = (call.name, call.location) if keeps else ("", Location("", 0))
    if keeps and (call.written is not None or results.isdisjoint(operands)):  # a view keeps nothing
        _note(state, read, own)
    if call.written is not None and (key := torch_private.storage_key(call.written)) is not None:
        state.evidence.overwritten |= state.reads.pop(key, set())
    if keeps and call.operation in _KEEP_RESULTS:
        _note(state, made, own)


def _reads_no_elements(operation: Operation) -> bool:
    if operation.effect & (Effect.AUTOGRAD | Effect.HISTORY):  # of the very tensors that it is given
        return True
    return operation.reads is Reads.NONE or (bool(operation.effect & Effect.METADATA) and not operation.converts)


def _note(state: RunState, tensors: list[Tensor], own: tuple[str, Location]) -> None:
    for tensor in tensors:
        key = torch_private.storage_key(tensor)
        if key is not None:
            state.reads.setdefault(key, set()).add(own)
            if key not in state.read_storages:
                state.read_storages[key] = torch_private.storage_reference(tensor)


def is_overwritten(state: RunState, call: Call) -> bool:
    """Return True for a call whose operands or results the program writes later."""
    found = state.evidence.overwritten
    return bool(found) and torch.is_grad_enabled() and (call.name, call.location) in found


def kept_operands(state: RunState, operation: Operation, arguments: tuple[Args, Kwargs]) -> tuple[Args, Kwargs]:
    """Arguments of an operation with copies of the tensors that may be written."""

    def copied(tensor: Tensor) -> Tensor:
        copy: Tensor = state.backend.emit(torch.clone, (tensor,), {})
        return copy

    args, kwargs = arguments
    rule = rule_of(operation)
    moves = rule is not None and rule.moves and operation is not ops.pad  # which keeps it where it reflects
    sources = 1 if moves else 0
    rest, kwargs = map_tensors(copied, (args[sources:], kwargs))
    return (*args[:sources], *rest), kwargs


def kept_results(state: RunState, call: Call, result: Result) -> Any:
    """The results that the program gets: copies of those that the derivative is computed from."""
    if call.operation not in _KEEP_RESULTS:
        return result
    return map_tensors(lambda tensor: state.backend.emit(torch.clone, (tensor,), {}), result)
