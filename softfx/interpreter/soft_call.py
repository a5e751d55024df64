"""A call made softly: its hard result, the shadow that its rule gives, and the two bound to each other.

Where the rule refuses the operands the call is hard and that is told.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import torch

from softfx import ops
from softfx.decisions.site import Decision
from softfx.interpreter.binding import bind_kept_value, bind_leaves, operand
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext, options_of
from softfx.interpreter.hard_call import hard_call, remember, repeat, run
from softfx.interpreter.hard_values import hard_value, with_hard_operands
from softfx.interpreter.indexed_update import addend
from softfx.interpreter.state import RunState
from softfx.ops.calls import Args, Function, Result
from softfx.ops.spelling import Spelled, arguments
from softfx.ops.trees import map_tensors
from softfx.rules import rule_of
from softfx.rules.refusals import CannotSoften
from softfx.rules.rows import RowRule
from softfx.torch_private import version_of

__all__ = ["FAILURES", "refusal_of", "soft_call"]

# What softening a call can fail with while it is planned, on shapes alone; the site is then blocked with the reason.
FAILURES = (CannotSoften, RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)


def soft_call(state: RunState, call: Call, decision: Decision | None, rows: RowRule | None = None) -> Result:
    """The call with its shadow, or hard where the rule refuses these operands.

    rows: what becomes of rows that a soft mask selects, in the place of the operation's own rule.
    """
    context = _context(state, call, decision)
    make = _written if call.written is not None else _computed
    try:
        result = make(context, call, rows)
    except FAILURES as failure:
        return _refused(context, call, decision, refusal_of(state, call, failure))
    if call.softs:
        state.evidence.took(call.softs, call.name, call.location)
    return result


def refusal_of(state: RunState, call: Call, failure: Exception) -> str:
    """The reason why a soft form cannot be had, as the report gives it.

    A failure that no rule foresaw is a reason while the call is planned, and later at calls where planning met it;
    elsewhere it is raised again, for the call would be hard in silence.
    """
    if not isinstance(failure, CannotSoften):
        if not state.planning and (call.name, call.location) not in state.evidence.refused:
            raise failure
        state.evidence.refused.add((call.name, call.location))
    text = str(failure).strip().splitlines()
    reason = text[0] if text else type(failure).__name__
    return reason if isinstance(failure, CannotSoften) else f"its soft form fails on these operands: {reason}"


def _context(state: RunState, call: Call, decision: Decision | None) -> CallContext:
    """The context that the rule is given beside the operands."""
    exact = decision is None or decision.is_exact
    sites = decision.ids if decision is not None and decision.acts else frozenset[int]()
    for soft in call.softs:
        exact = exact and soft.exact
        sites |= soft.sites
    state.evidence.join(sites)
    if exact and call.operation.stops_gradient:  # no derivative of theirs goes on from here
        state.evidence.detached(sites, call.location)
        sites = frozenset()
    estimate = decision.estimate if decision is not None else None
    return CallContext(state, call.func, options_of(state, decision), exact, sites, None, estimate)


def _refused(context: CallContext, call: Call, decision: Decision | None, reason: str) -> Result:
    """The hard result, where the rule cannot take these operands."""
    state = context.state
    state.evidence.lost(call.discrete_softs, call.name, call.location, reason)
    if decision is not None and decision.acts and not state.evidence.of(decision.id).reached_real:
        state.sites.replace(decision.blocked(reason))
    if call.written is None and context.hard is not None and context.exact:
        return remember(state, call, context.hard, "")
    return hard_call(state, call)


def _computed(context: CallContext, call: Call, rows: RowRule | None) -> Result:
    """A call that writes nothing."""
    state = context.state
    unsoftened = with_hard_operands(state, call)
    keeps_value = call.rule is not None and call.rule.keeps_value and rows is None
    if keeps_value and unsoftened is call and not call.softs and not call.has_real_shadow:
        return bind_kept_value(context, _shadow(context, call, call.args, rows))
    context.hard = run(state, call) if unsoftened is call else repeat(state, unsoftened)
    shadow = _shadow(context, call, call.args, rows)  # an estimator that draws changes the hard result
    return bind_leaves(context, context.hard, shadow)


def _written(context: CallContext, call: Call, rows: RowRule | None) -> Result:
    """An in-place call: computed beside its target, then copied into it, so that aliases see what they saw."""
    state, emit = context.state, context.state.backend.emit
    state.evidence.writes = True
    target, rest = call.args[0], map_tensors(partial(hard_value, state), call.args[1:])
    before = emit(torch.clone, (target,), {})
    state.environment.set(before, state.environment.facts(target))
    scratch = emit(torch.clone, (hard_value(state, target),), {})
    emit(call.func, (scratch, *rest), call.kwargs)
    context.hard = scratch
    args = (before, *call.args[1:])
    if (added := addend(state, call)) is not None:
        args, rows = (before, *added, True), None
        call = replace(call, spelled=Spelled(ops.index_put), rule=rule_of(ops.index_put), kwargs={})
    shadow = _shadow(context, call, args, rows)
    result = bind_leaves(context, context.hard, shadow)
    emit(torch.Tensor.copy_, (target, result), {})
    state.environment.set(target, replace(state.environment.facts(result), version=version_of(target)))
    state.forget(target)
    return target


def _shadow(context: CallContext, call: Call, args: Args, rows: RowRule | None) -> Any:
    """The result of the rule for the operands, soft ones replaced by their shadows."""
    for tensor in call.tensors:
        if tensor.layout is not torch.strided:
            raise CannotSoften("it is of a sparse tensor")
    kwargs = call.kwargs and {key: value for key, value in call.kwargs.items() if key not in ("inplace", "out")}
    if call.softs or call.has_real_shadow or context.state.evidence.writes:  # else operands are what they are
        shadow_of = partial(operand, context)
        args, kwargs = map_tensors(shadow_of, args), kwargs and map_tensors(shadow_of, kwargs)
    if kwargs or call.spelled.reflected:
        args, kwargs = arguments(call.spelled, args, kwargs)
    if rows is not None:
        return rows.propagate(context, call.operation, call.rule, *args, **kwargs)
    function = _function(call)
    if (mismatch := _mismatch(function, len(args), tuple(kwargs))) is not None:
        raise CannotSoften(f"{call.name}: {mismatch}")
    if context.estimate is not None:
        return context.estimate(context, function, *args, **kwargs)
    return function(context, *args, **kwargs)


def _function(call: Call) -> Function:
    """The function of the call's rule that serves its operands."""
    rule = call.rule
    function = None if rule is None else rule.propagate if call.softs else rule.relax
    if function is None:
        raise CannotSoften(f"{call.name} has no rule for {'a soft value' if call.softs else 'these operands'}")
    return function


@lru_cache(maxsize=4096)
def _mismatch(function: Function, count: int, names: tuple[str, ...]) -> str | None:
    """Why a rule's function cannot be called on so many operands and others by these names; None if it can."""
    try:
        inspect.signature(function).bind(*(None for _ in range(count + 1)), **dict.fromkeys(names))
    except TypeError as error:
        return str(error)
    return None
