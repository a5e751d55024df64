"""Numbers that a program makes of one decision, element by element: (index - place).abs(), torch.exp(-0.7 * index).

An integer that was decided about has a distribution, and so has what is made of it element by element: the same calls
on each number that it may be. The derivative of what bends is that of the mean over these numbers; at the hard number
alone it would be another one, and none where |index - place| is 0. Calls that are linear in the integer have the mean's
derivative as they are: they are remembered, and made on the numbers where a call that bends asks for them.

Planning notes the calls that matter, and only these are remembered afterwards. To add a loss of elements and targets,
name it in LOSSES.
"""

from __future__ import annotations

import math
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx import ops
from softfx.decisions.site import Decision
from softfx.interpreter import measuring
from softfx.interpreter.binding import bind, real_operand
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext, is_integral
from softfx.interpreter.native import run
from softfx.interpreter.records import Pointwise
from softfx.interpreter.soft_call import FAILURES, context_of, refusal_of
from softfx.interpreter.state import RunState
from softfx.ops import integrality
from softfx.ops.calls import Args, Function, Kwargs, Result, signature_of
from softfx.ops.operation import Integral, Linear, Rows
from softfx.ops.spelling import INDEX, arguments
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules.idioms import MADE_OF_CHOICE
from softfx.rules.readings import as_indices
from softfx.rules.refusals import is_discrete
from softfx.runtime import distributions, guards, points
from softfx.values import Soft, SoftBool, SoftIndex, SoftSign

__all__ = ["LOSSES", "decided", "is_mild", "made", "note"]

LOSSES = {loss.name: loss for loss in (ops.mse_loss, ops.l1_loss, ops.smooth_l1_loss, ops.huber_loss)}
"""Losses of elements and targets, which are averaged or summed over them unless reduction = "none"."""

# As many numbers as indices of two numbers may be joined into (softfx.rules.arithmetic).
_MOST_NUMBERS = 1 << 24
# What torch's own functions of losses are told behind the reduction.
_ARGUMENTS = ("input", "target", "reduction")
_WIDTHS = {ops.smooth_l1_loss.name: "beta", ops.huber_loss.name: "delta"}
_REDUCED: dict[object, Function] = {ops.mean.name: torch.mean, 1: torch.mean, ops.sum.name: torch.sum, 2: torch.sum}
_SELECTIONS = (ops.where, ops.masked_fill)  # between numbers: linear in each of their operands
_ROOTS = (SoftIndex, SoftBool, SoftSign)
_FAMILIES = ("kink", "unsafe", "selection")


# -- what is remembered ------------------------------------------------------------------------------------------------


def note(state: RunState, call: Call, result: Result) -> None:
    """Remember that a call has made its results of one decision, element by element, or has moved such numbers."""
    if (not state.planning and not state.evidence.pointwise) or call.all_written or not torch.is_grad_enabled():
        return
    if call.rule is not None and call.rule.moves and not call.operation.converts:
        _note_moved(state, call, result)
        return
    root = _root(state, call)
    if root is None or not _is_elementwise(call) or not _is_known(state, call):
        return
    is_alone = _is_alone(state, call, root)
    if call.operation in _SELECTIONS and not is_alone:
        return  # what a program did not select may be beyond where later calls are fit for it: 1 / where(x > 0, x, 1)
    if isinstance(result, Tensor) and result.is_floating_point():
        known = Pointwise(root, call.func, call.args, call.kwargs, _origins(state, call), state.writes.count, is_alone)
        state.points.set(result, known)


