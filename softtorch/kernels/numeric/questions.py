"""Questions about the numbers of tensors, which whoever repeats a computation has to ask again.

What an operator does may depend on what is in its operands: whether all of them are finite, how many steps a search
takes. Each such dependence is a function made by `question`. `heard_by` lets a listener see them as they are asked.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Listener(Protocol):
    """A listener, which questions are put to."""

    def ask(self, question: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Return the answer."""


class _Heard(threading.local):
    listener: Listener | None = None


_heard = _Heard()


def question(ask: Callable[P, R]) -> Callable[P, R]:
    """A function of tensors (and what is the same in each call), given by place, whose answer is a plain value."""

    @functools.wraps(ask)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        if _heard.listener is None:
            return ask(*args, **kwargs)
        assert not kwargs  # a listener compares places
        answer: R = _heard.listener.ask(ask, args)
        return answer

    return asked


@contextmanager
def heard_by(listener: Listener | None) -> Iterator[None]:
    """Within this context, and in this thread, questions are put to a listener."""
    before, _heard.listener = _heard.listener, listener
    try:
        yield
    finally:
        _heard.listener = before
