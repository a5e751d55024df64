"""Copies of values: torch.tensor(x), torch.tensor([x, y]), x.new_tensor(y), torch.as_tensor([x, y]).

A new tensor holds what the operands held, and no derivative goes on to them: a cut of the program's own.
"""

from __future__ import annotations

from torch import Tensor

from softfx import ops
from softfx.interpreter.call import Call
from softfx.interpreter.hard_call import hard_call
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.trees import tensors_in
from softfx.values import ValueFacts

__all__ = ["COPIES", "copied", "copy_values"]

COPIES = "copies the value, without its derivative"


def copied(call: Call) -> list[ValueFacts]:
    """The facts of the operands that depend on a source and whose values the call copies; none for other calls."""
    if call.operation.copies_values:
        places = 1 if call.operation is ops.new_tensor else 0  # what it is called on says the type alone
    elif call.operation is ops.cast and call.args and isinstance(call.args[0], list | tuple):
        places = 0
    else:
        return []
    return [facts for facts in call.facts[places:] if facts.depends_on_source and not facts.detached_at]


def copy_values(state: RunState, call: Call, sources: list[ValueFacts]) -> Result:
    """The copy, from which no derivative goes on."""
    softs = [facts.soft for facts in sources if facts.soft]
    state.evidence.lost(softs, call.name, call.location, f"{call.name} {COPIES}")
    state.evidence.detached(frozenset[int]().union(*(facts.gradient_sites for facts in sources)), call.location)
    result = hard_call(state, call)
    integral = all(facts.integral for facts in sources)
    for output in tensors_in(result):
        assert isinstance(output, Tensor)
        state.environment.set(output, ValueFacts(True, integral=integral, detached_at=frozenset({call.location})))
    return result
