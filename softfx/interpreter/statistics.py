"""Order statistics of rows: a maximum, a k-th value, a quantile, and comparisons of the same rows with it.

Such a comparison holds for as many entries whatever these are (softfx.runtime.memberships). That the threshold is a
statistic of the rows themselves is remembered by the tensor that holds it, and found again through views of it. To add
an operation that gives statistics along an axis, name it in ORDERS.
"""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from softfx import ops
from softfx.interpreter.call import Call
from softfx.interpreter.records import Moved, Statistic
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.spelling import arguments
from softfx.ops.trees import tensors_in
from softfx.rules import rule_of
from softfx.rules.context import Beside
from softfx.torch_private import base_of

__all__ = ["COMPARISONS", "ORDERS", "beside", "note"]

ORDERS = frozenset(
    (ops.max, ops.min, ops.amax, ops.amin, ops.kthvalue, ops.median, ops.topk, ops.sort, ops.msort, ops.quantile)
)
COMPARISONS = frozenset((ops.eq, ops.ne, ops.gt, ops.ge, ops.lt, ops.le))


def note(state: RunState, call: Call, result: Result) -> None:
    """Remember that the values which a call returns are order statistics of its operand, or where it moved them."""
    if call.written is not None or not call.tensors or not torch.is_grad_enabled():
        return
    if call.operation in ORDERS:
        _note_statistics(state, call, result if isinstance(result, Tensor) else result[0])
    elif call.rule is not None and call.rule.moves and len(call.tensors) == 1 and call.tensors[0] is call.args[0]:
        _note_moved(state, call, result)


def _note_statistics(state: RunState, call: Call, values: Tensor) -> None:
    rule = rule_of(call.operation)
    if rule is None or rule.relax is None:
        return
    args, kwargs = arguments(call.spelled, call.args, call.kwargs)
    bound = inspect.signature(rule.relax).bind(None, *args, **{key: kwargs[key] for key in kwargs if key != "out"})
    bound.apply_defaults()
    input, dim = bound.arguments["input"], bound.arguments.get("dim", 0)
    if isinstance(dim, tuple | list):
        dim = dim[0] if len(dim) == 1 else None
    pairwise = bound.arguments.get("other") is not None or not isinstance(dim, int | None)
    if isinstance(input, Tensor) and input.dim() and not pairwise:
        axis = dim if dim is None else dim % input.dim()
        state.statistics.set(values, Statistic(input, axis, state.writes))


def _note_moved(state: RunState, call: Call, result: Result) -> None:
    (tensor,) = call.tensors
    known, before = state.statistics.get(tensor), state.moved.get(tensor) or Moved(tensor, ())
    arguments = f"{call.operation.name} {call.args[1:]} {call.kwargs}"
    for place, moved in enumerate(tensors_in(result)):
        state.moved.set(moved, Moved(before.source, (*before.calls, f"{arguments} {place}")))
        if known is not None:
            state.statistics.set(moved, known)


def beside(state: RunState, call: Call) -> Beside | None:
    """Whether a call compares rows with a statistic of their own, and along which axis."""
    if call.operation not in COMPARISONS or not state.statistics.entries or len(call.tensors) != 2:
        return None
    first, second = call.tensors
    for rows, threshold in ((first, second), (second, first)):
        own = base_of(threshold)
        known = state.statistics.get(threshold) or (None if own is None else state.statistics.get(own))
        if state.environment.facts(rows).soft is not None:
            continue
        if known is None or known.writes != state.writes or not _is_one_a_row(rows, threshold, known.dim):
            continue
        if rows is known.rows or _view(rows) == _view(known.rows) or _moved(state, rows) == _moved(state, known.rows):
            return Beside(threshold, known.dim, (rows is second) is not call.spelled.reflected)
    return None


def _view(tensor: Tensor) -> tuple[object, ...]:
    """Where a tensor lies in another one, if it is a view."""
    own = base_of(tensor)
    return (id(tensor if own is None else own), tensor.storage_offset(), tensor.shape, tensor.stride())


def _moved(state: RunState, tensor: Tensor) -> tuple[int, tuple[str, ...]]:
    """By which calls a tensor was moved out of another one."""
    source, calls = state.moved.get(tensor) or Moved(tensor, ())
    return id(source), calls


def _is_one_a_row(rows: Tensor, threshold: Tensor, dim: int | None) -> bool:
    """Return True if a threshold is one number for each row along `dim`."""
    if dim is None or rows.dim() == 1:
        return threshold.numel() == 1 and threshold.dim() <= rows.dim()
    wanted = (*rows.shape[:dim], 1, *rows.shape[dim + 1 :])
    return tuple(threshold.shape) == wanted
