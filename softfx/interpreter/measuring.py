"""Softness in units of the data: the spread of what a site decides about is measured on the operands of its call.

It is measured while a measuring run lasts (`RunState.measures`), or at the first call that needs it, and stays as it is
after that. Where numbers are compared with what was made of them, some margins are 0 by that, and others are measured
(softfx.interpreter.compared). Where tensors cannot be read, as under vmap, a softness that was never measured is
computed anew from each call's own numbers.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from softfx import torch_private
from softfx.decisions.site import Decision
from softfx.interpreter.backends import Direct
from softfx.interpreter.call import Call
from softfx.interpreter.compared import beside
from softfx.interpreter.operands import operands_of
from softfx.interpreter.state import RunState
from softfx.rules import spread
from softfx.runtime.elements import has_strides

__all__ = ["for_call", "orders_two"]


def for_call(state: RunState, call: Call, decision: Decision) -> Decision:
    """The decision with the softness for this call: measured where that is due, and in a shape that fits."""
    turn = state.turns[decision.id]
    state.turns[decision.id] = turn + 1
    if decision.pending or (state.measures is not None and decision.relative is not None):
        decision = _measured(state, call, decision, turn)
    if decision.has_turns:
        decision = decision.at(turn)
    softness = decision.softness
    if isinstance(softness, Tensor) and softness.dim() and isinstance(state.backend, Direct):
        return replace(decision, softness=_fitting(softness, call))
    return decision


def _measured(state: RunState, call: Call, decision: Decision, turn: int) -> Decision:
    unit = decision.rule.unit
    operands = operands_of(call) if unit is not None and unit.measure is not None else None
    if unit is None or unit.measure is None or operands is None or not isinstance(state.backend, Direct):
        return decision
    if not all(map(_is_readable, call.tensors)) or torch_private.in_transform() or torch.compiler.is_compiling():
        numbers = unit.decides(operands)
        if decision.relative is None or decision.spread is not None or numbers is None or not _has_numbers(numbers):
            return decision
        return replace(decision, softness=spread.live(numbers) * decision.relative)
    with torch.no_grad():
        own = beside(state, call, decision.is_exact)
        found = unit.measure(operands) if own is None else own.measure()
    if found is None:  # nothing that differs from anything: the next call may tell
        return decision
    if state.measures is not None:
        found = state.measures.add(decision.id, turn, found, decision.spread)
    return state.sites.replace(decision.measured(found))


def orders_two(call: Call, decision: Decision) -> bool:
    """Return True if the call orders two entries that are standardized: only which one is larger is left of them."""
    unit = decision.rule.unit
    if (
        unit is None
        or "standardize" not in decision.rule.options
        or not decision.resolved.options.get("standardize", 1)
    ):
        return False
    operands = operands_of(call)
    if operands is None or "dim" not in operands:
        return False
    entries, dim = unit.decides(operands), operands["dim"]
    if entries is None or not isinstance(dim, int | None):
        return False
    return (entries.numel() if dim is None or entries.dim() == 0 else entries.shape[dim]) == 2


def _is_readable(tensor: Tensor) -> bool:
    is_real = not tensor.is_meta and not tensor.is_complex()
    return is_real and has_strides(tensor) and torch_private.fake_mode_of(tensor) is None


def _has_numbers(tensor: Tensor) -> bool:
    is_real = tensor.is_floating_point() and has_strides(tensor) and tensor.numel() > 0
    return is_real and torch_private.fake_mode_of(tensor) is None


def _fitting(softness: Tensor, call: Call) -> Tensor:
    """A number for each threshold where the call has the thresholds that were measured; else their mean."""
    softness = softness.to(call.tensors[0].device)
    shape = max((tensor.shape for tensor in call.tensors), key=len)  # the axes of the margins, at most
    sizes = zip(reversed(softness.shape), reversed(shape), strict=False)
    entries = (tensor.shape[-softness.dim() :] for tensor in call.tensors)
    fits = len(softness.shape) <= len(shape) and all(1 in (s, b) or s == b for s, b in sizes)
    return softness if fits and softness.shape in entries else softness.mean()
