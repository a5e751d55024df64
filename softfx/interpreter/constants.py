"""Operands by which torch has no derivative: what softening gives them ends there, and that is told."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from softfx.interpreter.call import Call, on_operands
from softfx.interpreter.state import RunState
from softfx.ops.constant_operands import constant_operands, has_constant_operands
from softfx.ops.trees import map_tensors
from softfx.torch_private import version_of

__all__ = ["held_constant"]


def held_constant(state: RunState, call: Call) -> Call:
    """The call on operands that have no derivative where torch has none."""
    if not has_constant_operands(call.func) or not (state.sites.acts or state.sites.lifts_any):
        return call
    constants = {id(tensor) for tensor in constant_operands(call.func, call.args, call.kwargs)}
    softened = set[int]()
    for tensor, known in zip(call.tensors, call.facts, strict=True):
        sites = known.gradient_sites | (known.soft.sites if known.soft is not None else frozenset())
        if id(tensor) in constants and (sites or (state.sites.lifts_any and known.depends_on_source)):
            softened.add(id(tensor))
            state.evidence.ended(sites, call.name, call.location)
    if not softened:
        return call

    def constant(tensor: Tensor) -> Tensor:
        if id(tensor) not in softened:
            return tensor
        held: Tensor = state.backend.emit(torch.detach, (tensor,), {})
        known = replace(state.environment.facts(tensor), soft=None, gradient_sites=frozenset())
        state.environment.set(held, replace(known, detached_at=frozenset({call.location}), version=version_of(held)))
        return held

    args, kwargs = map_tensors(constant, (call.args, call.kwargs))
    return on_operands(call, state.environment, args, kwargs)
