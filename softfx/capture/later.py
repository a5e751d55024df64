"""Results that compute after their call has returned: generators, `map` and its like, coroutines, closures.

To see what they do they are used, as far as that goes without waiting for anything.
"""

from __future__ import annotations

import functools
import inspect
import io
import types
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from torch import Tensor, nn

from softfx import torch_private as private

__all__ = ["computes_later", "exhausted", "holds_tensors"]

_STEPS = 64  # of an iterator that are looked at: it may have no end
_WAITS = object()


def computes_later(value: object) -> bool:
    """Return True for a result that computes when it is used, and can be seen then.

    >>> computes_later(map(abs, [1])), computes_later([1])
    (True, False)
    """
    if isinstance(value, nn.Module | io.IOBase | Tensor):
        return False
    if isinstance(value, types.FunctionType):
        return value.__closure__ is not None  # one of a module or a class holds nothing of the call
    return isinstance(value, Iterator | AsyncIterator | Coroutine | functools.partial)


def holds_tensors(value: object) -> bool:
    """Return True for an object of which softfx knows nothing but that tensors are among its attributes."""
    if isinstance(value, nn.Module | type | types.FunctionType):
        return False
    return any(isinstance(leaf, Tensor) for leaf in private.leaves(dict(getattr(value, "__dict__", {}))))


def exhausted(result: Any) -> list[Any]:
    """What comes of the parts of a result that compute later, as far as it goes without a caller's part in it."""
    found: list[Any] = []
    for leaf in private.leaves(result):
        try:
            _use(leaf, found)
        except Exception:  # what it waits for was not sent; a caller's own use will raise what there is to raise
            continue
    return found


def _use(leaf: Any, found: list[Any]) -> None:
    if isinstance(leaf, Iterator) and not isinstance(leaf, io.IOBase):
        found.extend(item for _, item in zip(range(_STEPS), leaf, strict=False))
    elif isinstance(leaf, AsyncIterator):
        while len(found) < _STEPS and (item := _without_waiting(leaf.__anext__())) is not _WAITS:
            found.append(item)
    elif inspect.iscoroutine(leaf):
        found.append(_without_waiting(leaf))


def _without_waiting(awaitable: Any) -> Any:
    """The result of an awaitable, or `_WAITS` where it waits for something or ends an iteration."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value
    except StopAsyncIteration:
        return _WAITS
    steps.close()
    return _WAITS
