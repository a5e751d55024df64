"""The program's own call, on tensors to which softening has given a derivative that they do not have in the original.

torch refuses some calls on tensors that require a gradient: integer results, out=, writes into one of several views
that one call returned, requires_grad_. In the original none of these operands requires one, so that the call is legal;
here it is made in a form that torch takes, with the same values and the same sharing of storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from softfx import ops, torch_private
from softfx.interpreter.call import Call
from softfx.interpreter.overwritten import is_overwritten, kept_operands, kept_results
from softfx.interpreter.state import RunState
from softfx.ops.calls import Args, Kwargs, Result
from softfx.ops.operation import Effect, Operation
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules.refusals import OUTGROWN, is_discrete
from softfx.runtime import storage
from softfx.runtime.elements import has_strides
from softfx.values.histories import is_leaf

__all__ = [
    "MANY_VIEWS",
    "cut_beneath",
    "detached",
    "is_view_of_operand",
    "outgrows_base",
    "overlaps_itself",
    "repeat",
    "run",
    "write_hard",
    "written_out",
]

# Calls that return several views of one tensor: torch takes no write into these where a derivative is recorded.
_SPLITS = (ops.split, ops.chunk, ops.tensor_split, ops.split_with_sizes, ops.hsplit, ops.vsplit)
MANY_VIEWS = frozenset({ops.unbind, *_SPLITS})
_RESIZES = (ops.resize_, ops.resize_as_)
_SETS_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]  # a descriptor


def run(state: RunState, call: Call) -> Result:
    """The result of the program's call, its operands without their derivative where torch insists on it."""
    if call.kwargs and _refuses_out(call):
        return written_out(state, call)
    if call.func == _SETS_DATA:  # which writes no element: the tensor lies elsewhere from now on
        state.evidence.ended(call.facts[-1].gradient_sites, call.name, call.location)
        return state.backend.run(call.func, call.args, call.kwargs)
    if call.written is not None and call.written.requires_grad and _is_refused(state, call):
        return _rewritten(state, call)
    if call.operation in _RESIZES:
        return state.backend.run(call.func, call.args, call.kwargs)
    if call.written is not None and call.kwargs.get("out") is None and torch.is_grad_enabled():
        moves = call.rule is not None and call.rule.moves
        if not moves and outgrows_base(call.written):
            return _written_beyond(state, call)
        softly = call.spelled.in_place and call.written_facts.soft is not None
        if softly and not moves and not is_discrete(call.written) and not overlaps_itself(call.args[0]):
            return _written_beside(state, call)
    if call.operation is ops.requires_grad_ and _is_softened(call):
        return call.args[0]
    arguments = _without_refused_gradients(state, call)
    overwritten = is_overwritten(state, call)
    if overwritten and call.written is not None:
        return _written_beside(state, call)
    if overwritten:
        arguments = kept_operands(state, call.operation, arguments)
    result = (state.backend.emit if call.altered else state.backend.run)(call.func, *arguments)
    if overwritten:
        result = kept_results(state, call, result)
    if call.operation in MANY_VIEWS and (state.evidence.writes or _may_be_written(state, call)):
        return _one_by_one(state, call, result)
    return result


def _may_be_written(state: RunState, call: Call) -> bool:
    """Return True if results have a derivative of softening's making, and later writes are not known."""
    return not state.backend.knows_writes and bool(call.softs or call.carried_sites)


def repeat(state: RunState, call: Call) -> Result:
    """The result of another call than the program's, of the same shapes."""
    arguments = _without_refused_gradients(state, call)
    if is_overwritten(state, call):
        arguments = kept_operands(state, call.operation, arguments)
    return state.backend.repeat(call.func, *arguments)


def _without_refused_gradients(state: RunState, call: Call) -> tuple[Args, Kwargs]:
    arguments = call.args, call.kwargs
    return detached(state, arguments) if _is_refused(state, call) else arguments


def _is_refused(state: RunState, call: Call) -> bool:
    """Return True for a call that torch refuses for a derivative which softening has given its operands."""
    if not call.refuses_gradients:
        return False
    if call.blockage is not None and not state.sites.acts:  # the program's own error, if it differentiates this
        return False
    return not state.tracks_gradients or any(facts.gradient_sites or facts.soft is not None for facts in call.facts)


