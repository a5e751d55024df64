"""Softened functions, and callable objects: what is called of them runs softened."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from torch import nn

from softfx import torch_private as private
from softfx.ops.calls import Result
from softfx.pipeline.softened import Softened
from softfx.report import Report
from softfx.report.words import in_short

__all__ = ["SoftFunction", "hard_function"]


P = ParamSpec("P")
R = TypeVar("R")


class SoftFunction(Generic[P, R]):
    """A function, softened: called like the original. A method that is called on a softened object runs softly, too."""

    def __init__(self, original: Callable[P, R], state: Softened) -> None:
        functools.update_wrapper(self, original, updated=())
        self._softfx = state

    @property
    def report(self) -> Report:
        """The sites found in the function, and the decision about each."""
        return self._softfx.report

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self._softfx.run(None, "__call__", self._softfx.function, args, kwargs))

    if not TYPE_CHECKING:  # a type checker is to refuse names that neither this class nor a function has

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__") or name == "_softfx":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            state = self._softfx
            value = getattr(state.function, name)
            if not isinstance(value, types.MethodType) or value.__self__ is not state.function:
                return value

            @functools.wraps(value)
            def method(*args: Any, **kwargs: Any) -> Result:
                return state.run(None, name, value, args, kwargs)

            return method

    def __repr__(self) -> str:
        return f"SoftFunction({self._softfx.original!r}, {in_short(self._softfx.report)})"

    def _repr_html_(self) -> str:
        return self._softfx.report._repr_html_()


def hard_function(target: Any) -> tuple[Any, str]:
    """The function beneath one that torch.compile or `soften` has made of it, and what is to be said of that.

    >>> hard_function(abs) == (abs, "")
    True
    """
    said = ""
    while True:
        if isinstance(target, SoftFunction):
            target = target._softfx.function
        elif not isinstance(target, nn.Module) and (inner := private.compiled_function(target)) is not None:
            target, said = inner, _COMPILED
        else:
            return target, said


_COMPILED = (
    "the target was compiled by torch.compile: what is softened is the original beneath, uncompiled; torch.compile "
    "takes the softened function"
)
