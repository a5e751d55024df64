"""Where in the user's code a call was made: file, line, text, module path.

The user's frame is the innermost one outside torch and softfx. Where there is none between the operation and
softfx itself (a torch.nn.Sequential of torch's own modules), the place where the target was handed over stands in.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import torch

import softtorch

__all__ = [
    "Location",
    "Place",
    "caller",
    "handed_over_at",
    "is_user_file",
    "locate",
    "module_paths",
    "resolve",
    "source_line",
]

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_HIDDEN = (*(os.path.dirname(os.path.abspath(str(package.__file__))) + os.sep for package in (torch, softtorch)), _OURS)
_MODULE_FILE = str(sys.modules["torch.nn.modules.module"].__file__)
_FUNCTION_FILE = str(sys.modules["torch.autograd.function"].__file__)
_HANDED_OVER: ContextVar[Place | None] = ContextVar("handed_over", default=None)


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int


@dataclass(frozen=True)
class Location:
    """A call in the user's code. `position` tells apart calls of one operation on one line."""

    file: str
    line: int
    module: str = ""
    position: tuple[int, ...] = ()
    function: str = ""  # the custom autograd.Function it is inside of, if any


def is_user_file(file: str) -> bool:
    return not file.startswith(_HIDDEN) and not file.startswith("<")


def source_line(file: str, line: int) -> str:
    return linecache.getline(file, line).strip()


@contextmanager
def handed_over_at(place: Place | None) -> Iterator[None]:
    """Let `caller` answer `place`: the command line hands over what is defined there."""
    token = _HANDED_OVER.set(place)
    try:
        yield
    finally:
        _HANDED_OVER.reset(token)


def caller() -> Place:
    """The innermost user frame that led here, or the place that was declared to be it."""
    if (declared := _HANDED_OVER.get()) is not None:
        return declared
    frame: FrameType | None = sys._getframe(1)
    last = frame
    while frame is not None:
        if is_user_file(frame.f_code.co_filename):
            return Place(frame.f_code.co_filename, frame.f_lineno)
        last, frame = frame, frame.f_back
    assert last is not None
    return Place(last.f_code.co_filename, last.f_lineno)


def _module_path(frame: FrameType, paths: Mapping[int, str]) -> str | None:
    """The module path if `frame` is a module's call."""
    if frame.f_code.co_name == "_call_impl" and frame.f_code.co_filename == _MODULE_FILE:
        return paths.get(id(frame.f_locals.get("self")))
    return None


def _function_name(frame: FrameType) -> str:
    if frame.f_code.co_name == "apply" and frame.f_code.co_filename == _FUNCTION_FILE:
        return str(getattr(frame.f_locals.get("cls"), "__name__", ""))
    return ""


def locate(boundary: CodeType, paths: Mapping[int, str], default: Place) -> Location:
    """The user's call that is running now, looking no further out than the frame that runs `boundary`."""
    frame: FrameType | None = sys._getframe(1)
    user: FrameType | None = None
    inner: tuple[int, ...] = ()
    module: str | None = None
    function = ""
    while frame is not None and frame.f_code is not boundary:
        file = frame.f_code.co_filename
        if not inner and not file.startswith(_OURS):
            inner = (frame.f_code.co_firstlineno, frame.f_lasti)
        if user is None and is_user_file(file):
            user = frame
        function = function or _function_name(frame)
        module = module if module is not None else _module_path(frame, paths)
        frame = frame.f_back
    if user is None:
        return Location(default.file, default.line, module or "", inner, function)
    return Location(user.f_code.co_filename, user.f_lineno, module or "", (user.f_lasti, *inner), function)


def module_paths(root: Any) -> dict[int, str]:
    """Dotted paths of a module's submodules by identity; nothing for a function."""
    if not isinstance(root, torch.nn.Module):
        return {}
    return {id(module): path for path, module in root.named_modules()}


def resolve(root: Any, path: str) -> Any:
    """What stands at a dotted path under a module."""
    for name in path.split("."):
        root = getattr(root, name)
    return root
