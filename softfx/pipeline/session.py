"""One run of a program under a function mode, and the parts of it that come after its call has returned.

A generator, an iterator such as `map` gives, a coroutine and a function that a call returns compute when they are used.
They are handed out wrapped: each step enters the mode of the run again, so that it is softened as the call was.
"""

from __future__ import annotations

import functools
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from softfx import torch_private as private
from softfx.capture.later import computes_later
from softfx.interpreter.interpreter import Interpreter
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.trees import is_flat

__all__ = ["BOUNDARY", "Session", "run_under"]


def run_under(mode: AbstractContextManager[Any], function: Function, args: Args, kwargs: Kwargs) -> Result:
    """The boundary: frames further out than this one are not the target's."""
    with mode:
        return function(*args, **kwargs)


BOUNDARY = run_under.__code__


class Session:
    """The run of one call: the mode that its code runs under, and the interpreter behind it."""

    def __init__(self, mode: TorchFunctionMode, interpreter: Interpreter) -> None:
        self._mode = mode
        self._interpreter = interpreter

    def call(self, function: Function, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        """`function(*args, **kwargs)` in this run, its tensors among the sources; the result as the caller gets it."""
        kwargs = kwargs or {}
        for leaf in (*args, *kwargs.values()) if is_flat(args, kwargs) else private.leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self._interpreter.source(leaf)
        with private.PythonOnly():
            result = run_under(self._mode, function, args, kwargs)
        return self.given(result)

    def step(self, function: Function, *args: Any) -> Result:
        """`function(*args)` in this run, where what it returns is no result of the program yet."""
        with private.PythonOnly():
            return run_under(self._mode, function, args, {})

    def given(self, result: Result) -> Result:
        """A result as the caller gets it; a container in which nothing changes is itself."""
        if type(result) is Tensor:
            return self._leaf(result)
        leaves, structure = private.flatten(result)
        given = [self._leaf(leaf) for leaf in leaves]
        if all(new is old for new, old in zip(given, leaves, strict=True)):
            return result
        return private.unflatten(given, structure)

    def _leaf(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return self._interpreter.result(leaf)
        if isinstance(leaf, _Later) or not computes_later(leaf):
            return leaf
        return next(wrap for kind, wrap in _LATER if isinstance(leaf, kind))(self, leaf)


class _Later:
    """Something that a run returned and that computes when it is used. Its own attributes are there, too."""

    def __init__(self, session: Session, inner: Any) -> None:
        self._session, self._inner = session, inner

    def __getattr__(self, name: str) -> Any:
        if name in ("_session", "_inner"):  # what a copy asks before it has any
            raise AttributeError(name)
        return getattr(self._inner, name)


class _SoftIterator(_Later):
    """An iterator or a generator whose steps are softened."""

    def __iter__(self) -> _SoftIterator:
        return self

    def __next__(self) -> Any:
        return self._session.call(self._inner.__next__)

    def send(self, value: Any) -> Any:
        """Send a value to the generator."""
        return self._session.call(self._inner.send, (value,))

    def throw(self, *error: Any) -> Any:
        """Raise an exception where the generator waits."""
        return self._session.call(self._inner.throw, error)

    def close(self) -> None:
        """End the generator."""
        self._session.step(self._inner.close)


Generator.register(_SoftIterator)


class _SoftAsyncIterator(_Later):
    """An asynchronous iterator or generator whose steps are softened."""

    def __aiter__(self) -> _SoftAsyncIterator:
        return self

    async def __anext__(self) -> Any:
        return await _driven(self._session, self._inner.__anext__())

    async def asend(self, value: Any) -> Any:
        """Send a value to the generator."""
        return await _driven(self._session, self._inner.asend(value))

    async def athrow(self, *error: Any) -> Any:
        """Raise an exception where the generator waits."""
        return await _driven(self._session, self._inner.athrow(*error))

    async def aclose(self) -> None:
        """End the generator."""
        await _driven(self._session, self._inner.aclose())


class _Steps:
    """An awaitable whose steps run in a session."""

    def __init__(self, session: Session, inner: Any) -> None:
        self._session, self._inner = session, inner

    def __await__(self) -> Generator[Any, Any, Any]:
        session = self._session
        steps = session.step(self._inner.__await__)
        resume: Callable[[], Any] = functools.partial(session.step, next, steps)
        while True:
            try:
                waited_for = resume()
            except StopIteration as stop:
                return session.given(stop.value)
            try:
                value = yield waited_for
            except BaseException as error:
                resume = functools.partial(session.step, steps.throw, error)
            else:
                resume = functools.partial(session.step, next, steps)
                if value is not None:
                    resume = functools.partial(session.step, steps.send, value)


async def _driven(session: Session, inner: Any) -> Any:
    return await _Steps(session, inner)


def _function(session: Session, function: Any) -> Any:
    """A function that was made by the call: a closure, or a partial."""

    @functools.wraps(function)
    def later(*args: Any, **kwargs: Any) -> Any:
        return session.call(function, args, kwargs)

    return later


_LATER: tuple[tuple[Any, Callable[[Session, Any], Any]], ...] = (
    (Coroutine, _driven),
    (AsyncIterator, _SoftAsyncIterator),
    (Iterator, _SoftIterator),
    (types.FunctionType | functools.partial, _function),
)
