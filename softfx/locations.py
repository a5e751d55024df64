"""The place in the user's code where a call was made: file, line, source text, module path.

The user's frame is the innermost one outside torch and softfx. If there is none between the operation and softfx itself
(as in a torch.nn.Sequential of torch's own modules), the place where the target was handed over stands for it.
"""

from __future__ import annotations

import dis
import linecache
import os
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch

import softtorch
from softfx import torch_private as private

__all__ = [
    "Location",
    "Place",
    "Stack",
    "caller",
    "handed_over_at",
    "innermost_line",
    "instruction",
    "is_user_file",
    "locate",
    "module_paths",
    "portable_path",
    "resolve",
    "short_path",
    "shown_place",
    "source_line",
]

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_HIDDEN = (*(os.path.dirname(os.path.abspath(str(package.__file__))) + os.sep for package in (torch, softtorch)), _OURS)
_MODULE_FILE = str(sys.modules["torch.nn.modules.module"].__file__)
_FUNCTIONAL_FILE = str(sys.modules["torch.nn.functional"].__file__)
_FUNCTION_FILE = str(sys.modules["torch.autograd.function"].__file__)
_SCOPE_FILE = softtorch.scope.outside.__code__.co_filename  # through which softfx makes its calls
_HANDED_OVER: ContextVar[Place | None] = ContextVar("handed_over", default=None)


def short_path(file: str) -> str:
    """The path as a report spells it: from its package on for one of an installed package, from the current folder on
    for a file below that, and whole for any other.

    >>> short_path("/usr/lib/python3.11/site-packages/pkg/router.py")
    'pkg/router.py'
    """
    try:
        return _short_path(file, os.getcwd())
    except OSError:  # the current folder is gone
        return file


@cache
def _short_path(file: str, here: str) -> str:
    for folder in ("site-packages", "dist-packages"):
        head, found, tail = file.rpartition(f"{os.sep}{folder}{os.sep}")
        if found and head:
            return tail
    return file.removeprefix(here.rstrip(os.sep) + os.sep)


def portable_path(file: str) -> str:
    """The last two parts of the path as a report spells it: they tell files apart, and are the same in another clone of
    a project, whatever its folder is called.

    >>> portable_path("/usr/lib/python3.11/site-packages/pkg/nn/router.py")
    'nn/router.py'
    """
    return "/".join(PurePath(short_path(file)).parts[-2:])


def shown_place(file: str, line: int) -> str:
    """A line of a file as a report spells it."""
    return f"{short_path(file)}:{line}"


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int


class Location(NamedTuple):
    """A call in the user's code.

    position: tells apart calls of one operation on one line.
    symbol: the comparison as it is written there: Python calls x > 0.3 for 0.3 < x.
    within: the function of torch.nn.functional that makes the call as one of its steps.
    """

    file: str
    line: int
    module: str = ""
    position: tuple[int, ...] = ()
    function: str = ""  # the custom autograd.Function around it, if any
    symbol: str = ""
    within: str = ""


def is_user_file(file: str) -> bool:
    """Return True for a file outside torch, softtorch and softfx that holds source text."""
    return not file.startswith(_HIDDEN) and not file.startswith("<")


def source_line(file: str, line: int) -> str:
    """The source text of a line, or nothing where it cannot be read."""
    return linecache.getline(file, line).strip()


@contextmanager
def handed_over_at(place: Place | None) -> Iterator[None]:
    """Let `caller` return `place` inside the block, for the command line hands over what is defined there."""
    token = _HANDED_OVER.set(place)
    try:
        yield
    finally:
        _HANDED_OVER.reset(token)


def caller() -> Place:
    """The innermost frame of the user that led here, or the place that `handed_over_at` declares."""
    if (declared := _HANDED_OVER.get()) is not None:
        return declared
    return innermost_line(sys._getframe(1))


def innermost_line(frame: FrameType) -> Place:
    """The line of the innermost frame of the user from this one on; of the outermost one where none is the user's."""
    last: FrameType = frame
    pending: FrameType | None = frame
    while pending is not None:
        if is_user_file(pending.f_code.co_filename):
            return Place(pending.f_code.co_filename, pending.f_lineno)
        last, pending = pending, pending.f_back
    return Place(last.f_code.co_filename, last.f_lineno)


# The kinds of files that `locate` tells apart.
_TORCHS, _MODULES, _FUNCTIONS, _USERS, _OWN = range(5)
_kinds: dict[str, int] = {_MODULE_FILE: _MODULES, _FUNCTION_FILE: _FUNCTIONS, _SCOPE_FILE: _OWN}


def _kind(file: str) -> int:
    kind = _OWN if file.startswith(_OURS) else _USERS if is_user_file(file) else _TORCHS
    return _kinds.setdefault(file, kind)


def _is_call(frame: FrameType) -> bool:
    """Return True for the frame of a module's call.

    Each call has two such frames; this is the one with few locals, which are quick to get at.
    """
    name = frame.f_code.co_name
    if name == private.CALL_FRAME and frame.f_back is not None:
        return frame.f_back.f_code.co_name != private.WRAPPED_CALL_FRAME
    return name == private.WRAPPED_CALL_FRAME


