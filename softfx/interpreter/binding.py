"""Binding ties shadows to the tensors of the program: on the way into a rule, and on the way back.

The program holds hard values only (or, under a soft policy, real ones softened); what they are softly is remembered
beside them. A rule gets the shadows of its operands from here, and its results are bound here: straight-through, as
the soft value itself, or as a shadow of an integer that cannot carry a gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.interpreter.call_context import CallContext, counts_softly
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.trees import rebuilt, tensors_in
from softfx.rules.readings import as_real
from softfx.rules.refusals import CannotSoften, is_discrete
from softfx.runtime import counts
from softfx.torch_private import version_of
from softfx.values import (
    Pending,
    SelectedRows,
    Soft,
    SoftChoice,
    SoftCount,
    SoftIndex,
    SoftReal,
    SoftSum,
    SoftTally,
    ValueFacts,
)

__all__ = [
    "attach",
    "attach_leaves",
    "bind",
    "bind_kept_value",
    "bind_leaves",
    "operand",
    "real_operand",
    "result_for_caller",
    "runs_on",
    "runs_while_linear",
]

_RUN_ON = ("model", "linear")  # scopes under which real numbers have companions
_NARROW = (torch.uint8, torch.int8, torch.int16)  # integers that are easily left
_NO_SITES = frozenset[int]()


def runs_while_linear(state: RunState, soft: Soft) -> bool:
    """Return True for a real shadow that runs on as far as calls are linear in it."""
    return isinstance(soft, SoftReal) and state.sites.scope(soft.sites) == "linear"


def runs_on(state: RunState, soft: Soft | None) -> bool:
    """Return True for the shadow of a real number that runs on beside its hard value."""
    return isinstance(soft, SoftReal) and state.sites.scope(soft.sites) in _RUN_ON


def operand(context: CallContext, tensor: Tensor) -> Tensor | Soft:
    """A tensor as a rule sees it. Where soft and straight-through meet, the latter bring their hard values."""
    facts = context.state.environment.number_facts(tensor)  # what is still pending is wanted as a number
    soft = facts.soft
    if soft is None or (context.ends and runs_while_linear(context.state, soft)):
        own = _unwritten(context.state, tensor)
        return SoftCount(own, exact=context.exact, sites=context.sites) if counts_softly(tensor, facts) else own
    if isinstance(soft, SelectedRows):
        if soft.exact == context.exact:
            return soft
        return replace(soft, probabilities=_with_mask_values(context, soft), exact=False)
    if soft.exact and not context.exact:
        soft = replace(soft.with_tensor(_with_hard_value(context, tensor, soft)), exact=False)
    return soft.value if isinstance(soft, SoftReal) else soft


def real_operand(context: CallContext, tensor: Tensor) -> Tensor:
    """A tensor as a call sees it that runs once more, on real shadows: it knows no others, and no other types."""
    seen = operand(context, tensor)
    real = seen.real(context.call) if isinstance(seen, Soft) else seen
    if real.dtype is tensor.dtype or not tensor.is_floating_point():
        return real
    cast: Tensor = context.call(Tensor.to, real, tensor.dtype)
    return cast


def _with_mask_values(context: CallContext, rows: SelectedRows) -> Tensor:
    """The probabilities of selected rows, with the values that the hard mask has."""
    hard = context.call(torch.Tensor.to, rows.mask, rows.probabilities.dtype)
    probabilities: Tensor = context.call(softtorch.straight_through, hard, rows.probabilities)
    return probabilities


def _with_hard_value(context: CallContext, hard: Tensor, soft: Soft) -> Tensor:
    """The tensor of a shadow with the hard value and the soft derivative."""
    value = soft.hardened(context.call, hard)
    result: Tensor = context.call(softtorch.straight_through, value, soft.tensor)
    return result


def _unwritten(state: RunState, tensor: Tensor) -> Tensor:
    """A tensor that a soft call may keep for its backward pass: a copy, in a program that writes tensors in place.

    The hard call keeps nothing of its operands, so the program is free to write into them afterwards.
    """
    if not state.evidence.writes:
        return tensor
    copy: Tensor = state.backend.emit(torch.clone, (tensor,), {})
    state.environment.set(copy, replace(state.environment.facts(tensor), version=version_of(copy)))
    return copy


def bind_leaves(context: CallContext, hard: Result, shadow: Any) -> Result:
    """`hard` with each leaf that has a shadow bound to it; a real leaf becomes one that carries a gradient."""
    if isinstance(hard, Tensor):
        return bind(context, hard, shadow)
    if not isinstance(shadow, tuple | list) or len(shadow) != len(hard):
        raise CannotSoften("its results and their shadows do not match")
    return rebuilt(hard, [bind_leaves(context, h, s) for h, s in zip(hard, shadow, strict=True)])


def bind(context: CallContext, hard: Tensor, shadow: Result) -> Tensor:
    """One hard tensor as the program gets it, with its shadow remembered."""
    state, environment = context.state, context.state.environment
    if shadow is None:
        environment.set(hard, ValueFacts(True))
        return hard
    soft = shadow if isinstance(shadow, Soft) else None
    if is_discrete(hard):
        if soft is None or (hard.dtype is torch.bool and type(soft) is SoftCount):  # the largest of bools is one
            value = soft.tensor if soft is not None else shadow
            soft = context.soft_bool(value) if hard.dtype is torch.bool else context.soft_count(value)
        soft = _by_itself(context, hard, _wrapped(context, hard, soft))
        environment.set(hard, ValueFacts(True, soft, context.carried))
        return hard
    real = as_real(context, shadow)
    scope = state.sites.scope(context.sites)
    joined = context.exact and scope not in _RUN_ON and real is context.joined  # then it is the result as it is
    result = real if joined else _combined(context, hard, real)
    state.evidence.reached_real(context.sites)
    if scope in _RUN_ON and (soft is None or not soft.integral):
        soft = SoftReal(real, exact=context.exact, sites=context.sites)
    integral = soft is not None and not isinstance(soft, SoftReal)
    gradient_sites = context.sites | context.carried if state.tracks_gradients else frozenset[int]()
    unsoftened = None if context.exact or isinstance(soft, SoftReal) else hard
    facts = ValueFacts(
        True, soft, gradient_sites, integral, unsoftened, version_of(result),
        stepped=context.stepped, unbounded=context.unbounded,
    )  # fmt: skip
    environment.set(result, facts)
    return result


def attach_leaves(context: CallContext, result: Result, shadow: Result) -> Result:
    """A result of moved elements, of which each leaf keeps its derivative as it is and its shadow beside it."""
    if isinstance(result, Tensor):
        return attach(context, result, shadow)
    if not isinstance(shadow, tuple | list) or len(shadow) != len(result):
        raise CannotSoften("its results and their shadows do not match")
    return rebuilt(result, [attach_leaves(context, r, s) for r, s in zip(result, shadow, strict=True)])


def attach(context: CallContext, result: Tensor, shadow: Result) -> Tensor:
    """A tensor that the program has, with its shadow remembered."""
    state = context.state
    if not isinstance(shadow, Soft):
        return result
    if is_discrete(result):
        shadow = _by_itself(context, result, shadow)
    else:
        state.evidence.reached_real(context.sites)
    known = state.environment.facts(result)
    sites = known.gradient_sites | context.sites if state.tracks_gradients and not is_discrete(result) else _NO_SITES
    made = replace(
        known, depends_on_source=True, soft=shadow, gradient_sites=sites, integral=known.integral or shadow.integral
    )
    state.environment.set(result, made)
    return result


def bind_kept_value(context: CallContext, result: Result) -> Result:
    """A real result, or several, that is the hard one, bit for bit."""
    state = context.state
    state.evidence.reached_real(context.sites)
    gradient_sites = context.sites | context.carried if state.tracks_gradients else frozenset[int]()
    known = ValueFacts(True, None, gradient_sites, stepped=context.stepped, unbounded=context.unbounded)
    for output in tensors_in(result):
        state.environment.set(output, known)
    return result


def _by_itself(context: CallContext, hard: Tensor, soft: Soft) -> Soft:
    """scope = "operation": the shadow itself is made straight-through, each operation by itself."""
    if not context.exact or context.state.sites.scope(context.sites) != "operation":
        return soft
    return soft.with_tensor(_with_hard_value(context, hard, soft))


def _wrapped(context: CallContext, hard: Tensor, soft: Soft) -> Soft:
    """Under a policy that changes values, a soft integer as the hard one's type holds it: 200 + 100 is 44 in a byte."""
    if context.exact or hard.dtype not in _NARROW:
        return soft
    if isinstance(soft, SoftTally) and soft.counted <= torch.iinfo(hard.dtype).max:  # never beyond it
        return soft
    if isinstance(soft, SoftCount):
        value = context.call(counts.wrapped, soft.value, hard)
        return soft.held_in(value, hard.dtype) if isinstance(soft, SoftSum) else soft.with_tensor(value)
    if isinstance(soft, SoftIndex) and soft.support is not None:
        return replace(soft, support=context.call(counts.held, soft.support, hard.dtype))
    return soft


