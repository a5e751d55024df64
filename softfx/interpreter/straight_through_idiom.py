"""Straight-through code that the program has of its own: x + (q - x).detach() and the other ways to write it.

Each is a sum in which one tensor stands with its derivative and, detached, against itself: what is left is the value of
the third. Additions, subtractions and detachments are followed as such sums; where one of them completes such code, it
is a site of its own (softfx.rules.straight_through_idiom).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.interpreter.binding import bind
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext
from softfx.interpreter.records import Term
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.rules.straight_through_idiom import RULE
from softfx.torch_private import version_of

__all__ = ["complete", "note_alike", "note_difference"]


def complete(state: RunState, call: Call, result: Result) -> Result:
    """`result`, or what the policy makes of it where this call completes straight-through code."""
    if not isinstance(result, Tensor) or call.written is not None or not torch.is_grad_enabled():
        return result
    found = _sum_of_call(state, call)
    # A sum keeps its tensors alive: only those that may yet become such code are remembered.
    if found is not None and len(found) < 3:
        state.sums.set(result, found)
    else:
        state.sums.discard(result)
    pair = _value_and_surrogate(found)
    if pair is None or any(part.shape != result.shape for part in pair):
        return result
    decision = state.sites.at(RULE, call.location)
    if decision.acts and not decision.resolved.named:
        reason = "straight-through code of the program itself, left as it is; name it to act on it"
        decision = state.sites.replace(decision.kept(reason))
    if not decision.acts:
        return _left_alone(state, call, result, *pair)
    sites = decision.ids | state.environment.facts(pair[0]).gradient_sites
    options = {key: value for key, value in decision.resolved.options.items() if key in RULE.options}
    context = CallContext(state, call.func, options, decision.is_exact, sites, result)
    made = decision.estimate(context, RULE.relax, *pair) if decision.estimate else pair[0]
    return bind(context, result, made)


def _left_alone(state: RunState, call: Call, result: Tensor, value: Tensor, surrogate: Tensor) -> Tensor:
    """The code as it is: the operations that made its value had no derivative, and get none here."""
    soft = state.environment.facts(value).soft
    if soft is None or any(decision.resolved.named for decision in state.sites.by_id(soft.sites)):
        return result
    state.evidence.detached(soft.sites, call.location)
    joined: Tensor = state.backend.emit(softtorch.straight_through, (result, surrogate), {})
    gradient_sites = state.environment.facts(surrogate).gradient_sites
    facts = state.environment.facts(result)
    state.environment.set(
        joined, replace(facts, gradient_sites=gradient_sites, soft=None, version=version_of(joined))
    )  # fmt: skip
    return joined


def note_difference(state: RunState, result: Tensor, left: Tensor, right: Tensor) -> None:
    """Remember the difference of two tensors that are no sums themselves."""
    state.sums.set(result, (Term(left), Term(right, -1)))


def note_alike(state: RunState, result: Tensor, tensor: Tensor) -> None:
    """Remember that a tensor is the sum that another one is."""
    if (terms := state.sums.get(tensor)) is not None:
        state.sums.set(result, terms)


def _sum_of_call(state: RunState, call: Call) -> tuple[Term, ...] | None:
    """The result of an addition, a subtraction or a detachment as a sum of at most three; None for other calls."""
    if call.operation.stops_gradient and len(call.tensors) == 1:
        return tuple(term._replace(detached=True) for term in _terms(state, call.tensors[0]))
    subtracts = call.operation is ops.sub
    if not (subtracts or call.operation is ops.add) or call.written is not None or len(call.tensors) != 2:
        return None
    if call.kwargs or len(call.args) != 2:
        return None
    left, right = (_terms(state, tensor) for tensor in call.tensors)
    if subtracts and call.spelled.reflected:
        left, right = right, left
    if subtracts:
        right = tuple(term._replace(sign=-term.sign) for term in right)
    elif not any(term.detached for term in (*left, *right)):
        return None
    return (*left, *right) if len(left) + len(right) <= 3 else None


def _terms(state: RunState, tensor: Tensor) -> tuple[Term, ...]:
    return state.sums.get(tensor) or (Term(tensor),)


def _value_and_surrogate(terms: tuple[Term, ...] | None) -> tuple[Tensor, Tensor] | None:
    """(q, x) if a sum is the value of q with the derivative of x; else None."""
    if terms is None or len(terms) != 3:
        return None
    for plus in terms:
        for minus in terms:
            if _cancel(plus, minus):
                (rest,) = (term for term in terms if term is not plus and term is not minus)
                return (rest.tensor, plus.tensor) if rest.sign == 1 else None
    return None


def _cancel(plus: Term, minus: Term) -> bool:
    return plus.tensor is minus.tensor and (plus.sign, minus.sign) == (1, -1) and minus.detached and not plus.detached
