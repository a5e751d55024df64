"""Parts of a tensor that softening takes for its own steps, with what is known of the tensor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from softfx import ops
from softfx.interpreter.call import Call, on_operands
from softfx.interpreter.hard_values import hard_value
from softfx.interpreter.soft_call import facts_of_carried
from softfx.interpreter.state import RunState
from softfx.ops.spelling import Spelled
from softfx.rules import rule_of
from softfx.torch_private import version_of

__all__ = ["part_of"]


def part_of(state: RunState, call: Call, source: Tensor, key: Any) -> Tensor:
    """source[key], a view, for a key of slices and numbers, with the shadow and the hard value that it has."""
    emit, known = state.backend.emit, state.environment.facts(source)
    part: Tensor = emit(Tensor.__getitem__, (source, key), {})
    hard = None if known.hard is None else emit(Tensor.__getitem__, (hard_value(state, source), key), {})
    facts = replace(known, soft=None, hard=hard, version=version_of(part))
    if known.soft is not None:
        taking = on_operands(call, state.environment, (source, key), {})
        taking = replace(taking, func=Tensor.__getitem__, spelled=Spelled(ops.getitem), rule=rule_of(ops.getitem))
        facts = replace(facts, soft=facts_of_carried(state, taking, part).soft)
    state.environment.set(part, facts)
    return part
