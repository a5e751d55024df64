"""Backends carry out calls. `Direct` makes them; the one of softfx.pipeline.rewrite writes them as nodes of a graph."""

from __future__ import annotations

from typing import Any, Protocol

from softfx.decisions.site import Decision, Softness
from softfx.ops.calls import Args, Function, Kwargs, Result

__all__ = ["Backend", "Direct"]


class Backend(Protocol):
    """Carries out the calls of a run."""

    def run(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """Make a call of the program."""

    def emit(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """Make a call that softening adds, as one visible step."""

    def repeat(self, func: Function, args: Args, kwargs: Kwargs, like: Any = None) -> Result:
        """Make a call of the program on other operands of the same shapes.

        like: the `template` of its result; that of the program's present call if it is left out.
        """

    def template(self, result: Result) -> Result:
        """The facts of a result that `repeat` needs to make its like later."""

    def softness(self, decision: Decision) -> Softness:
        """The softness of a site, as it is passed to its soft form."""


class Direct:
    """Calls are simply made; softness is read from the decision at each call."""

    def run(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        return func(*args, **kwargs)

    emit = run

    def repeat(self, func: Function, args: Args, kwargs: Kwargs, like: Any = None) -> Result:
        return func(*args, **kwargs)

    def template(self, result: Result) -> Result:
        return None

    def softness(self, decision: Decision) -> Softness:
        return decision.softness
