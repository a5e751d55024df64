"""Calls on what a soft mask selects: x[mask] itself, and what the program does with its rows.

The program sees the rows that the original selects; beside them goes a shadow of all rows. How each kind of operation
acts on such rows is a fact of its record, and what becomes of them softly is in softfx.rules.rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from softfx import ops
from softfx.decisions.site import Decision
from softfx.interpreter import measuring
from softfx.interpreter.binding import operand
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext, options_of
from softfx.interpreter.hard_call import hard_call
from softfx.interpreter.soft_call import FAILURES, refusal_of, soft_call
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.spelling import arguments
from softfx.ops.trees import map_tensors
from softfx.rules.refusals import CannotSoften
from softfx.rules.row_operands import is_of_each
from softfx.rules.row_places import places_of
from softfx.rules.rows import RowRule, keeps_rows, row_rule_of, selected, selected_again
from softfx.values import SelectedRows, Soft, SoftBool, SoftIndex

__all__ = ["call_on_rows", "concerns_rows"]

_HARD_ROWS = "takes the rows that the original selects"
_REASON = f"{_HARD_ROWS}: x[mask] has a shape that depends on data"


def concerns_rows(state: RunState, call: Call) -> bool:
    """Return True if a call selects by a soft mask, or takes what one selected."""
    if any(isinstance(soft, SelectedRows) for soft in call.softs):
        return True
    return _mask(state, call) is not None or _asks_for_places(call)


def call_on_rows(state: RunState, call: Call, decision: Decision | None) -> Result:
    """The result of such a call; or the call with its rows hard, where only other operands can stay soft."""
    mask = _mask(state, call)
    if mask is not None:
        return _attached(state, call, lambda context: _selection(context, call, *mask), None)
    if (again := _mask_of_rows(state, call)) is not None:
        return _attached(state, call, lambda context: _selection_among(context, call, again), None)
    if _asks_for_places(call):
        return _attached(state, call, lambda context: _places(context, call), None)
    rows = row_rule_of(call.operation)
    if rows is None:
        return _with_hard_rows(state, call, _REASON)
    first = call.args[0] if call.args else None
    rank = first.dim() if isinstance(first, Tensor) else 0
    if rows.reduces and not (rank > 1 and keeps_rows(call.operation, rank, call.args[1:], call.kwargs)):
        return soft_call(state, call, decision, rows)
    return _attached(state, call, lambda context: _made(context, rows, call), decision)


def _mask(state: RunState, call: Call) -> tuple[Tensor, tuple[object, ...]] | None:
    """The soft mask that selects, and the key of each row; if the call is x[mask], x[mask, ...] or masked_select."""
    if call.operation not in (ops.getitem, ops.masked_select):
        return None
    operands, _ = arguments(call.spelled, call.args, call.kwargs)
    key = operands[1] if len(operands) == 2 else None
    mask, *of_each = key if isinstance(key, tuple) and key else (key,)
    if not isinstance(mask, Tensor) or mask.dtype is not torch.bool or mask.dim() == 0:
        return None
    if not all(map(is_of_each, of_each)) or not isinstance(state.environment.facts(mask).soft, SoftBool):
        return None
    return mask, tuple(of_each)


def _mask_of_rows(state: RunState, call: Call) -> Tensor | None:
    """The mask that selects among rows that a soft mask selected, and was made of them; if the call is rows[mask]."""
    if call.operation not in (ops.getitem, ops.masked_select):
        return None
    (*_, mask), _ = arguments(call.spelled, call.args, call.kwargs)
    if not isinstance(mask, Tensor) or mask.dtype is not torch.bool or mask.dim() != 1:
        return None
    return mask if isinstance(state.environment.facts(mask).soft, SelectedRows) else None


def _selection_among(context: CallContext, call: Call, mask: Tensor) -> Soft:
    """The shadow of rows[mask], of rows that a soft mask selected."""
    data = arguments(call.spelled, call.args, call.kwargs)[0][0]
    rows, decided = operand(context, data), operand(context, mask)
    assert isinstance(decided, SelectedRows)
    return selected_again(context, rows, decided, mask)


def _asks_for_places(call: Call) -> bool:
    """Return True for nonzero, argwhere and where(mask) of a soft mask, or of numbers by whether they are 0."""
    asked = call.operation in (ops.nonzero, ops.argwhere) and len(call.softs) == 1
    return asked and call.tensors[0].dim() > 0 and not isinstance(call.softs[0], SelectedRows)


def _places(context: CallContext, call: Call) -> Soft | tuple[Soft, ...]:
    """The shadow of nonzero(mask), or of each axis's places where those are asked for apart."""
    mask = operand(context, call.tensors[0])
    assert isinstance(mask, Soft)
    places = places_of(context, mask, call.tensors[0])
    if not (call.kwargs.get("as_tuple") or call.func is torch.where):
        return places
    return tuple(context.like(places, axis) for axis in context.call(torch.unbind, places.rows, 1))


