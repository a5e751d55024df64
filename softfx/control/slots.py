"""Methods of torch.Tensor that a run answers itself, without a function mode, for as long as a block lasts.

A function mode is told of every call and takes about as long as a small call does. A run that is made again for its
decisions alone needs no more than the few methods by which Python reads a value, and those by which a condition is
made. They are put in place on the class, and lead to torch's own wherever this thread makes no such run.
"""

from __future__ import annotations

import operator
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.interpreter.host import PLACE
from softfx.ops.calls import Function
from softfx.ops.spelling import INDEX

__all__ = [
    "COMPARISONS",
    "GUARD_CODE",
    "ORIGINALS",
    "READERS",
    "READ_CODE",
    "item",
    "names_of",
    "original_of",
    "put_in_place",
]

_BASE: Any = Tensor.__base__
_OPERATORS = {"div": ("__truediv__",)}  # of Python, by which a mode is told of a method of another name
READERS: frozenset[Function] = frozenset(
    getattr(_BASE, name) for name in ("__bool__", "__int__", "__float__", "__index__", "item")
)
item: Callable[[Tensor], Any] = _BASE.item
# Python's comparisons, by the names under which it looks for them, and the same of numbers.
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "__lt__": operator.lt, "__le__": operator.le, "__gt__": operator.gt, "__ge__": operator.ge,
}  # fmt: skip
COMPARISONS: frozenset[Function] = frozenset(
    getattr(owner, name)
    for owner in (_BASE, torch)
    for name in (*_ORDERS, *(operation.name for operation in (ops.lt, ops.le, ops.gt, ops.ge)))
    if hasattr(owner, name)
)  # fmt: skip

_Name = tuple[Any, str]
_LOCK = threading.Lock()
_in_place: Counter[_Name] = Counter()
_before: dict[_Name, Any] = {}  # what the owner itself had by that name; nothing if it inherited it


@cache
def names_of(function: Function) -> list[_Name] | None:
    """Where Python finds a function that a function mode was told of; None if that is not known.

    >>> [name for _, name in names_of(torch.Tensor.gt)], [name for _, name in names_of(torch.Tensor.bool)]
    (['gt', '__gt__'], ['bool'])
    """
    name = getattr(function, "__name__", "")
    if getattr(function, "__objclass__", None) is _BASE:
        specials = () if name.startswith("__") else (f"__{name}__", f"__r{name}__", *_OPERATORS.get(name, ()))
        found = [name, *(each for each in specials if getattr(_BASE, each, item) not in READERS)]
        return [(Tensor, each) for each in dict.fromkeys([*found, *_methods(function)])]
    if name and original_of(getattr(torch, name, item)) is function:
        return [(torch, name)]
    return [(Tensor, each) for each in _methods(function)] or None


def _methods(function: Function) -> list[str]:
    """The names under which the class itself has a function."""
    own = Tensor.__dict__.items()
    return [name for name, value in own if value is function or (callable(value) and original_of(value) is function)]


@contextmanager
def put_in_place(functions: Iterable[Function], guarded: Iterable[Function] = ()) -> Iterator[None]:
    """A block in which calls of functions, reads or others, are told to the run of the thread that makes them.

    guarded: those whose results the run may give in another way.
    """
    wanted = {}
    with _LOCK:
        for function in guarded:
            for owner, name in names_of(function) or ():
                wanted[owner, name] = _guarding(function, original_of(getattr(owner, name)))
        for function in functions:
            if function in READERS:
                wanted[Tensor, function.__name__] = _reading(function)
                continue
            for owner, name in names_of(function) or ():
                original = original_of(getattr(owner, name))
                order = _ORDERS.get(name)
                wanted[owner, name] = (
                    _noting(function, original) if order is None else _ordering(function, original, order)
                )
        for owner, name in wanted:
            if not _in_place[owner, name]:
                own = vars(owner)
                if name in own:
                    _before[owner, name] = own[name]
                setattr(owner, name, wanted[owner, name])
            _in_place[owner, name] += 1
    try:
        yield
    finally:
        with _LOCK:
            for owner, name in wanted:
                _in_place[owner, name] -= 1
                if _in_place[owner, name]:
                    continue
                if (owner, name) in _before:
                    setattr(owner, name, _before.pop((owner, name)))
                else:
                    delattr(owner, name)


def original_of(function: Function) -> Function:
    """torch's own function, where a mode is told of one that stands in its place, which is so in every thread."""
    return ORIGINALS.get(function, function)


ORIGINALS: dict[Any, Function] = {}
_readers: dict[Function, Function] = {}
_noters: dict[Function, Function] = {}
_guarders: dict[Function, Function] = {}


def _stands_for(function: Function, original: Function) -> Function:
    ORIGINALS[function] = original
    function.__name__ = getattr(original, "__name__", function.__name__)  # a mode of the program may ask for it
    INDEX.alias(function, original)
    return function


def _reading(original: Function) -> Function:
    if (known := _readers.get(original)) is None:

        def read(tensor: Tensor) -> Any:
            run = PLACE.run
            return original(tensor) if run is None else run.read(original, tensor, sys._getframe(1))

        known = _readers[original] = _stands_for(read, original)
    return known


def _noting(function: Function, original: Function) -> Function:
    if (known := _noters.get(original)) is None:

        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            run = PLACE.run
            if run is not None and run.notes:
                run.note(function, args, kwargs, result)
            return result

        known = _noters[original] = _stands_for(call, function)
    return known


def _ordering(function: Function, original: Function, order: Callable[[Any, Any], bool]) -> Function:
    if (known := _noters.get(original)) is None:

        def compare(left: Any, right: Any) -> Any:
            run = PLACE.run
            if run is None:
                return original(left, right)
            return run.compare(function, original, order, left, right, sys._getframe(1))

        known = _noters[original] = _stands_for(compare, function)
    return known


def _guarding(function: Function, original: Function) -> Function:
    if (known := _guarders.get(original)) is None:

        def call(*args: Any, **kwargs: Any) -> Any:
            run = PLACE.run
            if run is None or run.guard is None:
                return original(*args, **kwargs)
            return run.guard(function, original, args, kwargs, sys._getframe(1))

        known = _guarders[original] = _stands_for(call, function)
    return known


# Of what stands in the place of a read, and of a guarded function, whichever.
READ_CODE, GUARD_CODE = _reading(item).__code__, _guarding(Tensor.pow, Tensor.pow).__code__
