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

__all__ = ["watched_threads"]


@contextmanager
def watched_threads(tell: Callable[[str], None]) -> Iterator[None]:
    """Note if threads are started while the block runs; then `tell` what that means.

    >>> with watched_threads(lambda reason: print(reason[:17])):
    ...     thread = threading.Thread(target=lambda: None)
    ...     thread.start()
    ...     thread.join()
    it starts threads
    """
    started = False
    before = threading.getprofile()

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal started
        sys.setprofile(before)  # of the thread that has just started; one event is enough
        started = True

    threading.setprofile(note)
    try:
        yield
    finally:
        threading.setprofile(before)
    if started:
        tell("it starts threads: torch's function protocol does not see what runs in them, so that it runs as it is")
