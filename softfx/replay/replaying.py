"""The mode of a run that goes by a recording while the program makes the calls of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from softfx.decisions.site import Softness
from softfx.interpreter import checkpoint_private
from softfx.interpreter.fast_path import FastPathCache
from softfx.interpreter.interpreter import Interpreter
from softfx.interpreter.own_histories import histories_of, note_made
from softfx.interpreter.soft_call import FAILURES
from softfx.interpreter.torch_mode import FastMode
from softfx.locations import Location
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.replay.recording import TABLES
from softfx.replay.text import OTHER
from softfx.replay.writing import Written

__all__ = ["ReplayingMode"]

_NO_KWARGS: Kwargs = {}
_gradients = torch.is_grad_enabled
_frame = sys._getframe
_hooks_of_saved_tensors = checkpoint_private.hooks_of_saved_tensors


class _Place:
    """Finds the place of the call that is being made.

    known: it, as the frames that make the call are those of the recording.
    """

    def __init__(self, find: Callable[[], Location]) -> None:
        self._find = find
        self.known: Location | None = None

    def __call__(self) -> Location:
        return self._find() if self.known is None else self.known


class ReplayingMode(FastMode):
    """Calls are made by the functions of a recording; from the first that differs on by the interpreter.

    held: what those functions hand on to each other.
    left_at: the number of the first call that differed; None if there was none.
    """

    def __init__(
        self, interpreter: Interpreter, cache: FastPathCache, where: Callable[[], Location],
        steps: Sequence[Written], places: int, given: Sequence[Tensor],
    ) -> None:  # fmt: skip
        self._place = _Place(where)
        super().__init__(interpreter, cache, self._place)
        state = interpreter.state
        self.held: list[Any] = [None] * places
        for place, tensor in enumerate(given):
            self.held[place] = tensor
        self.histories_of, self.note_made = histories_of, note_made
        self.carrier, self.turns, self.entry = self._carrier, state.turns, self._environment.get
        self.left_at: int | None = None
        self._steps = steps
        self._at, self._end = 0, len(steps)
        self._met: set[int] = set()

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        self._place.known = None
        at = self._at
        if at >= self._end:
            return self._left(at, func, types, args, kwargs)
        self._at = at + 1
        known, gradients, location, stack, make, by_interpreter, settle = self._steps[at]
        if (known is not func and known != func) or gradients is not _gradients():
            return self._left(at, func, types, args, kwargs)
        if _hooks_of_saved_tensors(True) is not None:
            return self._left(at, func, types, args, kwargs)
        if stack is not None and not stack.is_that_of(_frame(1)) and self._where() != location:
            return self._left(at, func, types, args, kwargs)
        try:
            result = make(self, func, args, kwargs or _NO_KWARGS)
        except FAILURES:  # what the interpreter answers by a hard call, or raises itself
            return self._left(at, func, types, args, kwargs)
        if result is OTHER:
            return self._left(at, func, types, args, kwargs)
        if not by_interpreter:
            return result
        self._place.known = location
        result = super().__torch_function__(func, types, args, kwargs)
        if settle is not None and self.left_at is None and settle(self, result) is OTHER:
            self.leave(at)
        return result

    def _left(self, at: int, func: Function, types: Any, args: Args, kwargs: Kwargs | None) -> Result:
        """The call, by the interpreter."""
        if self.left_at is None:
            self.leave(at)
        return super().__torch_function__(func, types, args, kwargs)

    def leave(self, at: int) -> None:
        """Go on under the interpreter."""
        self.left_at, self._at, self._end = at, 0, 0
        self.held.clear()

    def close(self) -> int | None:
        """End the recording's part in the run: what comes later of it is the interpreter's. Where it was left."""
        left_at = self.left_at
        self.leave(self._at)
        return left_at

    def __getattr__(self, name: str) -> Any:
        """A method of one of the tables of the run's state, as the functions of a recording call it."""
        table, _, verb = name.rpartition("_")
        if table not in (*TABLES, "environment", "writes"):
            raise AttributeError(name)
        found = getattr(getattr(self.interpreter.state, table), verb)
        setattr(self, name, found)
        return found

    def softness(self, site: int, turn: int | None) -> Softness:
        """The softness that the present decision about a site has."""
        return self.interpreter.state.sites[site].softness_at(turn)

    def switch_gradients(self, switched_off_at: Location | None, lifted_at: Location | None) -> None:
        """Note where gradients were switched off."""
        grad_mode = self.interpreter.state.grad_mode
        grad_mode.switched_off_at, grad_mode.lifted_at = switched_off_at, lifted_at

    def meets(self, tensor: Tensor) -> bool:
        """Return True for a tensor that the run has not made, and has not met before."""
        key = id(tensor)
        entry = self._entries.get(key)
        if key in self._met or (entry is not None and entry[0]() is tensor):
            return False
        self._met.add(key)
        return True

    def received(self, name: str, result: Any) -> None:
        self.leave(self._at)
        super().received(name, result)
