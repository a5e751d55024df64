"""Clipped numbers that are compared with the number at which they were clipped: relu(x) > 0, count_nonzero(relu(x)).

What such a comparison asks is whether they were clipped, and x itself tells how near that was (softfx.runtime.clips).
A planning run finds the clips that are asked about so; only these are remembered afterwards. To add an operation that
clips, give its bounds in BOUNDS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.interpreter.call import Call
from softfx.interpreter.operands import operands_of
from softfx.interpreter.records import Clip
from softfx.interpreter.state import RunState
from softfx.interpreter.statistics import COMPARISONS
from softfx.ops.calls import Result
from softfx.ops.operation import Operation
from softfx.rules import spread
from softfx.rules.context import Beside
from softfx.runtime.clips import beside_corner

__all__ = ["asked_about", "note"]

_IDIOM = "clipping: whether it was done is asked of the numbers themselves"

BOUNDS: dict[Operation, Callable[[Mapping[str, Any]], tuple[Any, Any]]] = {
    ops.relu: lambda given: (0.0, None),
    ops.relu6: lambda given: (0.0, 6.0),
    ops.hardtanh: lambda given: (given["min_val"], given["max_val"]),
    ops.clamp: lambda given: (given["min"], given["max"]),
    ops.clamp_min: lambda given: (given["min"], None),
    ops.clamp_max: lambda given: (None, given["max"]),
}


def note(state: RunState, call: Call, result: Result) -> None:
    """Remember what a call has clipped, and where, if that may be asked about."""
    bounds = BOUNDS.get(call.operation)
    if bounds is None or not isinstance(result, Tensor) or call.all_written or not torch.is_grad_enabled():
        return
    if not state.planning and (call.name, call.location) not in state.evidence.asked_clips:
        return
    named = operands_of(call)
    if named is not None and isinstance(named["input"], Tensor) and not call.softs:
        low, high = (bound if isinstance(bound, int | float) else None for bound in bounds(named))
        clip = Clip(named["input"], low, high, (call.name, call.location), state.writes.count)
        state.clips.set(result, clip)


def asked_about(state: RunState, call: Call) -> Beside | None:
    """Whether a call compares clipped numbers with the number at which they were clipped, or counts those beyond 0."""
    counts = call.operation is ops.count_nonzero
    if not state.clips.entries or call.softs or len(call.tensors) != 1:
        return None
    clip = state.clips.get(call.tensors[0])
    if clip is None or clip.writes != state.writes.count or not (counts or call.operation in COMPARISONS):
        return None
    corner = 0.0 if counts else next((o for o in call.args if isinstance(o, int | float)), None)
    if corner is None or corner not in (clip.low, clip.high) or clip.low == clip.high:
        return None
    state.evidence.asked_clips.add(clip.origin)
    reflected = not counts and (call.args[0] is not call.tensors[0]) is not call.spelled.reflected
    measure = partial(spread.between, clip.input, corner, "the margins before clipping")
    return Beside(corner, beside_corner, (corner == clip.low,), clip.input, reflected, measure, _IDIOM)
