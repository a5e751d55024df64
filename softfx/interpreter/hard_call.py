"""A call as the program makes it, and the facts of its results: dependence on sources, whole numbers, gradients.

Its soft operands end here, which is told; its real ones may have hard values, by which it decides. `result_facts` is a
function of the operation and the facts of its operands alone, which the fast path remembers
(softfx.interpreter.fast_path).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from softfx.interpreter.call import Call, depends_on_source, detached_at
from softfx.interpreter.call_context import counts_softly, is_integral, is_known_integral
from softfx.interpreter.derivatives import is_judged
from softfx.interpreter.hard_values import defer, hard_value, with_hard_operands
from softfx.interpreter.infinite_operands import meets_infinities, passing_finite, run_with_finite_derivative
from softfx.interpreter.native import outgrows_base, repeat, run
from softfx.interpreter.state import RunState
from softfx.ops import integrality
from softfx.ops.calls import Args, Options, Result
from softfx.ops.operation import Effect, Integral, Operation, Reads
from softfx.ops.trees import map_tensors, rebuilt, tensors_in
from softfx.rules import rule_of
from softfx.rules.refusals import is_discrete
from softfx.torch_private import version_of
from softfx.values import ValueFacts, is_stepped, unbounded_after

__all__ = ["depends_on_arguments", "hard_call", "is_made_of_reals", "makes_steps", "remember", "result_facts"]

_NO_SITES = frozenset[int]()
_OF_OPERANDS = frozenset(Integral) - {Integral.NEVER, Integral.ALWAYS, Integral.OF_WHOLE_ARGUMENTS}


def hard_call(state: RunState, call: Call, loss: str = "") -> Result:
    """The call as it is. loss: what to say of the shadows among its operands, which end here."""
    hard = _hard_write(state, call)
    result = remember(state, call, _decided_hard(state, call), loss)
    if hard is not None:
        assert call.written is not None  # it has a hard value
        facts = replace(state.environment.facts(call.written), hard=hard, version=version_of(call.written))
        state.environment.set(call.written, facts)
    if call.operation.uninitialized and state.evidence.writes and isinstance(result, Tensor):
        memory = state.backend.emit(torch.detach, (result,), {}) if result.requires_grad else result
        zeros = state.backend.emit(torch.zeros_like, (memory,), {})  # beside a soft write it is part of an average
        state.backend.emit(torch.Tensor.copy_, (memory, zeros), {})  # a leaf that requires a gradient takes none
    return result


def _hard_write(state: RunState, call: Call) -> Tensor | None:
    """What a call would leave in the tensor that it writes without softening; None where that is what it leaves."""
    target, emit = call.written, state.backend.emit
    if target is None or not call.has_hard or not call.operation.writes_alike or is_discrete(target):
        return None
    named = {key: value for key, value in call.kwargs.items() if key != "out"}
    args, named = map_tensors(lambda tensor: hard_value(state, tensor), (call.args, named))
    with torch.no_grad():
        if call.kwargs.get("out") is not None:
            made: Tensor = emit(call.func, args, named)
            return made if made.dtype == target.dtype else emit(Tensor.to, (made, target.dtype), {})
        written: Tensor = emit(torch.clone, (args[0],), {})
        emit(call.func, (written, *args[1:]), named)
    return written


def _decided_hard(state: RunState, call: Call) -> Result:
    """The call's result: what it decides, and what Python reads of it, as the original would have it."""
    unsoftened = with_hard_operands(state, call)
    if unsoftened is not call and call.operation.gives_python_value:
        return run(state, unsoftened)
    if meets_infinities(state, call):
        result = run_with_finite_derivative(state, call)
    else:
        result = run(state, passing_finite(state, call))
    if unsoftened is call or not any(is_discrete(tensor) for tensor in tensors_in(result)):
        return result
    return _discrete_from(repeat(state, unsoftened), result)


def _discrete_from(hard: Result, soft: Any) -> Result:
    """The integers and bools of one result with the real numbers of another."""
    if isinstance(hard, Tensor):
        return hard if is_discrete(hard) or hard.shape != soft.shape else soft
    return rebuilt(hard, [_discrete_from(h, s) for h, s in zip(hard, soft, strict=True)])


# -- the facts of results ----------------------------------------------------------------------------------------------


def result_facts(
    operation: Operation,
    operands: Sequence[ValueFacts],
    integral_operands: Sequence[bool],
    args: Args,
    kwargs: Options,
) -> ValueFacts | None:
    """The facts of every tensor that a hard call returns, where gradients are on; None where nothing is known.

    Tensors of integers and bools are integral besides (values.Environment). Of operations that read the shapes of their
    operands only, and of those without operands, constants alone are known.
    """
    integral = integrality.is_integral(operation, args, kwargs, integral_operands)
    fill = integrality.fill_value(operation, args, kwargs, [facts.fill for facts in operands])
    if operation.reads is Reads.NONE or not operands:
        return ValueFacts(False, integral=integral, fill=fill) if integral or fill is not None else None
    carried = _NO_SITES.union(*(facts.gradient_sites for facts in operands))
    passes = operation.passes_infinities  # an element of the results may hold one of the operands
    depends = depends_on_source(operation, operands)
    steps = depends and makes_steps(operation)
    return ValueFacts(
        depends,
        gradient_sites=_NO_SITES if operation.stops_gradient else carried,
        integral=integral,
        fill=fill,
        detached_at=detached_at(operands),
        stepped=steps or any(is_stepped(facts if passes else replace(facts, stepped=False)) for facts in operands),
        unbounded=unbounded_after(operation, operands),
    )


