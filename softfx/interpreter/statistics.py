"""Order statistics: maxima, k-th values, running and pooled maxima, and comparisons of the same numbers with them.

How such a comparison comes out is decided by all numbers of a row, or of a window (softfx.runtime.memberships and
windows), and not by each one's distance to a threshold. That the threshold is a statistic of the numbers themselves is
remembered by the tensor that holds it, and found again through views of it. To add an operation that gives statistics
along an axis, name it in ORDERS; one of another kind gets a class like `OfRows` and an entry in KINDS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from softfx import ops
from softfx.interpreter.call import Call
from softfx.interpreter.operands import operands_of
from softfx.interpreter.records import Along, Moved, Statistic, Steps
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.operation import Operation
from softfx.ops.trees import ATOMS, tensors_in
from softfx.rules import spread
from softfx.rules.context import Beside
from softfx.runtime.memberships import beside_statistic
from softfx.runtime.windows import beside_extremum, beside_neighbours, beside_prefix
from softfx.torch_private import base_of, storage_key

__all__ = ["COMPARISONS", "KINDS", "beside", "note"]

ORDERS = frozenset(
    (ops.max, ops.min, ops.amax, ops.amin, ops.kthvalue, ops.median, ops.topk, ops.sort, ops.msort, ops.quantile)
)
COMPARISONS = frozenset((ops.eq, ops.ne, ops.gt, ops.ge, ops.lt, ops.le))


# -- what a statistic is taken along -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class OfRows:
    """One number for each row along `dim`; for all entries where it is None."""

    dim: int | None
    form: ClassVar[Callable[..., Tensor]] = staticmethod(beside_statistic)
    idiom: ClassVar[str] = "order statistic: numbers compared with one of their own"

    def where(self, taken_of: Tensor, rows: Tensor, threshold: Tensor) -> tuple[object, ...] | None:
        return (self.dim,) if self.fits(taken_of, rows, threshold) else None

    def fits(self, taken_of: Tensor, rows: Tensor, threshold: Tensor) -> bool:
        """Return True if a threshold is one number for each of these rows."""
        if self.dim is None or rows.dim() == 1:
            fits = threshold.numel() == 1 and threshold.dim() <= rows.dim()
        else:
            fits = threshold.shape == (*rows.shape[: self.dim], 1, *rows.shape[self.dim + 1 :])
        return fits and taken_of.shape == rows.shape

    @staticmethod
    def made(operation: Operation, given: Mapping[str, Any]) -> OfRows | None:
        input, dim = given["input"], given.get("dim", 0)
        if isinstance(dim, tuple | list):
            dim = dim[0] if len(dim) == 1 else None
        if given.get("other") is not None or not isinstance(dim, int | None):  # of two tensors
            return None
        axis = dim if dim is None else dim % input.dim()
        largest = _EXTREMA.get(operation)
        return OfRows(axis) if largest is None else ExtremumOfRows(axis, largest)


@dataclass(frozen=True)
class ExtremumOfRows(OfRows):
    """The largest, or smallest, of each row."""

    largest: bool
    form: ClassVar[Callable[..., Tensor]] = staticmethod(beside_extremum)
    idiom: ClassVar[str] = "extreme: numbers compared with the largest or smallest of their own"

    def where(self, taken_of: Tensor, rows: Tensor, threshold: Tensor) -> tuple[object, ...] | None:
        return (self.dim, self.largest) if self.fits(taken_of, rows, threshold) else None


@dataclass(frozen=True)
class OfPrefixes:
    """One number for each entry: the largest, or smallest, up to it."""

    dim: int
    largest: bool
    form: ClassVar[Callable[..., Tensor]] = staticmethod(beside_prefix)
    idiom: ClassVar[str] = "running extreme: numbers compared with those before them"

    def where(self, taken_of: Tensor, rows: Tensor, threshold: Tensor) -> tuple[object, ...] | None:
        return (self.dim, self.largest) if taken_of.shape == rows.shape == threshold.shape else None

    @staticmethod
    def made(operation: Operation, given: Mapping[str, Any]) -> OfPrefixes:
        return OfPrefixes(given["dim"] % given["input"].dim(), operation is ops.cummax)


@dataclass(frozen=True)
class OfNeighbours:
    """One number for each entry: the largest of a window around it, whose sizes are along the last axes."""

    sizes: tuple[int, ...]
    dim: ClassVar[int | None] = None
    form: ClassVar[Callable[..., Tensor]] = staticmethod(beside_neighbours)
    idiom: ClassVar[str] = "local extreme: numbers compared with their neighbours"

    def where(self, taken_of: Tensor, rows: Tensor, threshold: Tensor) -> tuple[object, ...] | None:
        if threshold.shape != rows.shape:
            return None
        longer = [axis for axis, length in enumerate(rows.shape) if length > 1]
        first = taken_of.dim() - len(self.sizes)
        reaches, place = [], 0
        for axis, length in enumerate(taken_of.shape):
            if length > 1 and axis >= first:
                reaches.append((longer[place], self.sizes[axis - first]))
            place += length > 1
        return (reaches,)

    @staticmethod
    def made(operation: Operation, given: Mapping[str, Any]) -> OfNeighbours | None:
        axes = _POOLED[operation]
        sizes, strides, paddings, dilations = (
            _each(given[name], axes) for name in ("kernel_size", "stride", "padding", "dilation")
        )
        middle = tuple((size - 1) / 2 for size in sizes)
        return OfNeighbours(sizes) if paddings == middle and strides == dilations == (1,) * axes else None


def _each(value: Any, axes: int) -> tuple[int, ...]:
    """One number for each axis; no stride at all stands for one that leaves no window around each entry."""
    numbers = tuple(value) if isinstance(value, list | tuple) else (0 if value is None else value,)
    return numbers * axes if len(numbers) == 1 else numbers


_EXTREMA = {ops.max: True, ops.amax: True, ops.min: False, ops.amin: False}
_POOLED = {ops.max_pool1d: 1, ops.max_pool2d: 2, ops.max_pool3d: 3}
KINDS: dict[Operation, Callable[[Operation, Mapping[str, Any]], Along | None]] = {
    **dict.fromkeys(ORDERS, OfRows.made),
    **dict.fromkeys((ops.cummax, ops.cummin), OfPrefixes.made),
    **dict.fromkeys(_POOLED, OfNeighbours.made),
}


# -- what is remembered ------------------------------------------------------------------------------------------------


def note(state: RunState, call: Call, result: Result) -> None:
    """Remember that the values which a call returns are order statistics of its operand, or where it moved them."""
    if call.written is not None or not call.tensors or not torch.is_grad_enabled():
        return
    if call.operation in KINDS:
        _note_statistics(state, call, result if isinstance(result, Tensor) else result[0])
    elif call.softs:  # they are compared by their shadows
        return
    elif call.rule is not None and call.rule.moves and [*map(id, call.tensors)] == [*map(id, call.args[:1])]:
        _note_moved(state, call, result)


def _note_statistics(state: RunState, call: Call, values: Tensor) -> None:
    named = operands_of(call)
    if named is None:
        return
    input = named["input"]
    if isinstance(input, Tensor) and input.dim():
        along = KINDS[call.operation](call.operation, named)
        if along is not None:
            own = base_of(values)  # of max_pool1d torch returns a view of what max_pool2d gives
            for held in (values, *(() if own is None else (own,))):
                state.statistics.set(held, Statistic(input, _steps(values), along, state.writes.count))


def _note_moved(state: RunState, call: Call, result: Result) -> None:
    (tensor,) = call.tensors
    known, before = state.statistics.get(tensor), state.moved.get(tensor) or Moved(tensor, ())
    rest: object = call.args[1:]
    if call.kwargs or not ATOMS.issuperset(map(type, call.args[1:])):
        rest = f"{rest} {call.kwargs}"  # as they are now: a program may write its lists
    for place, moved in enumerate(tensors_in(result)):
        state.moved.set(moved, Moved(before.source, (*before.calls, (call.operation.name, rest, place))))
        if known is not None and _is_view_of(moved, tensor):  # what is rolled is another entry's
            state.statistics.set(moved, known)


def searches_own_order(state: RunState, call: Call) -> bool:
    """Return True for a search of numbers in their own sorted order, which gives their ranks."""
    named = operands_of(call) if call.operation in (ops.searchsorted, ops.bucketize) else None
    if named is None:
        return False
    numbers, order = named["input"], named.get("sorted_sequence", named.get("boundaries"))
    known = state.statistics.get(order) if isinstance(order, Tensor) else None
    if known is None or known.writes != state.writes.count or not isinstance(numbers, Tensor):
        return False
    assert isinstance(order, Tensor)  # a statistic is one
    return _lies(known.rows) == _lies(numbers) and known.rows.shape == order.shape == numbers.shape


def beside(state: RunState, call: Call) -> Beside | None:
    """Whether a call compares numbers with a statistic of their own, and along what that was taken."""
    if call.operation not in COMPARISONS or not state.statistics.entries or len(call.tensors) != 2:
        return None
    first, second = call.tensors
    for rows, threshold in ((first, second), (second, first)):
        own = base_of(threshold)
        known = state.statistics.get(threshold) or (None if own is None else state.statistics.get(own))
        facts = state.environment.facts(rows)
        if known is None or known.writes != state.writes.count or facts.soft is not None or facts.detached_at:
            continue
        if _lies(rows) != _lies(known.rows) and _moved(state, rows) != _moved(state, known.rows):
            continue
        where = known.along.where(known.rows, rows, threshold)
        if where is not None and _is_in_order(_steps(threshold), known.steps):
            reflected = (rows is second) is not call.spelled.reflected
            measure = partial(spread.of_rows, rows, known.along.dim, "the numbers compared")
            return Beside(threshold, known.along.form, where, rows, reflected, measure, known.along.idiom)
    return None


def _lies(tensor: Tensor) -> tuple[object, ...]:
    """Where a tensor lies in which memory, as which numbers, whatever axes of one entry it has."""
    own, key = base_of(tensor), storage_key(tensor)
    memory = id(tensor if own is None else own) if key is None else key
    return memory, tensor.dtype, tensor.storage_offset(), _steps(tensor)


def _is_view_of(moved: Tensor, tensor: Tensor) -> bool:
    key, own = storage_key(tensor), base_of(moved)
    if key is not None:
        return storage_key(moved) == key
    return own is not None and (own is tensor or own is base_of(tensor))  # inside a transform


def _steps(tensor: Tensor) -> Steps:
    return tuple(step for step in zip(tensor.shape, tensor.stride(), strict=True) if step[0] != 1)


def _is_in_order(part: Steps, whole: Steps) -> bool:
    """Return True if a view has axes of a tensor in their order, each whole: it is not transposed or thinned."""
    axes = iter(whole)
    return all(step in axes for step in part)


def _moved(state: RunState, tensor: Tensor) -> tuple[int, tuple[object, ...]]:
    """By which calls a tensor was moved out of another one."""
    source, calls = state.moved.get(tensor) or Moved(tensor, ())
    return id(source), calls
