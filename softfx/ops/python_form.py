"""The form in which a recorded call reads best in generated code: x - y rather than torch.Tensor.sub(x, y).

torch's function protocol hands over method descriptors and wrapped dunders, some of which have no importable name;
Python's operators do the same and print as operators.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor

__all__ = ["readable"]

_BINARY = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "true_divide": operator.truediv,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": operator.pow,
    "matmul": operator.matmul,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
    "getitem": operator.getitem,
}
_PLAIN_METHODS = ("add", "sub", "mul", "div", "true_divide", "pow", "matmul", "gt", "ge", "lt", "le", "eq", "ne")
_REFLECTED = {
    "sub": operator.sub,
    "truediv": operator.truediv,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": operator.pow,
    "matmul": operator.matmul,
}


def _tables() -> tuple[dict[Any, Callable[..., Any]], dict[Any, Callable[..., Any]]]:
    straight: dict[Any, Callable[..., Any]] = {}
    reflected: dict[Any, Callable[..., Any]] = {}
    for name, function in _BINARY.items():
        for method in (f"__{name}__", *((name,) if name in _PLAIN_METHODS else ())):
            if hasattr(Tensor, method):
                straight[getattr(Tensor, method)] = function
    straight[Tensor.__truediv__] = operator.truediv
    for name, function in _REFLECTED.items():
        if hasattr(Tensor, f"__r{name}__"):
            reflected[getattr(Tensor, f"__r{name}__")] = function
    return straight, reflected


_STRAIGHT, _SWAPPED = _tables()
_UNARY: dict[Any, Callable[..., Any]] = {
    Tensor.__neg__: operator.neg,
    Tensor.__invert__: operator.invert,
    Tensor.__setitem__: operator.setitem,
}


def readable(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function and arguments that do the same and print well.

    >>> import torch
    >>> readable(torch.Tensor.gt, (torch.ones(1), 0), {})[0]
    <built-in function gt>
    """
    written: Callable[..., Any] = func
    if kwargs:
        return written, args
    if func in _SWAPPED and len(args) == 2:
        return _SWAPPED[func], (args[1], args[0])
    if func in _UNARY:
        written = _UNARY[func]
    elif func in _STRAIGHT and len(args) == 2:
        written = _STRAIGHT[func]
    return written, args
