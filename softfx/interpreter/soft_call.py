"""A call made softly: its hard result, the shadow that its rule gives, and the two bound to each other.

Where the rule refuses the operands the call is hard and that is told.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from functools import lru_cache, partial

import torch
from torch import Tensor

from softfx import ops
from softfx.decisions.site import Decision
from softfx.interpreter import compared, joint_decisions, measuring, selecting, statistics
from softfx.interpreter.binding import attach_leaves, bind_kept_value, bind_leaves, operand
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext, counts_softly, is_integral, options_of
from softfx.interpreter.hard_call import hard_call, remember
from softfx.interpreter.hard_values import hard_value, with_hard_operands
from softfx.interpreter.indexed_update import addend
from softfx.interpreter.infinite_operands import passing_finite
from softfx.interpreter.native import cut_beneath, detached, outgrows_base, overlaps_itself, repeat, run, write_hard
from softfx.interpreter.overwritten import is_overwritten, kept_results
from softfx.interpreter.settled import has_met_nan, is_spoilt, settled, settled_at_ties, with_finite_gradients
from softfx.interpreter.state import RunState
from softfx.ops import integrality
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.operation import Integral
from softfx.ops.spelling import Spelled, arguments
from softfx.ops.trees import map_tensors
from softfx.rules import rule_of
from softfx.rules.refusals import AS_NUMBER, OUTGROWN, OVERLAPPED, CannotSoften, is_discrete
from softfx.rules.rows import RowRule
from softfx.runtime import infinities
from softfx.runtime.elements import has_strides
from softfx.torch_private import version_of
from softfx.values import Soft, ValueFacts, is_stepped, unbounded_after
from softtorch.scope import outside

__all__ = ["FAILURES", "context_of", "facts_of_carried", "refusal_of", "soft_call"]

# What softening a call can fail with while it is planned, on shapes alone; the site is then blocked with the reason.
FAILURES = (CannotSoften, RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)

# The annotation of a parameter that is a number, or several.
_NUMBER = re.compile(r"(?:(?:int|float|bool|None|Sequence\[int\]|_Size)(?: \| )?)+")


def soft_call(state: RunState, call: Call, decision: Decision | None, rows: RowRule | None = None) -> Result:
    """The call with its shadow, or hard where the rule refuses these operands.

    rows: what becomes of rows that a soft mask selects, in the place of the operation's own rule.
    """
    if decision is not None and decision.relative is not None:
        decision = measuring.for_call(state, call, decision)
    context = context_of(state, call, decision)
    make = _written if call.written is not None else _computed
    try:
        result = outside(make, context, call, rows)
    except FAILURES as failure:
        return _refused(context, call, decision, refusal_of(state, call, failure))
    if call.softs:
        state.evidence.took(call.softs, call.name, call.location)
        if state.planning and call.meets_reals:
            state.evidence.mixed(call.softs)
    if state.planning:
        state.evidence.selects(selecting.sites_of(state, context, call, result))
        if statistics.searches_own_order(state, call):
            context.recognise("rank: numbers searched in their own order")
        if decision is not None and decision.acts and measuring.orders_two(call, decision):
            state.evidence.of(decision.id).of_two = True
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


def context_of(
    state: RunState, call: Call, decision: Decision | None = None, roots: frozenset[int] = frozenset()
) -> CallContext:
    """The context that the rule is given beside the operands. roots: further sites that results come from."""
    is_of_soft_values = decision is not None and decision.action == "guard" and call.has_hard
    exact = (decision is None or decision.is_exact) and not is_of_soft_values  # a guard keeps the value that there is
    sites = roots | (decision.ids if decision is not None and decision.acts else frozenset[int]())
    for soft in call.softs:
        exact = exact and soft.exact
        sites |= soft.sites
    if len(sites) > 1:
        state.evidence.join(sites)
    if exact and call.operation.stops_gradient:  # no derivative of theirs goes on from here
        state.evidence.detached(sites, call.location)
        sites = frozenset()
    estimate = decision.estimate if decision is not None else None
    follows = state.tracks_gradients and not call.operation.stops_gradient
    carried = call.carried_sites if follows else frozenset[int]()
    family = decision.rule.family if decision is not None and decision.acts else None
    stepped = family in ("discrete", "kink") or any(map(is_stepped, call.facts))
    unbounded = unbounded_after(call.operation, call.facts, family == "unsafe")
    return CallContext(
        state, call.func, options_of(state, decision), exact, sites, None, estimate, carried=carried, stepped=stepped,
        unbounded=unbounded, joins=joint_decisions.of(call) if state.planning else None,
        met_nan=has_met_nan(state, call), beside=compared.beside(state, call, exact),
        ends=call.ends,
    )  # fmt: skip


def _refused(context: CallContext, call: Call, decision: Decision | None, reason: str) -> Result:
    """The hard result, where the rule cannot take these operands."""
    state = context.state
    state.evidence.lost(call.discrete_softs, call.name, call.location, reason)
    if decision is not None and decision.acts and not state.evidence.of(decision.id).reached_real:
        state.sites.replace(decision.blocked(reason))
    if context.moved:
        return context.hard
    if call.written is None and context.hard is not None and context.exact:
        return remember(state, call, context.hard, "")
    return hard_call(state, call)


def _computed(context: CallContext, call: Call, rows: RowRule | None) -> Result:
    """A call that writes nothing."""
    state = context.state
    if rows is None and _moves_real_elements(call):
        return _moved(context, call)
    if call.rule is not None and call.rule.family == "unsafe" and rows is None:
        call = passing_finite(state, call)
    unsoftened = with_hard_operands(state, call)
    keeps_value = call.rule is not None and call.rule.keeps_value and rows is None
    has_shadow = bool(call.softs) or call.has_real_shadow or any(map(counts_softly, call.tensors, call.facts))
    if keeps_value and unsoftened is call and not has_shadow:
        return bind_kept_value(context, _kept_value(context, call, rows))
    context.hard = run(state, call) if unsoftened is call else repeat(state, unsoftened)
    shadow = _shadow(context, call, call.args, rows)  # an estimator that draws changes the hard result
    shadow = settled_at_ties(context, unsoftened, settled(context, call, shadow))
    return bind_leaves(context, context.hard, shadow)


def _kept_value(context: CallContext, call: Call, rows: RowRule | None) -> Result:
    """The soft form in the place of the call, as native.run would make the call."""
    value = _shadow(context, call, call.args, rows)
    return kept_results(context.state, call, value) if is_overwritten(context.state, call) else value


def _moves_real_elements(call: Call) -> bool:
    """Return True if a call moves elements of real tensors, and its shadows are theirs.

    Such tensors have the value that the program sees and the derivative of their shadow, and so has each element.
    """
    if call.rule is None or not call.rule.moves or call.is_site:  # a cast to integers decides
        return False
    softs = [t for t, facts in zip(call.tensors, call.facts, strict=True) if facts.soft is not None]
    return bool(softs) and not any(map(is_discrete, softs))


def _moved(context: CallContext, call: Call) -> Result:
    """The program's own call on its own tensors, each result with its shadow: a view shares storage as it did."""
    state = context.state
    context.hard, context.moved = hard_call(state, call), True
    if call.written is not None:  # x.unsqueeze_(0): the shadow to be moved is the one that it had before
        state.environment.set(call.written, replace(state.environment.facts(call.written), soft=call.facts[0].soft))
    result = attach_leaves(context, context.hard, _shadow(context, call, call.args, None))
    if call.written is not None and isinstance(result, Tensor) and result is not call.written:  # in a written graph
        state.environment.set(call.written, state.environment.facts(result))
    return result