def _selection(context: CallContext, call: Call, mask: Tensor, of_each: tuple[object, ...]) -> Soft:
    """The shadow of x[mask], or of x[mask, *of_each]."""
    data = arguments(call.spelled, call.args, call.kwargs)[0][0]
    whole = call.operation is ops.masked_select
    if data.shape[: mask.dim()] != mask.shape or (whole and data.shape != mask.shape):
        raise CannotSoften("x[mask] by a mask that is broadcast has no rule")
    weights, shadow = operand(context, mask), operand(context, data)
    assert isinstance(weights, SoftBool)
    if isinstance(shadow, SoftIndex):  # soft indices stay what they are
        context.state.evidence.lost([weights], call.name, call.location, _REASON)
        moved = shadow.moved(context.call, Tensor.__getitem__, (mask, *of_each))
        assert isinstance(moved, SoftIndex)  # one tensor comes of one
        return moved
    rows = selected(context, shadow, weights, mask)
    if not of_each:
        return rows
    return context.like(rows, context.call(Tensor.__getitem__, rows.rows, (slice(None), *of_each)))


def _made(context: CallContext, rows: RowRule, call: Call) -> Soft | tuple[Soft, ...]:
    """The shadow of a result that is rows again."""
    args, kwargs = map_tensors(lambda tensor: operand(context, tensor), (call.args, call.kwargs))
    kwargs = {key: value for key, value in kwargs.items() if key not in ("inplace", "out")}
    args, kwargs = arguments(call.spelled, args, kwargs)
    made: Soft | tuple[Soft, ...] = rows.propagate(context, call.operation, call.rule, *args, **kwargs)
    return made


def _attached(
    state: RunState, call: Call, shadow: Callable[[CallContext], Soft | tuple[Soft, ...]], decision: Decision | None
) -> Result:
    """The call as it is, its result, or each of its results, with a shadow of all rows."""
    if decision is not None and decision.relative is not None:
        decision = measuring.for_call(state, call, decision)
    acting = decision if decision is not None and decision.acts else None
    sites = (acting.ids if acting is not None else frozenset[int]()).union(*(soft.sites for soft in call.softs))
    exact = all(soft.exact for soft in call.softs) and (decision is None or decision.is_exact)
    context = CallContext(state, call.func, options_of(state, acting), exact, sites)
    try:
        made = shadow(context)
    except FAILURES as failure:
        return _with_hard_rows(state, call, f"{_HARD_ROWS}: {refusal_of(state, call, failure)}")
    result = hard_call(state, call)
    state.evidence.join(sites)
    state.evidence.took(call.softs, call.name, call.location)
    results, shadows = (result, made) if isinstance(made, tuple) else ((result,), (made,))
    for item, soft in zip(results, shadows, strict=True):
        state.environment.set(item, replace(state.environment.facts(item), depends_on_source=True, soft=soft))
    return result


def _with_hard_rows(state: RunState, call: Call, reason: str) -> Result:
    """The result on the rows that the original selects; or the call on these, where other operands can stay soft."""
    chosen = [soft for soft in call.softs if isinstance(soft, SelectedRows)]
    if not chosen or len(call.softs) == len(chosen):
        return hard_call(state, call, reason)
    state.evidence.lost(chosen, call.name, call.location, reason)
    for tensor, facts in zip(call.tensors, call.facts, strict=True):
        if isinstance(facts.soft, SelectedRows):
            state.environment.set(tensor, replace(facts, soft=None))
    return replace(call, facts=[state.environment.facts(tensor) for tensor in call.tensors])