def _note_moved(state: RunState, call: Call, result: Result) -> None:
    """Moved numbers are those of a decision that is moved in the same way."""
    joins = call.operation in (ops.cat, ops.stack)
    known = [_known(state, tensor) for tensor in call.tensors]
    if not any(known) and not (joins and any(isinstance(soft, _ROOTS) for soft in call.softs)):
        return
    if not joins and call.discrete_softs:
        return  # where they move to is decided, too: x[mask], x[index]
    results = tensors_in(result)
    if not _is_known(state, call) or not all(moved.is_floating_point() for moved in results):
        return
    roots = [found.root if found is not None else facts.soft for found, facts in zip(known, call.facts, strict=True)]
    own = [root for root in roots if isinstance(root, _ROOTS)]
    if not all(root.exact and state.sites.scope(root.sites) == "region" for root in own):
        return
    context = context_of(state, call, roots=frozenset[int]().union(*(root.sites for root in own)))
    context.hard = result
    args, kwargs = map_tensors(partial(_as_index, state, context), (call.args, call.kwargs))
    moved = _joined(context, call, args, kwargs) if joins else _moved(context, call, args, kwargs)
    is_alone = all(found is None or found.is_alone for found in known)
    for tensor, index in zip(results, moved, strict=True):
        if isinstance(index, Soft):  # a part that was moved may have nothing to do with the decision
            state.points.set(
                tensor, Pointwise(index, None, (), {}, _origins(state, call), state.writes.count, is_alone)
            )


def _as_index(state: RunState, context: CallContext, tensor: Tensor) -> Tensor | SoftIndex:
    """A number that was made of a decision, as weights over what it may be; any other as it is."""
    known = _known(state, tensor)
    root = state.environment.facts(tensor).soft if known is None else known.root
    if not isinstance(root, _ROOTS):
        return tensor
    weights, _ = root.finite(context.call)
    numbers = _numbers_of(state, context, root, tensor)
    shape = (*tensor.shape, weights.shape[-1])
    wide = weights if weights.shape == shape else context.call(Tensor.expand, weights, shape)
    return context.soft_index(wide, numbers)


def _moved(context: CallContext, call: Call, args: Args, kwargs: Kwargs) -> list[SoftIndex]:
    assert call.rule is not None and call.rule.propagate is not None  # it moves elements
    args, kwargs = arguments(call.spelled, args, kwargs)
    moved: Any = call.rule.propagate(context, *args, **kwargs)
    return list(moved) if isinstance(moved, tuple | list) else [moved]


def _joined(context: CallContext, call: Call, args: Args, kwargs: Kwargs) -> list[SoftIndex]:
    (tensors, *rest), kwargs = arguments(call.spelled, args, kwargs)
    dim: int = next(iter((*rest, *kwargs.values())), 0)
    weights, numbers = as_indices(context, list(tensors))
    axis = dim if dim >= 0 else dim - 1
    func = call.operation.function
    assert numbers is not None  # each has numbers of its own
    return [context.soft_index(context.call(func, weights, axis), context.call(func, numbers, axis))]


def _root(state: RunState, call: Call) -> Soft | None:
    """The one decision that the operands of a call are made of, element by element; None if there is none, or two."""
    root: Soft | None = None
    for tensor, facts in zip(call.tensors, call.facts, strict=True):
        found = _known(state, tensor)
        own = facts.soft if found is None else found.root
        if not isinstance(own, _ROOTS):
            continue
        if root is not None and own.tensor is not root.tensor:
            return None
        root = own
    return root if root is not None and root.exact and state.sites.scope(root.sites) == "region" else None


def _known(state: RunState, tensor: Tensor) -> Pointwise | None:
    known = state.points.get(tensor)
    return known if known is not None and known.writes == state.writes.count else None


def _is_alone(state: RunState, call: Call, root: Soft) -> bool:
    """Return True if nothing else that has a derivative is among the operands, nor among what they are made of."""
    return all(
        (known is None or known.is_alone) if _is_of(state, tensor, root) else not facts.depends_on_source
        for tensor, facts in zip(call.tensors, call.facts, strict=True)
        for known in (_known(state, tensor),)
    )


def _is_known(state: RunState, call: Call) -> bool:
    """Return True for a call that planning has met here, or meets."""
    return state.planning or (call.name, call.location) in state.evidence.pointwise


def _origins(state: RunState, call: Call) -> frozenset[tuple[str, Any]]:
    known = [_known(state, tensor) for tensor in call.tensors]
    before = (found.origins for found in known if found is not None)
    return frozenset({(call.name, call.location)}).union(*before)


def _is_elementwise(call: Call) -> bool:
    each = call.operation.rows is Rows.EACH and call.operation.repeatable
    return each and not (call.rule is not None and call.rule.family == "discrete")