def facts_of_carried(state: RunState, call: Call, result: Tensor) -> ValueFacts:
    """The facts of the result of a call that carries the derivative of its operands by itself: with its shadow."""
    context = context_of(state, call, None)
    context.hard = result
    with torch.enable_grad():
        shadow = outside(_shadow, context, call, call.args, None)
    soft = shadow if isinstance(shadow, Soft) else None
    return ValueFacts(True, soft, integral=soft is not None, version=version_of(result), stepped=True)


def _written(context: CallContext, call: Call, rows: RowRule | None) -> Result:
    """An in-place call: computed beside its target, then copied into it, so that aliases see what they saw."""
    if call.rule is not None and call.rule.moves and call.spelled.in_place:
        return _moved(context, call)
    state, emit = context.state, context.state.backend.emit
    state.evidence.writes = True
    if call.kwargs and call.kwargs.get("out") is not None:
        return _written_out(context, call, rows)
    target, rest = call.args[0], map_tensors(partial(hard_value, state), call.args[1:])
    if overlaps_itself(target):
        raise CannotSoften(OVERLAPPED)
    if outgrows_base(target):
        raise CannotSoften(OUTGROWN)
    before = emit(torch.clone, (target,), {})
    state.environment.set(before, state.environment.facts(target))
    hard = hard_value(state, target)
    hard_before = before if hard is target else emit(torch.clone, (hard,), {})
    scratch = emit(torch.clone, (hard,), {})
    emit(call.func, (scratch, *rest), call.kwargs)
    context.hard = scratch
    args, made = (before, *call.args[1:]), call
    if (added := addend(state, call)) is not None:
        args, rows = (before, *added, True), None
        call = replace(call, spelled=Spelled(ops.index_put), rule=rule_of(ops.index_put), kwargs={})
    shadow = _shadow(context, call, args, rows)
    if context.exact and isinstance(shadow, Tensor) and not is_discrete(scratch) and is_spoilt(state, made, shadow):
        shadow = context.call(infinities.or_hard, shadow, _written_beside(state, made, before))
    if not context.exact:
        unsoftened = replace(made, args=(hard_before, *rest))
        shadow = settled_at_ties(context, unsoftened, settled(context, made, shadow))
    result = bind_leaves(context, context.hard, shadow)
    emit(torch.Tensor.copy_, (target, result), {})
    state.environment.set(target, replace(state.environment.facts(result), version=version_of(target)))
    state.forget(target)
    return target


