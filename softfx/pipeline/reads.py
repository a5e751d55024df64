"""What the Python behind a target can read besides its arguments, as a list that two moments can be compared by.

It is walked from the target: attributes at any depth, containers, classes, and of each function its code, its defaults,
its closure and the globals that it names. Foreign objects are held by identity.
"""

from __future__ import annotations

import collections
import contextvars
import functools
import os
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from softfx import torch_private as private

__all__ = ["exact", "same_reads", "state_read"]

_ATOMS = (bool, int, float, complex, str, bytes, type(None))
_LIBRARIES = ("torch", "softfx", "softtorch", "builtins", "abc", "typing", "collections")
_END = object()
_TENSORS = ("_parameters", "_buffers", "_softfx")


def exact(value: object) -> object:
    """A plain value with what tells it apart: 2 is not 2.0, nor True 1, nor 0.0 -0.0.

    >>> exact(2) == exact(2.0), exact(0.0) == exact(-0.0), exact(1) == exact(1)
    (False, False, True)
    """
    if isinstance(value, float | complex):
        return type(value), repr(value)
    return (type(value), value) if isinstance(value, _ATOMS) else value


def state_read(root: object) -> list[object]:
    """Everything that code of `root`, a module or a function, may read; tensors by identity."""
    fetched = {id(module) for module in root.modules()} if isinstance(root, nn.Module) else set[int]()
    return [torch.get_default_dtype(), *_walk(root, set(), fetched)]


def same_reads(before: list[object], after: list[object]) -> bool:
    """Return True if two states are the same."""
    if len(before) != len(after):
        return False
    return all(old is new or _equal(old, new) for old, new in zip(before, after, strict=True))


def _equal(old: object, new: object) -> bool:
    return isinstance(old, tuple | torch.dtype | torch.device) and type(old) is type(new) and old == new


def _walk(root: Any, seen: set[int], fetched: set[int]) -> Iterator[object]:
    """All that belongs to a value, depth first; without recursion, because modules hold modules a thousand deep.

    fetched: the modules whose parameters and buffers are looked up at each call.
    """
    left: list[Iterator[Any]] = [iter((root,))]
    while left:
        value = next(left[-1], _END)
        if value is _END:
            left.pop()
        elif isinstance(value, _ATOMS):
            yield exact(value)
        else:
            yield type(value) if isinstance(value, tuple) else value  # of which the items follow
            if id(value) not in seen and not isinstance(value, Tensor):
                seen.add(id(value))
                left.append(_parts(value, id(value) in fetched))


def _parts(value: Any, is_fetched: bool) -> Iterator[object]:
    """What belongs to a value, in an order that does not depend on its contents."""
    if isinstance(value, type):
        yield from () if _is_library(value) else _of_class(value)
        return
    yield from _contents(value)
    if isinstance(value, types.FunctionType):
        yield from () if _is_library(value) else _of_function(value)
    elif not isinstance(value, types.ModuleType):
        yield from _of_instance(value)
        if isinstance(value, nn.Module):
            yield from _tensors_of(value, is_fetched)


def _contents(value: Any) -> Iterator[object]:
    """What a value of one of Python's own types holds."""
    if isinstance(value, tuple | list | collections.deque):
        yield from (len(value), *value)
    elif isinstance(value, dict | types.MappingProxyType):
        yield from _entries(value)
    elif isinstance(value, set | frozenset):
        yield repr(sorted(map(repr, value)))
    elif isinstance(value, types.MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, property):
        yield value.fget
    elif isinstance(value, staticmethod | classmethod):
        yield value.__func__
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, contextvars.ContextVar):
        yield value.get(_END)
    elif isinstance(value, weakref.ref):
        yield value()
    elif hasattr(type(value), "__next__"):
        yield object()  # what it gives next is not known before
    elif (held := _bytes(value)) is not None:
        yield held


def _bytes(value: Any) -> object:
    """The bytes in the memory of an array; None of anything else."""
    try:
        return memoryview(value).tobytes()
    except TypeError:
        return None
    except ValueError:  # an array of objects: of these nothing is known
        return object()


def _of_instance(value: Any) -> Iterator[object]:
    """The type of an object and its attributes, those in slots included."""
    if isinstance(getattr(value, "__dict__", None), dict):
        yield type(value)
        yield from _entries({name: item for name, item in vars(value).items() if name not in _TENSORS})
    for kind in type(value).__mro__ if not _is_library(type(value)) else ():
        if not isinstance(slots := vars(kind).get("__slots__", ()), str):
            yield from (type(value), *(getattr(value, name, _END) for name in slots))


def _tensors_of(module: nn.Module, is_fetched: bool) -> Iterator[object]:
    """Which parameters and buffers there are, and of what form; if they are not fetched, the tensors themselves."""
    tables = private.module_tables(module)
    items = [item for key in _TENSORS[:2] for item in tables[key].items()]
    yield repr([(name, _form(item)) for name, item in items])
    if not is_fetched:
        yield from (item for _, item in items)


def _of_class(value: type) -> Iterator[object]:
    """Attributes, methods and bases of a class, and of its special methods those written in Python."""
    own = vars(value).items()
    yield from _entries({k: v for k, v in own if not k.startswith("__") or isinstance(v, types.FunctionType)})
    yield from value.__bases__


def _form(tensor: Tensor | None) -> object:
    """What code may ask of a tensor besides its elements."""
    return None if tensor is None else (tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad)


def _entries(table: Mapping[Any, object]) -> Iterator[object]:
    # A dict of another kind may load what it does not hold yet when its own methods are called.
    stored = list(dict.items(table) if isinstance(table, dict) else table.items())
    yield len(stored)
    for name, item in stored:
        yield from (name, item)


def _of_function(function: types.FunctionType) -> Iterator[object]:
    yield from (function.__code__, function.__defaults__, function.__kwdefaults__, vars(function))
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it has no value yet
            yield _END
    names = set(_names(function.__code__))
    if names & {"environ", "getenv"}:
        yield repr(sorted(os.environ.items()))
    for name in sorted(names & function.__globals__.keys()):
        read = function.__globals__[name]
        yield read
        yield from _of_module(read, names)


def _of_module(read: object, names: set[str]) -> Iterator[object]:
    """The attributes of a module that code may name, those of the modules among them included."""
    left = [read]
    for module in left:
        if isinstance(module, types.ModuleType) and not _is_library(module):
            found = [vars(module)[name] for name in sorted(names & vars(module).keys())]
            yield from found
            left += [item for item in found if isinstance(item, types.ModuleType) and item not in left]


def _names(code: types.CodeType) -> Iterator[str]:
    """The globals and attributes that code names, that of functions made in it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _is_library(value: Any) -> bool:
    name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
    return str(name).partition(".")[0] in _LIBRARIES