def _rewritten(state: RunState, call: Call) -> Tensor:
    """A write that torch refuses to make on a tensor with a derivative: made on what it holds, and copied over that."""
    target: Tensor = call.args[0]
    args, kwargs = detached(state, (call.args, call.kwargs))
    if call.operation in _RESIZES:
        state.backend.run(call.func, args, kwargs)
        _take(target, args[0])
        return target
    scratch: Tensor = state.backend.emit(torch.clone, (args[0],), {})
    state.backend.run(call.func, (scratch, *args[1:]), kwargs)
    state.backend.emit(torch.Tensor.copy_, (target, scratch), {})
    return target


def _take(target: Tensor, written: Tensor) -> None:
    """Give a tensor the shape that an alias of it has got, if that is another one."""
    if written.shape != target.shape:
        if torch_private.base_of(target) is None:
            target.detach_()  # the derivative of what it was has another shape, too
        target.data = written


def detached(state: RunState, arguments: tuple[Args, Kwargs]) -> tuple[Args, Kwargs]:
    """Arguments whose tensors are without their derivative."""
    args, kwargs = map_tensors(lambda tensor: state.backend.emit(torch.detach, (tensor,), {}), arguments)
    return args, kwargs


# -- out= --------------------------------------------------------------------------------------------------------------


def _refuses_out(call: Call) -> bool:
    """Return True for a call with out= that may concern a derivative, which torch does not record there."""
    return call.kwargs.get("out") is not None and torch.is_grad_enabled() and call.depends_on_source


def written_out(state: RunState, call: Call) -> Result:
    """A call with out=: made as it is on what has no derivative, and once more for the derivative of real results."""
    emit = state.backend.emit
    out = write_hard(state, call, detached(state, (call.args, {**call.kwargs, "out": None})))
    state.evidence.writes = True
    if not (call.operation.effect & (Effect.DRAWS | Effect.MAY_DRAW)):
        real = emit(call.func, call.args, {key: value for key, value in call.kwargs.items() if key != "out"})
        for target, result in zip(tensors_in(out), tensors_in(real), strict=True):
            if outgrows_base(target):
                cut_beneath(state, call, target)
            elif not is_discrete(target) and not is_discrete(result):
                emit(torch.Tensor.copy_, (target, result), {})
    return out


def write_hard(state: RunState, call: Call, arguments: tuple[Args, Kwargs]) -> Result:
    """Make a call with out= on these arguments, which have no derivative; the tensors that it has written."""
    args, kwargs = arguments
    aliased = False

    def without_derivative(target: Tensor) -> Tensor:
        # A tensor that was written before may have a derivative; one that is resized must not be an alias.
        nonlocal aliased
        written = target.requires_grad or state.environment.facts(target).depends_on_source
        if is_discrete(target) or not written:
            return target
        aliased = True
        alias: Tensor = state.backend.emit(torch.detach, (target,), {})
        return alias

    out = map_tensors(without_derivative, call.kwargs["out"])
    result = state.backend.run(call.func, args, {**kwargs, "out": out})
    for target, written in zip(tensors_in(call.kwargs["out"]), tensors_in(out), strict=True):
        _take(target, written)  # torch gives what is written by out= the shape of the result
    return call.kwargs["out"] if aliased else result


def _written_beside(state: RunState, call: Call) -> Result:
    """A write made on copies and copied over: the backward pass may keep these, and the program write once more."""
    copies: dict[int, Tensor] = {}

    def copied(tensor: Tensor) -> Tensor:
        if id(tensor) not in copies:
            copies[id(tensor)] = state.backend.emit(torch.clone, (tensor,), {})
        return copies[id(tensor)]

    rest, kwargs = map_tensors(copied, (call.args[1:], call.kwargs))
    target: Tensor = call.args[0]
    if overlaps_itself(target) and call.operation is not ops.setitem:  # which torch lets a few calls write, and no copy
        state.backend.emit(call.func, (target, *rest), kwargs)
        return target
    scratch: Tensor = state.backend.emit(torch.clone, (target,), {})
    state.backend.emit(call.func, (scratch, *rest), kwargs)
    if overlaps_itself(target) and call.operation is ops.setitem:  # torch takes a write into a part alone
        if _writes_what_is_there(call):
            return state.backend.run(call.func, *detached(state, (call.args, {})))  # torch takes it, and writes nothing
        part = state.backend.emit(torch.Tensor.__getitem__, (scratch, rest[0]), {})
        state.backend.emit(torch.Tensor.__setitem__, (target, rest[0], part), {})
    else:
        state.backend.emit(torch.Tensor.copy_, (target, scratch), {})
    return None if call.operation is ops.setitem else target


