"""Softness in units of the data: the spread of what a site decides about is measured on the operands of its call.

It is measured while a measuring run lasts (`RunState.measures`), or at the first call that needs it, and stays as it is
after that. Numbers that are compared with an order statistic of their own are measured themselves, for some of their
margins are 0 by its definition. Where tensors cannot be read, as under vmap, a softness that was never measured is
computed anew from each call's own numbers.
"""

from __future__ import annotations

import inspect
from dataclasses import replace

import torch
from torch import Tensor

from softfx import torch_private
from softfx.decisions.site import Decision
from softfx.interpreter.backends import Direct
from softfx.interpreter.call import Call
from softfx.interpreter.state import RunState
from softfx.interpreter.statistics import beside
from softfx.ops.spelling import arguments
from softfx.rules import spread
from softfx.rules.units import Operands

__all__ = ["for_call", "operands_of", "orders_two"]

_NO_OPERANDS = ("out", "inplace")


def for_call(state: RunState, call: Call, decision: Decision) -> Decision:
    """The decision with the softness for this call: measured where that is due, and in a shape that fits."""
    if decision.pending or (state.measures is not None and decision.relative is not None):
        decision = _measured(state, call, decision)
    softness = decision.softness
    if isinstance(softness, Tensor) and softness.dim() and isinstance(state.backend, Direct):
        return replace(decision, softness=_fitting(softness, call))
    return decision


def _measured(state: RunState, call: Call, decision: Decision) -> Decision:
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
        own = None if call.softs else beside(state, call)
        found = unit.measure(operands) if own is None else spread.of_rows(own.rows, own.dim, "the numbers compared")
    if found is None:  # nothing that differs from anything: the next call may tell
        return decision
    if state.measures is not None:
        found = state.measures.add(decision.id, found, decision.spread)
    return state.sites.replace(decision.measured(found))


def operands_of(call: Call) -> Operands | None:
    """The call's own arguments by the names of its rule's parameters; None where they do not fit."""
    function = call.rule.relax if call.rule is not None else None
    if function is None:
        return None
    kwargs = {key: value for key, value in call.kwargs.items() if key not in _NO_OPERANDS}
    args, kwargs = arguments(call.spelled, call.args, kwargs)
    try:
        bound = inspect.signature(function).bind(None, *args, **kwargs)
    except TypeError:  # the soft form will refuse them, and say why
        return None
    bound.apply_defaults()
    context = next(iter(bound.arguments))
    return {name: value for name, value in bound.arguments.items() if name != context} | {"function": call.func}


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
    return torch_private.fake_mode_of(tensor) is None and not tensor.is_meta and not tensor.is_complex()


def _has_numbers(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and torch_private.fake_mode_of(tensor) is None and tensor.numel() > 0


def _fitting(softness: Tensor, call: Call) -> Tensor:
    """A number for each threshold where the call has the thresholds that were measured; else their mean."""
    softness = softness.to(call.tensors[0].device)
    shape = max((tensor.shape for tensor in call.tensors), key=len)  # the axes of the margins, at most
    sizes = zip(reversed(softness.shape), reversed(shape), strict=False)
    entries = (tensor.shape[-softness.dim() :] for tensor in call.tensors)
    fits = len(softness.shape) <= len(shape) and all(1 in (s, b) or s == b for s, b in sizes)
    return softness if fits and softness.shape in entries else softness.mean()
