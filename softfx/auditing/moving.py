"""The original, run with the operands of one site moved: a call at a time, with nothing else looked at.

It is the run that an audit makes thousands of times, so it goes past the interpreter. The site is found by its place in
the program, which stays right where a moved operand makes the program take another branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from softfx.decisions.site import SiteKey
from softfx.interpreter.host import HostMode
from softfx.interpreter.inline import inlined
from softfx.locations import Place, locate, module_paths
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.spelling import INDEX
from softfx.ops.trees import map_tensors
from softfx.pipeline.session import BOUNDARY, run_under
from softfx.rules import rule_of_call
from softfx.rules.comparison import as_written
from softfx.torch_private import PythonOnly

__all__ = ["Mover", "Steps"]

# For each call of the site in order: what is added to the tensors among its arguments, None where one stays.
Steps = Sequence[Sequence[Tensor | None]]


class Mover:
    """Runs one target with sites moved. place: stands in for the line of calls that no user code makes."""

    def __init__(self, root: object, place: Place) -> None:
        self._root, self._place = root, place

    @cached_property
    def _paths(self) -> Any:
        return module_paths(self._root)

    def run(
        self, key: SiteKey, functions: frozenset[Function], steps: Steps, function: Function, args: Args, kwargs: Kwargs
    ) -> Result:
        """`function(*args, **kwargs)` with these steps added to the operands of a site.

        functions: those by which the program calls the site's operation.
        """
        with PythonOnly():
            return run_under(_Moving(self, key, functions, steps), function, args, kwargs)

    def site(self, func: Function, args: Args, kwargs: Kwargs) -> SiteKey | None:
        """The site that a call is, by its place in the program."""
        rule = rule_of_call(INDEX.of(func), args, kwargs)
        if rule is None:
            return None
        location = locate(BOUNDARY, self._paths, self._place)
        return SiteKey.of(as_written(rule, location.symbol), location)


class _Moving(HostMode):
    """Makes every call as it is, but for those of the site."""

    def __init__(self, mover: Mover, key: SiteKey, functions: frozenset[Function], steps: Steps) -> None:
        super().__init__()
        self._mover, self._key, self._functions = mover, key, functions
        self._steps: Iterator[Sequence[Tensor | None]] = iter(steps)

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        kwargs = kwargs or {}
        if (body := inlined(func)) is not None:
            with self:
                return body(*args, **kwargs)
        if func in self._functions and self._mover.site(func, args, kwargs) == self._key:
            args, kwargs = _moved(next(self._steps, ()), func, args, kwargs)
        return func(*args, **kwargs)

    def received(self, name: str, result: Any) -> None:
        """A softened part of the program runs by its own decisions: nothing of it is a site here."""


def _moved(steps: Sequence[Tensor | None], func: Function, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """The arguments with the steps added; steps of another shape are left out, for the program went another way."""
    remaining = iter(steps)
    in_place = INDEX.of(func).in_place or bool(kwargs.get("inplace"))
    written = args[0] if in_place and args else None

    def other(tensor: Tensor) -> Any:
        step = next(remaining, None)
        if step is None or step.shape != tensor.shape:
            return tensor
        if tensor is written:  # it must write this very tensor
            with torch.no_grad():
                tensor.add_(step.to(tensor))
            return tensor
        return tensor + step.to(tensor)

    found: tuple[Args, Kwargs] = map_tensors(other, (args, kwargs))
    return found