def _writes_what_is_there(call: Call) -> bool:
    """Return True for an assignment of a part of a tensor to itself, as `x[0] += y` makes one at its end."""
    target, key, value = call.args
    if tensors_in(key) or not isinstance(value, Tensor):
        return False
    if torch_private.storage_key(value) != torch_private.storage_key(target):
        return False
    return storage.geometry_of(target.detach()[key]) == storage.geometry_of(value)


def is_view_of_operand(state: RunState, call: Call, result: Result) -> bool:
    """Return True if a tensor of a call's result lies in the memory of an operand, as that of as_strided does."""
    lying = {torch_private.storage_key(tensor) for tensor in tensors_in(state.backend.lying(result))} - {None}
    return any(torch_private.storage_key(tensor) in lying for tensor in call.tensors)


def overlaps_itself(tensor: Tensor) -> bool:
    """Return True for a tensor that was expanded, so that its elements share memory."""
    if not has_strides(tensor):
        return False
    return any(stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


# -- views that out= has made larger than what they are views of -------------------------------------------------------


def outgrows_base(tensor: Tensor) -> bool:
    """Return True for a view that reaches beyond its base, where autograd would write a derivative into no memory."""
    base = torch_private.base_of(tensor)
    if base is None or is_discrete(tensor) or not torch.is_grad_enabled() or torch_private.storage_key(tensor) is None:
        return False
    (first, last), (begin, end) = (storage.span(storage.geometry_of(one)) for one in (tensor, base))
    size, unit = tensor.element_size(), base.element_size()  # those of a complex number and of its parts differ
    return first <= last and not (begin * unit <= first * size and (last + 1) * size <= (end + 1) * unit)


def cut_beneath(state: RunState, call: Call, view: Tensor) -> None:
    """End what is carried where a call has written such a view; what is left of the base keeps its derivative."""
    base = torch_private.base_of(view)
    state.evidence.lost(call.softs, call.name, call.location, OUTGROWN)
    state.evidence.ended(call.carried_sites, call.name, call.location)
    if base is not None and base.requires_grad:
        emit, place = state.backend.emit, storage.geometry_of(base)
        hard = emit(torch.detach, (base,), {})
        kept = emit(storage.overwritten, (base, hard, place, storage.geometry_of(view)), {})
        emit(torch.Tensor.copy_, (base, kept), {})


def _written_beyond(state: RunState, call: Call) -> Result:
    """A write to such a view, made without derivatives on its memory."""
    target: Tensor = call.args[0]
    args, kwargs = detached(state, (call.args, call.kwargs))
    state.backend.run(call.func, args, kwargs)
    cut_beneath(state, call, target)
    return None if call.operation is ops.setitem else target


# -- several views of one tensor ---------------------------------------------------------------------------------------


def _one_by_one(state: RunState, call: Call, views: Sequence[Tensor]) -> Result:
    """The same views, each made by a call of its own, so that they can be written."""
    source = call.tensors[0]
    if is_discrete(source) or not torch.is_grad_enabled():
        return views
    dim, start, made = _axis(call.operation, call, source), 0, []
    for number, view in enumerate(views):
        if call.operation is ops.unbind:
            made.append(state.backend.emit(torch.select, (source, dim, number), {}))
            continue
        made.append(state.backend.emit(torch.narrow, (source, dim, start, view.shape[dim]), {}))
        start += view.shape[dim]
    return tuple(made)


def _axis(operation: Operation, call: Call, source: Tensor) -> int:
    """The axis along which a call takes its operand apart."""
    if operation is ops.vsplit:
        return 0
    if operation is ops.hsplit:
        return min(1, source.dim() - 1)
    place = 1 if operation is ops.unbind else 2
    axis: Any = call.args[place] if len(call.args) > place else call.kwargs.get("dim", 0)
    return int(axis)


# -- requires_grad_ ----------------------------------------------------------------------------------------------------


def _is_softened(call: Call) -> bool:
    """Return True if it is softening that has made the operand of requires_grad_(False) no leaf."""
    wanted = next(iter((*call.args[1:], *call.kwargs.values())), True)
    tensor = call.tensors[0]
    return not wanted and (is_discrete(tensor) or not is_leaf(tensor))