def locate(boundary: CodeType, paths: Mapping[int, str], default: Place) -> Location:
    """The user's call that is running now; frames beyond the one that runs `boundary` are not looked at."""
    frame: FrameType | None = sys._getframe(1)
    user: FrameType | None = None
    inner: tuple[int, ...] = ()
    module: str | None = None
    function = within = ""
    while frame is not None and (code := frame.f_code) is not boundary:
        if (kind := _kinds.get(code.co_filename)) is None:
            kind = _kind(code.co_filename)
        if not inner and kind != _OWN:
            inner = (code.co_firstlineno, instruction(frame))
        if kind == _USERS:
            user = user or frame
        elif kind == _MODULES and module is None and _is_call(frame):
            module = paths.get(id(frame.f_locals.get("self")))
        elif kind == _TORCHS and user is None and _is_step(frame):
            within = code.co_name
        elif kind == _FUNCTIONS and not function and code.co_name == "apply":
            function = _own_derivative(frame.f_locals.get("cls"))
        frame = frame.f_back
    if user is None:
        return Location(default.file, default.line, module or "", inner, function, "", within)
    offset = instruction(user)
    symbol = "" if within else _comparison(user.f_code, offset)
    position = (offset, *inner)
    return Location(user.f_code.co_filename, user.f_lineno, module or "", position, function, symbol, within)


class Stack(NamedTuple):
    """Where the frames of the target stood at a call, from the innermost on.

    frames: the code of each, and its last instruction.
    place: among them of the one that tells the module that was called; -1 if there is none.
    module: that module.
    """

    frames: tuple[tuple[CodeType, int], ...]
    place: int
    module: Callable[[], object]

    @classmethod
    def at(cls, frame: FrameType | None, boundary: CodeType) -> Stack:
        """That of a frame and those around it, up to the one that runs `boundary`."""
        frames: list[tuple[CodeType, int]] = []
        place, module = -1, _no_module
        while frame is not None and frame.f_code is not boundary:
            if place < 0 and _is_module_call(frame):
                place, module = len(frames), weakref.ref(frame.f_locals["self"])
            frames.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
        return cls(tuple(frames), place, module)

    def is_that_of(self, frame: FrameType | None) -> bool:
        """Return True if a frame and those around it stand where these stood, called of the same module."""
        frames, place, module = self
        for code, last in frames:
            if frame is None or frame.f_code is not code or frame.f_lasti != last:
                return False
            if not place and frame.f_locals["self"] is not module():
                return False
            place -= 1
            frame = frame.f_back
        return True


def _no_module() -> None:
    return None


def _is_module_call(frame: FrameType) -> bool:
    return frame.f_code.co_filename == _MODULE_FILE and _is_call(frame)


_calls: dict[int, tuple[CodeType, dict[int, int]]] = {}


def instruction(frame: FrameType) -> int:
    """Where a frame stands, as an offset in its code.

    Python 3.11 has two instructions for one call, and which of them it stands at depends on whether Python or C is
    called; the first of them is given.
    """
    offset = frame.f_lasti
    if not _HAS_PRECALL:
        return offset
    code = frame.f_code
    if (known := _calls.get(id(code))) is None:
        known = _calls[id(code)] = code, _within_calls(code)
    return known[1].get(offset, offset)


_HAS_PRECALL = "PRECALL" in dis.opmap


def _within_calls(code: CodeType) -> dict[int, int]:
    """The offsets that belong to a call, each with that of its first instruction."""
    found: dict[int, int] = {}
    first: int | None = None
    for step in dis.get_instructions(code, show_caches=True):
        if step.opname == "PRECALL":
            first = step.offset
        elif step.opname not in ("CALL", "CACHE"):
            first = None
        if first is not None:
            found[step.offset] = first
    return found


def _own_derivative(cls: Any) -> str:
    """The name of a custom autograd.Function; empty for that of torch.utils.checkpoint, which computes again."""
    return "" if getattr(cls, "__module__", "") == "torch.utils.checkpoint" else str(getattr(cls, "__name__", ""))


def _is_step(frame: FrameType) -> bool:
    """Return True for the frame of a function of torch.nn.functional that softfx runs on, step by step."""
    caller = frame.f_back
    return (
        frame.f_code.co_filename == _FUNCTIONAL_FILE and caller is not None and _kind(caller.f_code.co_filename) == _OWN
    )


_comparisons: dict[int, tuple[CodeType, dict[int, str]]] = {}


def _comparison(code: CodeType, offset: int) -> str:
    """The symbol of the comparison that stands at an instruction; empty for another one."""
    known = _comparisons.get(id(code))
    if known is None or known[0] is not code:
        found = (item for item in dis.get_instructions(code) if item.opname == "COMPARE_OP")
        known = _comparisons[id(code)] = code, {item.offset: item.argrepr.strip("bol()") for item in found}
    return known[1].get(offset, "")


def module_paths(root: object) -> dict[int, str]:
    """The dotted paths of a module's submodules by the identity of each; none for a function."""
    if not isinstance(root, torch.nn.Module):
        return {}
    return {id(module): path for path, module in root.named_modules()}


def resolve(root: Any, path: str) -> Any:
    """The attribute at a dotted path under a module."""
    for name in path.split("."):
        root = getattr(root, name)
    return root


def table_of(root: Any, path: str) -> tuple[dict[str, Any], str]:
    """The dictionary of a module that has the attribute at a dotted path under it, and the key there."""
    owner, _, name = path.rpartition(".")
    holder = resolve(root, owner) if owner else root
    tables = (vars(holder), *private.module_tables(holder).values())
    return next(table for table in tables if name in table), name