def _combined(context: CallContext, hard: Tensor, real: Tensor) -> Tensor:
    """The result that the program gets of a hard and a soft real number."""
    if real.dtype != hard.dtype:
        real = context.state.backend.emit(torch.Tensor.to, (real, hard.dtype), {})
    if real.shape != hard.shape:
        raise CannotSoften(f"its soft value has shape {tuple(real.shape)}, its hard value {tuple(hard.shape)}")
    if not context.exact:
        return _unwritten(context.state, real)
    result: Tensor = context.state.backend.emit(softtorch.straight_through, (hard, real), {})
    return result


def result_for_caller(state: RunState, value: Result) -> Result:
    """One of the program's results as its caller gets it.

    A discrete one that is soft is the number that it is worth, or as the policy's `outputs` says: the distribution (of
    a straight-through site the hard one, with a gradient), or what the original returns.
    """
    if not isinstance(value, Tensor) or isinstance(state.environment.get(value), Pending):
        return value
    facts = state.environment.facts(value)
    if not is_discrete(value):
        state.evidence.delivered(facts.gradient_sites)
        if isinstance(facts.soft, SelectedRows):
            state.evidence.returned_rows(facts.soft.sites)
        return value
    soft = facts.soft
    state.evidence.returned(facts.gradient_sites, value.dtype)
    if soft is None:
        return value
    wanted = state.sites.outputs(soft.sites)
    if wanted is None and soft.exact:
        wanted = "hard"
    state.evidence.returned(soft.sites, value.dtype)
    if isinstance(soft, SelectedRows):  # of a shape that the caller does not expect
        state.evidence.returned_rows(soft.sites)
        return value
    if wanted == "hard":
        return value
    state.evidence.delivered(soft.sites | facts.gradient_sites)
    context = CallContext(state, torch.clone, {}, soft.exact, soft.sites)
    if wanted is None:
        return as_real(context, soft)
    soft = soft.as_index(context.call) if isinstance(soft, SoftChoice) else soft
    return soft.tensor if not soft.exact else _with_hard_value(context, value, soft)
