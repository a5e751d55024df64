"""What a comparison asks beside what its operands say: see softfx.interpreter.statistics and clipped."""

from __future__ import annotations

from softfx.interpreter import clipped, statistics
from softfx.interpreter.call import Call
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.rules.context import Beside

__all__ = ["beside", "note"]


def note(state: RunState, call: Call, result: Result) -> None:
    """Remember what the results of a call are, of which later ones may ask."""
    statistics.note(state, call, result)
    clipped.note(state, call, result)


def beside(state: RunState, call: Call, exact: bool) -> Beside | None:
    """What a call compares, if it is numbers with what was made of them and its value stays as it is (`exact`)."""
    if not exact or call.softs:
        return None
    return statistics.beside(state, call) or clipped.asked_about(state, call)
