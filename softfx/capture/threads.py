"""Threads that a call starts: torch's function protocol belongs to one thread and does not see what others compute.

Softening another thread would take the protocol's modes into it, and leave them there: the workers of a pool outlive
the call. So what runs there runs as it is, and that is told.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

from softfx.ops.trees import tensors_in

__all__ = ["watched_threads"]


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
        tell("it starts threads: torch's function protocol does not see what runs in them, so that it runs as it is")


def _has_tensors(frame: FrameType, called: Any) -> bool:
    """Return True if a function that runs holds a tensor or a module, or calls a function of torch."""
    if called is not None and getattr(torch, getattr(called, "__name__", ""), None) is called:
        return True
    return any(map(_holds, (getattr(called, "__self__", None), *frame.f_locals.values())))


def _holds(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds, value))
    return isinstance(value, torch.nn.Module) or bool(tensors_in(value))