def _written_beside(state: RunState, call: Call, before: Tensor) -> Tensor:
    """What an in-place call makes of a tensor that is like its target before, with the program's own derivative."""
    (own, *rest), kwargs = with_finite_gradients(state, ((before, *call.args[1:]), call.kwargs))
    written: Tensor = state.backend.emit(torch.clone, (own,), {})
    state.backend.emit(call.func, (written, *rest), kwargs)
    return written


def _written_out(context: CallContext, call: Call, rows: RowRule | None) -> Result:
    """A call with out=: made as it is, and what it gives softly is copied over that."""
    state, target = context.state, call.written
    assert target is not None
    args, kwargs = map_tensors(partial(hard_value, state), (call.args, {**call.kwargs, "out": None}))
    written = write_hard(state, call, detached(state, (args, kwargs)))
    if outgrows_base(written):
        cut_beneath(state, call, written)
        context.hard, context.moved = remember(state, call, written, ""), True
        raise CannotSoften(OUTGROWN)
    context.hard = state.backend.emit(torch.clone, (written,), {})
    shadow = _shadow(context, call, call.args, rows)
    if not context.exact:
        shadow = settled_at_ties(context, replace(call, args=args, kwargs=kwargs), settled(context, call, shadow))
    result = bind_leaves(context, context.hard, shadow)
    if not is_discrete(target):
        state.backend.emit(torch.Tensor.copy_, (written, result), {})
    for tensor in (target, written):  # where a graph is written these are two, and the latter has the right shape
        state.environment.set(tensor, replace(state.environment.facts(result), version=version_of(tensor)))
    state.forget(target)
    return written


