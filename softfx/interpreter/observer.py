"""Observers see the calls of a run as the interpreter makes them: plots, audits and tests are observers.

To observe a run, subclass `Observer`, override what is of interest, and give it to the executor
(softfx.pipeline.execute.Eager.observed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from softfx.interpreter.call import Call
from softfx.ops.calls import Result

if TYPE_CHECKING:
    from softfx.interpreter.state import RunState

__all__ = ["Observer"]


class Observer:
    """Sees every call, and may put other operands in the place of a site's."""

    def before_site(self, state: RunState, call: Call) -> Call:
        """A call that is a site is about to be made: return it, or one on operands that stand for the same."""
        return call

    def after_call(self, state: RunState, call: Call, result: Result) -> None:
        """A call has been made, softly or not, and its result is what the program gets."""
