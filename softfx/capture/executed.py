"""Which Python code a call runs, line by line: by what it does not run, it reads nothing."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

__all__ = ["Ran", "executed"]

# Packages by which work reaches threads and processes that were there before.
_ELSEWHERE = frozenset({"concurrent", "multiprocessing", "queue", "_queue", "subprocess"})
_NAMING = frozenset(dis.hasname)


@dataclass(eq=False)
class Ran:
    """A piece of code that ran, the globals that it ran with, and the lines of it that ran."""

    code: CodeType
    scope: dict[str, Any]
    lines: set[int | None] = field(default_factory=lambda: {None})
    with_lines: bool = True

    @property
    def names(self) -> set[str]:
        """The globals, attributes and modules that these lines name; those of all lines where lines were not seen."""
        if not self.with_lines:
            return set(self.code.co_names)
        steps = (step for step in dis.get_instructions(self.code) if step.opcode in _NAMING)
        return {step.argval for step in steps if step.positions is None or step.positions.lineno in self.lines}


def executed(call: Callable[[], object], apart: Callable[[str], bool]) -> list[Ran] | None:
    """The code that a call runs, each piece once, that of threads which it starts included.

    Lines are seen where nobody else traces this thread, as debuggers do.

    Args:
        call: what is called.
        apart: whether code is left out, by the name of its outermost package; so is what it calls of Python's library.

    Returns:
        The pieces of code; None where not all of it can be seen: somebody profiles this thread, or threads and
        processes that the call did not start may have done a part of the work.

    >>> ran = executed(lambda: max([2, 1], key=lambda number: -number), apart=lambda package: package == "threading")
    >>> [piece.code.co_name for piece in ran][:2]
    ['<lambda>', '<lambda>']
    """
    if sys.getprofile() is not None or threading.getprofile() is not None:
        call()
        return None
    look = _Look(apart)
    look.begin()
    try:
        call()
    finally:
        hooks = sys.getprofile(), sys.gettrace()
        sys.setprofile(None)
        if look.with_lines:
            sys.settrace(None)
        look.end(*hooks)
    return None if look.unseen else look.found


class _Look:
    """Looks at the code that runs: at calls as a profiler does, at lines as a debugger does."""

    def __init__(self, apart: Callable[[str], bool]) -> None:
        self._apart = apart
        self._ran: dict[tuple[int, int], Ran] = {}
        self._packages: dict[int, str] = {}
        self._threads = threading.active_count()
        self._elsewhere = _ELSEWHERE if self._threads == 1 else _ELSEWHERE | {"threading"}
        self.with_lines = sys.gettrace() is None and threading.gettrace() is None
        self._ended = False
        self.unseen = False

    @property
    def found(self) -> list[Ran]:
        """The pieces of code."""
        return list(self._ran.values())

    def begin(self) -> None:
        """Set the hooks, for this thread and those that it starts."""
        self._profile, self._trace = self._note, self._call  # one object each, to be known again
        threading.setprofile(self._profile)
        if self.with_lines:
            threading.settrace(self._trace)
            sys.settrace(self._trace)
        sys.setprofile(self._profile)

    def end(self, profile: object, trace: object) -> None:
        """Take the hooks away from threads to come; where the call has replaced them by others, not all was seen."""
        threads = threading.active_count()
        self._ended = True
        threading.setprofile(None)
        if self.with_lines:
            threading.settrace(None)
        self.unseen = self.unseen or threads > self._threads or profile is not self._profile
        for ran in self._ran.values():
            ran.with_lines = trace is self._trace

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        if self._ended:
            sys.setprofile(None)  # of a thread that outlives the call
        elif event == "call":
            if not self._is_apart(frame):
                self._ran_in(frame)
        elif event == "c_call":
            self.unseen = self.unseen or self._hands_over(argument, frame)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self._ended:
            sys.settrace(None)
            return None
        if self._is_apart(frame):
            return None
        lines = self._ran_in(frame).lines
        lines.add(frame.f_lineno)

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line

    def _ran_in(self, frame: FrameType) -> Ran:
        key = (id(frame.f_code), id(frame.f_globals))
        if key not in self._ran:
            self._ran[key] = Ran(frame.f_code, frame.f_globals, with_lines=self.with_lines)
            self.unseen = self.unseen or self._package(frame.f_globals) in self._elsewhere
        return self._ran[key]

    def _is_apart(self, frame: FrameType | None) -> bool:
        """Return True for code that is left out, and for what it calls of Python's own library."""
        while frame is not None:
            package = self._package(frame.f_globals)
            if self._apart(package):
                return True
            if package not in sys.stdlib_module_names:
                return False
            frame = frame.f_back
        return False

    def _package(self, scope: dict[str, Any]) -> str:
        """The outermost package of the code that runs with these globals."""
        if id(scope) not in self._packages:
            self._packages[id(scope)] = str(scope.get("__name__")).partition(".")[0]
        return self._packages[id(scope)]

    def _hands_over(self, function: Any, frame: FrameType) -> bool:
        """Return True for a function in C that gives work to a thread without the Python of the packages above."""
        if type(getattr(function, "__self__", None)).__module__ == "_queue":
            return True
        starts = getattr(function, "__module__", None) == "_thread" and function.__name__.startswith("start_")
        return starts and self._package(frame.f_globals) != "threading"