def _bends(state: RunState, call: Call, root: Soft) -> bool:
    """Return True if a call is not linear in what is made of the decision."""
    if call.operation.name in LOSSES:
        return True
    if not _is_elementwise(call) or call.operation.converts:
        return False
    linear = call.operation.linear
    of_root = [_is_of(state, tensor, root) for tensor in call.tensors]
    if linear is Linear.EACH or call.operation in _SELECTIONS:
        return sum(of_root) > 1
    if linear is Linear.FIRST:
        divisor = call.args[0] if call.spelled.reflected else call.args[-1]
        return isinstance(divisor, Tensor) and _is_of(state, divisor, root)
    return linear is Linear.NO and not (call.rule is not None and call.rule.moves)


def _is_too_large(call: Call, root: Soft) -> bool:
    """Return True if a call on each number that the decision may be would take too much memory."""
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in call.tensors))  # type: ignore[no-untyped-call]  # torch's
    return bool(math.prod(shape) * root.size > _MOST_NUMBERS)


def is_mild(call: Call) -> bool:
    """Return True for corners, squares and losses, which may be taken of whatever a mask leaves out.

    exp(mask * x) may not: where the mask keeps large numbers out, that is what it is for.
    """
    if call.operation is ops.pow:
        exponent = call.args[-1]
        return isinstance(exponent, int | float) and exponent == 2 and not call.spelled.reflected
    kink = call.rule is not None and call.rule.family == "kink"
    return kink or call.operation in (ops.square, ops.mul) or call.operation.name in LOSSES


def _is_of(state: RunState, tensor: Tensor, root: Soft) -> bool:
    known = _known(state, tensor)
    own = state.environment.facts(tensor).soft if known is None else known.root
    return own is not None and own.tensor is root.tensor


# -- a call that bends -------------------------------------------------------------------------------------------------


def made(state: RunState, call: Call) -> Result | None:
    """A call with the derivative of its mean over the numbers that a decision may be; None where that is not asked."""
    if not (state.planning or state.evidence.pointwise) or not torch.is_grad_enabled():
        return None
    if call.all_written or call.has_hard or call.kwargs.get("inplace") or call.detached_at:
        return None
    if call.rule is not None and call.rule.family not in _FAMILIES:
        return None
    if call.operation.integral is Integral.OF_INTEGRAL_OPERANDS and not any(map(torch.is_floating_point, call.tensors)):
        return None
    root = _root(state, call)
    if root is None or not _bends(state, call, root) or not _is_known(state, call):
        return None
    if not (is_mild(call) or _is_alone(state, call, root)) or _is_too_large(call, root):
        return None
    context = context_of(state, call, roots=root.sites)
    try:
        return _made(state, context, call, root)
    except FAILURES as failure:
        refusal_of(state, call, failure)
        return None


def _made(state: RunState, context: CallContext, call: Call, root: Soft) -> Result | None:
    form = _form(call)
    hard = None if form is None else run(state, call)
    if form is None or not isinstance(hard, Tensor) or not hard.is_floating_point():
        return None
    own = hard if form.reduced is None else context.call(form.func, *form.args, **form.kwargs)
    context.hard = hard
    weights, _ = root.finite(context.call)
    numbers = _on_numbers(state, context, root, form.func, form.args, form.kwargs)
    state.evidence.pointwise |= _origins(state, call)
    state.evidence.took([root], call.name, call.location)
    if _is_whole(state, call):
        wide = context.call(Tensor.expand, weights, (*hard.shape, weights.shape[-1]))
        return bind(context, hard, context.soft_index(wide, context.call(Tensor.to, numbers, torch.int64)))
    mean = context.call(points.mean, weights, numbers, own)
    return bind(context, hard, mean if form.reduced is None else context.call(form.reduced, mean))