def _shadow(context: CallContext, call: Call, args: Args, rows: RowRule | None) -> Result:
    """The result of the rule for the operands, soft ones replaced by their shadows."""
    for tensor in call.tensors:
        if not has_strides(tensor):
            raise CannotSoften(f"it is of a {'nested' if tensor.is_nested else 'sparse'} tensor")
    kwargs = call.kwargs and {key: value for key, value in call.kwargs.items() if key not in ("inplace", "out")}
    counts = any(map(counts_softly, call.tensors, call.facts))
    if counts or call.softs or call.has_real_shadow or context.state.evidence.writes:  # else they are what they are
        shadow_of = partial(operand, context)
        args, kwargs = map_tensors(shadow_of, args), kwargs and map_tensors(shadow_of, kwargs)
    if kwargs or call.spelled.reflected or call.spelled.order:
        args, kwargs = arguments(call.spelled, args, kwargs)
    if rows is not None:
        return rows.propagate(context, call.operation, call.rule, *args, **kwargs)
    function = _function(call, counts)
    if (mismatch := _mismatch(function, len(args), tuple(kwargs))) is not None:
        raise CannotSoften(f"{call.name}: {mismatch}")
    if counts or call.softs:
        _refuse_soft_numbers(function, args, kwargs)
    if context.estimate is not None:
        return context.estimate(context, function, *args, **kwargs)
    shadow = function(context, *args, **kwargs)
    return _counted(context, call, shadow) if counts or call.softs else shadow


def _counted(context: CallContext, call: Call, shadow: Result) -> Result:
    """A shadow whose real numbers are counts, if the operation gives whole numbers for these operands."""
    if isinstance(shadow, Soft) or call.operation.integral is Integral.NEVER:
        return shadow
    operands = [is_integral(context.state, tensor) for tensor in call.tensors]
    args = (call.args[1], call.args[0]) if call.spelled.reflected else call.args
    if not integrality.is_integral(call.operation, args, call.kwargs, operands):
        return shadow
    return map_tensors(context.soft_count, shadow)  # shadows of other kinds are no tensors


def _function(call: Call, counts: bool) -> Function:
    """The function of the call's rule that serves its operands, some of which have shadows or are `counts`."""
    rule = call.rule
    function = None if rule is None else rule.propagate if call.softs or counts else rule.relax
    if function is None:
        raise CannotSoften(f"{call.name} has no rule for {'a soft value' if call.softs else 'these operands'}")
    return function


def _refuse_soft_numbers(function: Function, args: Args, kwargs: Kwargs) -> None:
    """Refuse shadows that stand where torch reads a size, an axis or a number of elements: it needs one number."""
    numbers = _number_parameters(function)
    for place, value in (*enumerate(args, 1), *kwargs.items()) if numbers else ():
        if place in numbers:
            items = value if isinstance(value, list | tuple) else (value,)
            if any(isinstance(item, Soft) for item in items):
                raise CannotSoften(AS_NUMBER)


@lru_cache(maxsize=4096)
def _number_parameters(function: Function) -> frozenset[int | str]:
    """The positions and names of a rule's parameters that are Python numbers, as their annotations say."""
    found = {
        position: name
        for position, (name, parameter) in enumerate(inspect.signature(function).parameters.items())
        if isinstance(parameter.annotation, str) and _NUMBER.fullmatch(parameter.annotation)
    }
    return frozenset[int | str]({*found, *found.values()})


@lru_cache(maxsize=4096)
def _mismatch(function: Function, count: int, names: tuple[str, ...]) -> str | None:
    """Why a rule's function cannot be called on so many operands and others by these names; None if it can."""
    try:
        inspect.signature(function).bind(*(None for _ in range(count + 1)), **dict.fromkeys(names))
    except TypeError as error:
        return str(error)
    return None
