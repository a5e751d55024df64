"""Products with infinities that a guarded operation has made: the call as it is, and a derivative that is finite.

`x * log(x)` at 0 has the derivative log(0) by its first factor, which the guard of the logarithm never sees. What a
`where` does not select meets it with a weight of 0, and 0 times infinity is NaN. So the derivative is that of the same
call on operands that have 0 in the place of infinite elements.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

import softtorch
from softfx.interpreter.call import Call
from softfx.interpreter.native import repeat, run
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.operation import Infinities
from softfx.ops.trees import map_tensors
from softfx.runtime import guards
from softtorch.straight_through import finite as seen_finite

__all__ = ["meets_infinities", "run_with_finite_derivative"]


def meets_infinities(call: Call) -> bool:
    """Return True if the call multiplies by infinities, so that derivatives of its operands may be infinite or NaN."""
    return (
        call.operation.infinities is Infinities.SPREAD
        and any(facts.unbounded for facts in call.facts)
        and call.depends_on_source
        and torch.is_grad_enabled()
        and call.kwargs.get("out") is None
    )


def run_with_finite_derivative(state: RunState, call: Call) -> Result:
    """The result of the program's call, with the derivative of the call on finite operands."""
    if all(seen_finite(tensor.detach()) for tensor in call.tensors if tensor.is_floating_point()):
        return run(state, call)
    emit = state.backend.emit

    def finite(operand: Tensor) -> Tensor:
        result: Tensor = emit(guards.finite, (operand,), {}) if operand.is_floating_point() else operand
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