def decided(state: RunState, call: Call, decision: Decision) -> Result | None:
    """What a call decides about numbers that are made of one decision alone: it is not relaxed a second time."""
    if not (state.planning or state.evidence.pointwise) or call.rule is None or call.rule.family != "discrete":
        return None
    if not torch.is_grad_enabled() or call.all_written or call.has_hard or decision.action != "straight_through":
        return None
    root = _root(state, call) if any(_known(state, tensor) for tensor in call.tensors) else None
    if root is None or call.operation.rows is not Rows.EACH or call.operation.converts:
        return None
    if not _is_known(state, call) or not _is_alone(state, call, root) or decision.estimate is not None:
        return None
    if _is_too_large(call, root):
        return None
    if decision.relative is not None:
        decision = measuring.for_call(state, call, decision)  # for the report: there is nothing left to soften
    context = context_of(state, call, decision, root.sites)
    hard = run(state, call)
    weights, _ = root.finite(context.call)
    assert isinstance(hard, Tensor)  # an elementwise operation gives one
    context.hard = hard
    if isinstance(root, SoftIndex):
        context.recognise(MADE_OF_CHOICE)
    numbers = _on_numbers(state, context, root, call.func, call.args, call.kwargs)
    wide = context.call(Tensor.expand, weights, (*hard.shape, weights.shape[-1]))
    state.evidence.pointwise |= _origins(state, call)
    state.evidence.took([root], call.name, call.location)
    if hard.dtype is torch.bool:
        return bind(context, hard, context.soft_bool(context.call(distributions.weighted, wide, numbers)))
    return bind(context, hard, context.soft_index(wide, context.call(Tensor.to, numbers, torch.int64)))


class _Form(NamedTuple):
    """A call of elements alone, and how its results are reduced; None if they are not."""

    func: Function
    args: Args
    kwargs: Kwargs
    reduced: Function | None = None


def _form(call: Call) -> _Form | None:
    """A call as one of elements; None for a loss that asks for its average in an older way, or weighs its elements."""
    loss = LOSSES.get(call.operation.name)
    if loss is None:
        return _Form(call.func, call.args, call.kwargs)
    if isinstance(call.func, FunctionType):
        given = dict(signature_of(call.func).bind(*call.args, **call.kwargs).arguments)
    else:  # torch's own, which are told their width behind the reduction
        names = (*_ARGUMENTS, *filter(None, [_WIDTHS.get(loss.name)]))
        given = dict(zip(names, call.args, strict=False)) | call.kwargs
    input, target, reduction = given.pop("input"), given.pop("target"), given.pop("reduction", ops.mean.name)
    if any(given.get(name) is not None for name in ("size_average", "reduce", "weight")):
        return None
    return _Form(points.losses, (loss.function, input, target), given, _REDUCED.get(reduction))


def _is_whole(state: RunState, call: Call) -> bool:
    """Return True if results hold whole numbers, whatever the decision is."""
    return call.operation.integral is Integral.OF_INTEGRAL_OPERANDS and integrality.is_integral(
        call.operation, call.args, call.kwargs, [is_integral(state, tensor) for tensor in call.tensors]
    )


def _on_numbers(state: RunState, context: CallContext, root: Soft, func: Any, args: Any, kwargs: Any) -> Tensor:
    """What a call makes of each number that a decision may be.  # broadcastable to (..., [n])"""

    def along(tensor: Tensor) -> Tensor:
        if _is_of(state, tensor, root):
            return _numbers_of(state, context, root, tensor)
        other = real_operand(context, tensor)
        if context.is_source(tensor) and not is_discrete(tensor):
            other = context.call(guards.passing_finite, other)
        return context.call(Tensor.unsqueeze, other, -1) if other.dim() else other

    wide, named = map_tensors(along, (args, kwargs))
    spelled = INDEX.of(func)
    result: Tensor = context.call(points.clamp if spelled.operation is ops.clamp else func, *wide, **named)
    return result


def _numbers_of(state: RunState, context: CallContext, root: Soft, tensor: Tensor) -> Tensor:
    """What a tensor is for each number that the decision may be of which it was made."""
    known = _known(state, tensor)
    if known is not None and known.func is not None:
        return _on_numbers(state, context, root, known.func, known.args, known.kwargs)
    support: Tensor = root.finite(context.call)[1]
    return support if tensor.dtype == support.dtype else context.call(Tensor.to, support, tensor.dtype)
