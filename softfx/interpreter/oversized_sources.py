"""Sources of scatter, scatter_add and scatter_reduce that are larger than their index.

torch reads as much of a source as the index is large, and its derivative refuses all sources but those of that size. In
the program a source without a derivative may be larger; where softening gives it one, what is read is taken out first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softfx import ops
from softfx.interpreter.call import Call, on_operands
from softfx.interpreter.parts import part_of
from softfx.interpreter.state import RunState
from softfx.ops.calls import Function
from softfx.ops.spelling import INDEX

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
    if not isinstance(index, Tensor) or not isinstance(source, Tensor) or max(index.dim(), 1) != max(source.dim(), 1):
        return call
    known = state.environment.facts(source)
    if index.shape == source.shape or not known.depends_on_source:
        return call
    # One number that is written stands beside a row as its first one does.
    part = tuple(slice(size) for size in index.shape) if index.dim() else (0,)
    fitting = part_of(state, call, source, part if source.dim() else (None,))
    args = tuple(fitting if argument is source else argument for argument in call.args)
    kwargs = {name: fitting if argument is source else argument for name, argument in call.kwargs.items()}
    return on_operands(call, state.environment, args, kwargs)
