"""Products with infinities: the call as it is, and a derivative that is finite.

`x * log(x)` at 0 has the derivative log(0) by its first factor, which the guard of the logarithm never sees. What a
`where` does not select meets it with a weight of 0, and 0 times infinity is NaN. So the derivative is that of the same
call on operands that have 0 in the place of infinite elements.

Infinities that the program has itself, in its inputs or behind a mask, are the same: `(x @ w > 0)` has no derivative in
the original, and softly one of 0 where x is infinite, which is NaN by w. They are looked for as the call is planned.
Of other operations with a derivative of their own (`x.norm(dim=-1).argmin()`) no more than finite gradients go on.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.interpreter.call import Call
from softfx.interpreter.native import is_view_of_operand, repeat, run
from softfx.interpreter.settled import is_seen_finite, with_finite_gradients
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.operation import Infinities, Linear
from softfx.ops.trees import map_tensors
from softfx.rules.refusals import is_discrete
from softfx.runtime import guards
from softfx.runtime.elements import has_strides

__all__ = ["meets_infinities", "note_spoiling", "passing_finite", "run_with_finite_derivative"]

# Products of which the call and its finite derivative are one function.
_GUARDED = {ops.mul: guards.mul}


def meets_infinities(state: RunState, call: Call) -> bool:
    """Return True if the call multiplies by infinities, so that derivatives of its operands may be infinite or NaN."""
    if not (call.operation.multiplies and call.depends_on_source and torch.is_grad_enabled()):
        return False
    if call.kwargs.get("out") is not None:
        return False
    is_unbounded = call.operation.infinities is Infinities.SPREAD and any(facts.unbounded for facts in call.facts)
    return is_unbounded or (_is_noted(state, call) and state.sites.acts)


def _is_noted(state: RunState, call: Call) -> bool:
    """Return True for a product that had infinite or NaN factors when it was planned, or its softness measured."""
    noted = state.evidence.infinite_products
    if (state.planning or state.measures is not None) and _multiplies_derivatives(call):
        noted.add((call.name, call.location))
    return bool(noted) and (call.name, call.location) in noted


def passing_finite(state: RunState, call: Call) -> Call:
    """The call, from which finite gradients alone go back if it was seen to spoil them when it was planned."""
    noted = state.evidence.spoiling
    if not noted or (call.name, call.location) not in noted or call.softs or call.written is not None:
        return call
    if not (torch.is_grad_enabled() and state.sites.acts):
        return call
    args, kwargs = with_finite_gradients(state, (call.args, call.kwargs))
    return replace(call, args=args, kwargs=kwargs)


def note_spoiling(state: RunState, call: Call, result: Result) -> None:
    """Note a call that makes infinite or NaN numbers of such operands: its own derivative is NaN there, as a rule."""
    if not (state.planning or state.measures is not None) or not state.evidence.meets_infinities:
        return
    if not call.depends_on_source or call.operation.linear is Linear.JOINTLY or is_seen_finite(result):
        return
    if is_view_of_operand(state, call, result):  # which may be written
        return
    pairs = zip(call.tensors, call.facts, strict=True)
    if any(facts.depends_on_source and not is_seen_finite(tensor) for tensor, facts in pairs):
        state.evidence.spoiling.add((call.name, call.location))


def _multiplies_derivatives(call: Call) -> bool:
    """Return True if a factor is infinite or NaN that the derivative by another one, or its own elements, has."""
    depends = [facts.depends_on_source for facts in call.facts]
    own = call.operation.linear is Linear.NO  # a product of its elements among themselves
    return any(
        (own or any(depends[:place] + depends[place + 1 :])) and not is_seen_finite(tensor)
        for place, tensor in enumerate(call.tensors)
    )


def _may_be_infinite(operand: Tensor) -> bool:
    """Return True for an operand in whose elements 0 can be put; those that a sparse tensor stores are left."""
    return not is_discrete(operand) and has_strides(operand)


def run_with_finite_derivative(state: RunState, call: Call) -> Result:
    """The result of the program's call, with the derivative of the call on finite operands."""
    if call.operation in _GUARDED and call.written is None and not call.kwargs:
        return state.backend.emit(_GUARDED[call.operation], call.args, {})
    if all(state.backend.is_finite(tensor.detach()) for tensor in call.tensors if _may_be_infinite(tensor)):
        return run(state, call)
    emit = state.backend.emit

    def finite(operand: Tensor) -> Tensor:
        result: Tensor = emit(guards.finite, (operand,), {}) if _may_be_infinite(operand) else operand
        return result

    args, kwargs = map_tensors(finite, (call.args, call.kwargs))
    if call.written is None:
        return emit(
            softtorch.straight_through, (run(state, call), repeat(state, replace(call, args=args, kwargs=kwargs))), {}
        )
    hard = emit(torch.clone, (call.written,), {})
    emit(call.func, (hard, *call.args[1:]), call.kwargs)
    emit(call.func, args, kwargs)
    emit(torch.Tensor.copy_, (call.written, emit(softtorch.straight_through, (hard, args[0]), {})), {})
    return call.written
