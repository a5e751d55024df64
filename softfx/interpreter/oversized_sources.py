"""Sources of scatter, scatter_add and scatter_reduce that are larger than their index.

torch reads as much of a source as the index is large, and its derivative refuses all sources but those of that size. In
the program a source without a derivative may be larger; where softening gives it one, what is read is taken out first.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from softfx import ops
from softfx.interpreter.call import Call
from softfx.interpreter.hard_values import hard_value
from softfx.interpreter.soft_call import facts_of_carried
from softfx.interpreter.state import RunState
from softfx.ops.calls import Function
from softfx.ops.spelling import INDEX, Spelled
from softfx.ops.trees import tensors_in
from softfx.rules import rule_of
from softfx.torch_private import version_of

__all__ = ["may_be_oversized", "with_fitting_source"]

_SCATTERS = frozenset((ops.scatter, ops.scatter_add, ops.scatter_reduce, ops.scatter_extremum))
_INDEX, _SOURCE = 2, 3


def may_be_oversized(func: Function) -> bool:
    """Return True for a function whose source may be larger than its index."""
    return INDEX.of(func).operation in _SCATTERS


def with_fitting_source(state: RunState, call: Call) -> Call:
    """The call with a source of the size of its index, where the source depends on what is differentiated."""
    if call.operation not in _SCATTERS or not torch.is_grad_enabled():
        return call
    index = call.args[_INDEX] if len(call.args) > _INDEX else call.kwargs.get("index")
    source = call.args[_SOURCE] if len(call.args) > _SOURCE else call.kwargs.get("src")
    if not isinstance(index, Tensor) or not isinstance(source, Tensor) or index.dim() != source.dim():
        return call
    known = state.environment.facts(source)
    if index.shape == source.shape or not known.depends_on_source:
        return call
    fitting = _taken(state, call, source, index)
    args = tuple(fitting if argument is source else argument for argument in call.args)
    kwargs = {name: fitting if argument is source else argument for name, argument in call.kwargs.items()}
    tensors = tensors_in((args, kwargs))
    facts = [state.environment.facts(tensor) for tensor in tensors]
    return replace(call, args=args, kwargs=kwargs, tensors=tensors, facts=facts)


def _taken(state: RunState, call: Call, source: Tensor, index: Tensor) -> Tensor:
    """The part of a source that an index reads, with what is known of the source."""
    emit, known = state.backend.emit, state.environment.facts(source)
    key = tuple(slice(size) for size in index.shape)
    fitting: Tensor = emit(Tensor.__getitem__, (source, key), {})
    hard = None if known.hard is None else emit(Tensor.__getitem__, (hard_value(state, source), key), {})
    facts = replace(known, soft=None, hard=hard, version=version_of(fitting))
    if known.soft is not None:
        spelled = Spelled(ops.getitem)
        taking = replace(
            call, func=Tensor.__getitem__, args=(source, key), kwargs={}, tensors=[source], facts=[known],
            spelled=spelled, rule=rule_of(ops.getitem),
        )  # fmt: skip
        facts = replace(facts, soft=facts_of_carried(state, taking, fitting).soft)
    state.environment.set(fitting, facts)
    return fitting