def makes_steps(operation: Operation) -> bool:
    """Return True if results are choices or clipped numbers, and equal to others by more than chance, though kept.

    A cast makes some of none: integers, which are known for what they are.
    """
    rule = rule_of(operation)
    return rule is not None and rule.family in ("discrete", "kink") and not operation.converts


def depends_on_arguments(operation: Operation, integral_operands: Sequence[bool]) -> bool:
    """Return True if `result_facts` depends on the arguments beside the facts of the operands."""
    if operation.integral in _OF_OPERANDS:
        return all(integral_operands)
    return operation.depends_on_numbers


def is_made_of_reals(call: Call, result: Result) -> bool:
    """Return True if a result is integers or bools, and made of real numbers that depend on a source.

    Or a part of it is; where only a call tells what an operation does, that call has told this (derivatives.judged).
    """
    if call.operation.reads is Reads.NONE:
        return False
    outputs = tensors_in(result)
    found = all if is_judged(call.spelled) else any
    if not outputs or not found(is_discrete(output) for output in outputs):
        return False
    pairs = zip(call.tensors, call.facts, strict=True)
    real = any(f.depends_on_source and f.soft is None and not f.integral and not is_discrete(t) for t, f in pairs)
    silent = Effect.METADATA | Effect.SHOWS | Effect.HISTORY | Effect.AUTOGRAD
    return real and call.depends_on_source and not call.operation.effect & silent


def remember(state: RunState, call: Call, result: Result, loss: str) -> Result:
    """`result`, its facts remembered, as of the result of a hard call."""
    integral = _integral_operands(state, call)
    args = call.args if not call.spelled.reflected else (call.args[1], call.args[0])
    facts = result_facts(call.operation, call.facts, integral, args, call.kwargs)
    outputs = tensors_in(result)
    if facts is None:
        return result
    if call.operation.reads is Reads.NONE or not call.facts:
        for output in outputs:
            state.environment.set(output, facts)
        return result
    if loss:
        _tell_loss(state, call, outputs, loss)
    facts = _with_gradients(state, call, _past_blockage(state, call, facts))
    if state.planning and outputs and call.depends_on_source and not call.detached_at:
        _note_cut(state, call)
    if call.written is not None:
        state.evidence.writes = True
        written = replace(facts, depends_on_source=call.depends_on_source, fill=None, detached_at=frozenset())
        state.environment.set(call.written, written)
        state.forget(call.written)
    hard_of = defer(call, result, state.backend)
    for position, output in enumerate(outputs):
        before = state.environment.get(output)
        if output is not call.written and (before is None or not before.depends_on_source):
            hard = hard_of(position)
            own = facts if hard is None else replace(facts, hard=hard, version=version_of(output))
            state.environment.set(output, own)
    return result


def _past_blockage(state: RunState, call: Call, facts: ValueFacts) -> ValueFacts:
    """The facts of results without the derivatives that the call does not give back."""
    if call.written is not None and outgrows_base(call.written):
        return replace(facts, gradient_sites=_NO_SITES)
    if call.blockage is None or call.blockage.in_part:
        return facts
    passing = _NO_SITES.union(
        *(o.gradient_sites for o, is_blocked in zip(call.facts, call.blockage.operands, strict=True) if not is_blocked)
    )
    state.evidence.ended(facts.gradient_sites - passing, call.name, call.location)
    return replace(facts, gradient_sites=passing)


def _integral_operands(state: RunState, call: Call) -> list[bool]:
    """For each tensor among the operands, whether it holds whole numbers; of constants beside shadows, by elements."""
    if any(soft.integral for soft in call.softs) or any(map(counts_softly, call.tensors, call.facts)):
        return [is_integral(state, tensor) for tensor in call.tensors]
    return [is_known_integral(tensor, facts) for tensor, facts in zip(call.tensors, call.facts, strict=True)]


def _with_gradients(state: RunState, call: Call, facts: ValueFacts) -> ValueFacts:
    """The facts of results with what a detachment, or gradients that are switched off, take away."""
    if torch.is_grad_enabled() and not call.operation.stops_gradient:
        return facts
    carried = _NO_SITES.union(*(operand.gradient_sites for operand in call.facts))
    places = facts.detached_at
    if call.operation.stops_gradient:
        places |= {call.location}
        if carried:
            state.evidence.detached(carried, call.location)
    if torch.is_grad_enabled():
        return replace(facts, detached_at=places)
    state.note_end_without_gradients(carried)
    return replace(facts, gradient_sites=_NO_SITES, detached_at=places)


def _note_cut(state: RunState, call: Call) -> None:
    """Note where the program itself ends a gradient."""
    if call.operation.stops_gradient:
        state.evidence.cut(f"{call.name} ends the gradient", call.location)
    elif state.grad_mode.is_switched_off and state.grad_mode.switched_off_at is not None:
        state.evidence.cut("a block without gradients uses what depends on them", state.grad_mode.switched_off_at)


def _tell_loss(state: RunState, call: Call, outputs: list[Tensor], loss: str) -> None:
    """Tell of the discrete shadows among the operands that they end here."""
    leaves_torch = call.operation.effect & (Effect.BRANCHES | Effect.READS_NUMBER | Effect.SHAPE_FROM_DATA)
    lost = call.lost_softs
    if leaves_torch & (Effect.BRANCHES | Effect.READS_NUMBER):
        ends = call.carried_sites.union(*(soft.sites for soft in call.softs))
        state.evidence.ended(ends, call.name, call.location)
    if lost and (outputs or call.written is not None or leaves_torch):
        turned = state.sites.policy.turns and call.operation.gives_python_value
        hopeless = turned or bool(call.operation.effect & Effect.BRANCHES) or state.grad_mode.is_switched_off
        state.evidence.lost(lost, call.name, call.location, f"{call.name} {loss}", hopeless)
