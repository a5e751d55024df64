"""Choices with exchanged places: what a further run of the program chooses at the sites that a policy exchanges.

A further run makes the call of such a site on the row with some entries that are chosen, one at least and all at most,
and as many that are not, exchanged: whatever the program makes of it, indices, values, a mask, is what a call gives.
The site itself is hard there: its scores have their derivative from the program's own run, and what is chosen learns by
being chosen.

Source: Fedorov 1972, Theory of Optimal Experiments (the exchange algorithm); Guo et al. 2019, arXiv 1904.00420, whose
shared weights learn on paths drawn one a step.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from softfx.decisions.site import Decision
from softfx.interpreter.call import Call
from softfx.interpreter.hard_call import hard_call
from softfx.interpreter.native import run
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.trees import map_tensors

__all__ = ["chooses_once", "exchanged"]


# Of a choice among more of them, as in pruning, a run tries too small a part to be worth its time.
_MOST = 4096


def chooses_once(call: Call) -> bool:
    """Return True for a choice among all entries of one operand, and not too many: one for the whole call."""
    row = _row_of(call)
    return row is not None and row.numel() <= _MOST


def exchanged(state: RunState, call: Call, decision: Decision) -> Result | None:
    """The call of a site with some of its chosen places exchanged; None where there is nothing to exchange."""
    row = _row_of(call)
    if state.exchange is None or row is None or not decision.is_exchanged:
        return None
    chosen = _chosen_of(run(state, call), row.numel())
    if chosen is None:
        return None
    state.exchange.made.add(decision.id)
    places = state.exchange.places(decision.id, chosen, row.numel())
    moved = state.backend.run(torch.index_select, (row, 0, torch.tensor(places, device=row.device)), {})
    args, kwargs = map_tensors(lambda tensor: moved if tensor is row else tensor, (call.args, call.kwargs))
    tensors = [moved if tensor is row else tensor for tensor in call.tensors]
    facts = [replace(known, soft=None) for known in call.facts]
    return hard_call(state, replace(call, args=args, kwargs=kwargs, tensors=tensors, facts=facts))


def _row_of(call: Call) -> Tensor | None:
    """The entries that a call chooses among, where all else is single numbers."""
    wide = [tensor for tensor in call.tensors if tensor.numel() > 1]
    return wide[0] if len(wide) == 1 and wide[0].dim() == 1 else None


def _chosen_of(result: Result, n: int) -> list[int] | None:
    """The places that a choice among n entries has taken, by its result: indices, beside values or alone, or a mask.

    Of a whole order any part may be what is chosen: its half is taken, beyond which most of them have a neighbour.
    None for another result, or where all are chosen.
    """
    found = result[-1] if isinstance(result, tuple) else result
    if not isinstance(found, Tensor) or found.dtype not in (torch.int64, torch.bool):
        return None
    places = (found.nonzero() if found.dtype is torch.bool else found).flatten().tolist()
    if found.dtype is torch.int64 and len(places) == n:
        return places[: n // 2]
    return places if 0 < len(places) < n else None
