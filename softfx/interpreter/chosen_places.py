"""Calls that treat each chosen place by itself: tanh(x[:, chosen]), (x[:, chosen] * weights[chosen]).sum(-1).tanh().

What they make of what was looked up is a part of what they would make of the whole: f(x[chosen]) is f(x)[chosen]. So
their mean over choices is sum(p * f(x)), by which a place that was not chosen shows what it would give, and not
f(sum(p * x)) or the slope at what was chosen. Where such a call bends and its operands have real shadows (scope =
"linear", "model"), it is made on the whole, and chosen from: its result has a shadow that is linear in the choice.

Calls are remembered (`note`) and made on the whole where one that bends asks for them (`made`). To have another
operation of rows treat places by themselves, add it to `_axis_after`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softfx import ops
from softfx.interpreter import by_place, linear_scope
from softfx.interpreter.binding import bind
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext
from softfx.interpreter.native import run
from softfx.interpreter.pointwise import is_mild
from softfx.interpreter.records import ByPlace
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.operation import Rows
from softfx.ops.spelling import arguments
from softfx.runtime import places
from softfx.values import SoftIndex, SoftReal

__all__ = ["made", "note", "treats_places_alike"]

_IN_ROWS = (ops.gather, ops.take_along_dim)
_SUMS = (ops.sum, ops.mean)
_PRODUCTS = (ops.matmul, ops.linear)
_MOVES = (ops.unsqueeze, ops.getitem, ops.transpose, ops.permute, ops.movedim, ops.t)


def note(state: RunState, call: Call, result: Result) -> None:
    """Remember what a call has looked up by a choice in rows, or made of that place by place."""
    if not isinstance(result, Tensor) or not call.tensors or call.all_written or not torch.is_grad_enabled():
        return
    if not isinstance(state.environment.facts(result).soft, SoftReal):
        return
    found = _looked_up(state, call, result) if call.operation in _IN_ROWS else _made_by(state, call)
    if found is not None:
        state.by_place.set(result, found)


def treats_places_alike(state: RunState, call: Call) -> bool:
    """Return True for a call that bends, of what a choice has looked up, and that treats each place by itself."""
    if call.all_written or not torch.is_grad_enabled() or not linear_scope.bends(state, call):
        return False
    if call.rule is not None and call.rule.family not in ("kink", "selection") and not is_mild(call):
        return False  # it may not be fit for what is not chosen: log(x[chosen])
    found = _made_by(state, call)
    return found is not None and not by_place.is_too_large(state, call, found)


def made(state: RunState, call: Call) -> Result | None:
    """Such a call with the derivative of its mean over the choice; None where its result is no real tensor."""
    found, hard = _made_by(state, call), run(state, call)
    if found is None or not isinstance(hard, Tensor) or not hard.is_floating_point():
        return None
    softs = [facts.soft for facts in call.facts if facts.soft is not None]
    sites = frozenset[int]().union(*(soft.sites for soft in softs))
    context = CallContext(state, call.func, {}, True, sites, hard, carried=call.carried_sites)
    whole = by_place.on_whole(state, context, call.func, call.args, call.kwargs)
    index = state.environment.facts(found.places).soft
    assert isinstance(index, SoftIndex)  # it was one when places were looked up by it
    return bind(context, hard, context.call(places.chosen_of, whole, index.weights, found.axis, found.in_rows))


def _looked_up(state: RunState, call: Call, result: Tensor) -> ByPlace | None:
    """A look-up of places of its own in each row, along one axis."""
    (source, *rest), kwargs = arguments(call.spelled, call.args, call.kwargs)
    given = [*rest, *kwargs.values()]
    dim = next((value for value in given if isinstance(value, int)), None)
    index = next((value for value in given if isinstance(value, Tensor)), None)
    if dim is None or index is None or not isinstance(source, Tensor) or index.shape != result.shape:
        return None
    if not source.dim():  # one number, in one place
        return None
    axis = dim % source.dim() - source.dim()
    others = [result.shape[n] == source.shape[n] for n in range(source.dim()) if n != axis + source.dim()]
    fits = all(others) and by_place.index_of(state, index, source.shape[axis]) is not None
    return ByPlace(index, axis, state.writes.count, source, in_rows=True) if fits else None


def _made_by(state: RunState, call: Call) -> ByPlace | None:
    """A call as one that makes something of what one choice has looked up, place by place; None for any other."""
    if not state.by_place.entries and not state.lookups.entries:
        return None
    pairs = list(zip(call.tensors, call.facts, strict=True))
    running = [tensor for tensor, facts in pairs if facts.soft is not None]
    if not running or not all(isinstance(facts.soft, SoftReal | None) and _is_exact(facts.soft) for _, facts in pairs):
        return None
    known = [by_place.known(state, tensor) for tensor in running]
    first = known[0]
    if first is None or any(one is None or one.places is not first.places or one.axis != first.axis for one in known):
        return None
    others = [tensor for tensor, facts in pairs if facts.soft is None]
    axis = _axis_after(call, running, others, first)
    if axis is None:
        return None
    return ByPlace(first.places, axis, state.writes.count, None, first.in_rows, call.func, call.args, call.kwargs)


def _is_exact(soft: object) -> bool:
    return soft is None or (isinstance(soft, SoftReal) and soft.exact)


def _axis_after(call: Call, running: list[Tensor], others: list[Tensor], known: ByPlace) -> int | None:
    """Where the places lie in the result of a call, from the end; None if it treats them together."""
    axis, operation = known.axis, call.operation
    if not operation.repeatable or operation.converts:
        return None
    if operation.rows is Rows.EACH and (call.rule is None or call.rule.family != "discrete"):
        alike = all(tensor.dim() < -axis or tensor.shape[axis] == 1 for tensor in others)
        shapes = {tensor.shape for tensor in running}
        wide = known.in_rows and (len(shapes) > 1 or _broadcast(call.tensors) not in shapes)
        return axis if alike and not wide else None
    if len(running) != 1 or known.in_rows or running[0] is not next(iter(call.args), None):
        return None
    if operation in _SUMS:
        return _axis_after_sum(call, running[0], axis)
    if operation in _MOVES and len(call.tensors) == 1:
        return _axis_after_move(call, running[0], axis)
    if operation in _PRODUCTS and axis < -1 and len(call.args) > 1 and isinstance(weight := call.args[1], Tensor):
        return {1: axis + 1, 2: axis}.get(weight.dim())
    return None


def _axis_after_sum(call: Call, tensor: Tensor, axis: int) -> int | None:
    (_, *rest), kwargs = arguments(call.spelled, call.args, call.kwargs)
    dim = kwargs.get("dim", rest[0] if rest else None)
    keepdim = kwargs.get("keepdim", rest[1] if len(rest) > 1 else False)
    dims = (dim,) if isinstance(dim, int) else dim
    if not dims or not isinstance(dims, tuple | list):
        return None
    along = {each % tensor.dim() - tensor.dim() for each in dims}
    if axis in along:
        return None
    return axis if keepdim else axis + sum(each > axis for each in along)


def _axis_after_move(call: Call, tensor: Tensor, axis: int) -> int | None:
    """Where an axis lies, from the end, once axes are added or exchanged; None where a key takes a part of it."""
    if call.operation is ops.getitem and not _is_of_new_axes(call.args[1]):
        return None
    marked = torch.empty([2 if place == axis % tensor.dim() else 1 for place in range(tensor.dim())], device="meta")
    shape: list[int] = list(call.func(marked, *call.args[1:], **call.kwargs).shape)
    return shape.index(2) - len(shape)


def _is_of_new_axes(key: object) -> bool:
    """Return True for a key that takes all elements."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(part is None or part is Ellipsis or (isinstance(part, slice) and part == slice(None)) for part in parts)


def _broadcast(tensors: list[Tensor]) -> torch.Size:
    shape: torch.Size = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))  # type: ignore[no-untyped-call]  # torch's
    return shape
