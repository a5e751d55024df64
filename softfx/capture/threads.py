"""Threads that a call starts or hands work to: torch's function protocol belongs to one thread and sees no other.

Softening another thread would take the protocol's modes into it, and leave them there: the workers of a pool outlive
the call. So what runs there runs as it is, and that is told.
"""

from __future__ import annotations

import functools
import inspect
import multiprocessing.pool
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from types import BuiltinMethodType, FrameType, FunctionType, MethodType
from typing import Any

import torch

from softfx.ops.trees import tensors_in

__all__ = ["watched_threads"]

_UNSEEN = "torch's function protocol does not see what runs in them, so that it runs as it is"
# The methods by which work is handed to workers that were there before the call.
_HANDOVERS: dict[str, type] = {
    "submit": Executor,
    "apply_async": multiprocessing.pool.Pool,
    "_map_async": multiprocessing.pool.Pool,
    "imap": multiprocessing.pool.Pool,
    "imap_unordered": multiprocessing.pool.Pool,
    "put": queue.Queue,
}


@contextmanager
def watched_threads(tell: Callable[[str], None]) -> Iterator[None]:
    """Note if threads that have tensors are started while the block runs; then `tell` what that means.

    A thread that has none, such as the monitor of a progress bar, computes nothing that could be softened.

    >>> with watched_threads(lambda reason: print(reason[:17])):
    ...     thread = threading.Thread(target=torch.round, args=(torch.ones(1),))
    ...     thread.start()
    ...     thread.join()
    it starts threads
    """
    with _watched_handovers(tell):
        yield from _watched_starts(tell)


def _watched_starts(tell: Callable[[str], None]) -> Iterator[None]:
    started = ended = False
    before = threading.getprofile()

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal started
        started = started or _has_tensors(frame, argument)
        if started or ended:
            sys.setprofile(before)  # of the thread that was started

    threading.setprofile(note)
    try:
        yield
    finally:
        ended = True
        threading.setprofile(before)
    if started:
        tell(f"it starts threads: {_UNSEEN}")


@contextmanager
def _watched_handovers(tell: Callable[[str], None]) -> Iterator[None]:
    """Note if this thread hands tensors to workers that are there already; nothing where someone profiles it."""
    if threading.active_count() < 2 or sys.getprofile() is not None:
        yield
        return
    handed = False

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal handed
        if event == "call" and frame.f_code.co_name in _HANDOVERS and _hands_over(frame):
            handed = True
            sys.setprofile(None)

    sys.setprofile(note)
    try:
        yield
    finally:
        if sys.getprofile() is note:
            sys.setprofile(None)
    if handed:
        tell(f"it hands work to threads or processes: {_UNSEEN}")


def _hands_over(frame: FrameType) -> bool:
    """Return True for a method of a pool or a queue that is given tensors, or a function that holds some."""
    held = dict(frame.f_locals)
    if not isinstance(held.pop("self", None), _HANDOVERS[frame.f_code.co_name]):
        return False
    tasks = [task for value in held.values() for task in getattr(value, "__dict__", {}).values()]  # of batches of calls
    return any(map(_holds, (*held.values(), *tasks)))


def _has_tensors(frame: FrameType, called: Any) -> bool:
    """Return True if a function that runs holds a tensor or a module, or calls a function of torch."""
    if called is not None and getattr(torch, getattr(called, "__name__", ""), None) is called:
        return True
    return any(map(_holds, (getattr(called, "__self__", None), *frame.f_locals.values())))


def _holds(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds, value))
    if isinstance(value, functools.partial):
        return any(map(_holds, (value.func, *value.args, *value.keywords.values())))
    if isinstance(value, MethodType | BuiltinMethodType):
        return _holds(value.__self__) or _holds(getattr(value, "__func__", None))
    if isinstance(value, FunctionType):
        return any(map(_holds, inspect.getclosurevars(value).nonlocals.values()))
    return isinstance(value, torch.nn.Module) or bool(tensors_in(value))
