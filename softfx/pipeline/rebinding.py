"""The attributes of a module as those of a shallow copy: what refers to the module refers to the copy.

A module may keep its own bound methods, closures and partials (`self.add = self._add`), hooks over itself, and helpers
that hold it. Shared as they are, they would run the original and change its state. They are made anew over the copy.
So is state that is no parameter, buffer or submodule: plain tensors, and containers that hold tensors or are empty yet.
Configuration (other containers, objects that do not refer to the module) stays shared.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from softfx import torch_private as private
from softfx.capture import sharded
from softfx.capture.held import refill
from softfx.ops.calls import Kwargs

__all__ = ["rebound_attributes"]

_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
# What is looked through for references at most: beyond that an object is somebody else's.
_MOST = 10_000
# How instances are made that are nothing but their attributes.
_PLAIN = (object.__new__, types.SimpleNamespace.__new__)


def rebound_attributes(old: nn.Module, new: nn.Module, changed: frozenset[int] = frozenset()) -> Kwargs:
    """The `__dict__` of `old` for `new`, a shallow copy of it: parameters, buffers and submodules are the same objects.

    changed: the identities of containers that calls of the module are known to change.
    """
    rebinding = _Rebinding(old, new, changed)
    return {key: rebinding.attribute(key, value) for key, value in old.__dict__.items()}


class _Rebinding:
    """Copies of values in which every reference to one module is one to another."""

    def __init__(self, old: nn.Module, new: nn.Module, changed: frozenset[int]) -> None:
        self._old, self._new, self._changed = old, new, changed
        self._copies: dict[int, Any] = {id(old): new}
        self._kept: list[object] = []  # identities are compared, so what they belong to has to live
        tensors = [*old.parameters(), *old.buffers()]
        self._tensors = {id(tensor) for tensor in tensors}
        self._storages = {_address(tensor) for tensor in tensors} - {None}

    def attribute(self, key: str, value: Any) -> Any:
        """One attribute's value; a table of parameters, buffers, submodules or hooks is a table of the copy's own."""
        if key in private.TENSOR_TABLES and sharded.is_sharded(self._old):
            return value  # the state of the original writes whole parameters into it
        if isinstance(value, dict) and key.startswith("_"):
            return _refilled(value, {name: self._of(item) for name, item in value.items()})
        return self._of(value)

    def _of(self, value: Any) -> Any:
        if id(value) in self._copies:
            return self._copies[id(value)]
        copy = self._copied(value)
        self._kept.append(value)
        self._copies[id(value)] = copy
        return copy

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.clone() if self._is_state(value) else value
        if sharded.belongs_to_processes(value):
            return value
        if isinstance(value, nn.Module | type | types.ModuleType) or not self._needs_copy(value):
            return value
        if isinstance(value, types.MethodType):
            return types.MethodType(self._of(value.__func__), self._of(value.__self__))
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, functools.partial):
            arguments, keywords = self._of(value.args), self._of(value.keywords)
            return _with_attributes(type(value)(self._of(value.func), *arguments, **keywords), self._vars(value))
        if isinstance(value, weakref.ref):
            return weakref.ref(self._new)
        if isinstance(value, _CONTAINERS):
            return self._container(value)
        return self._object(value)

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        copy = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, cells or None
        )
        self._kept.append(function)
        self._copies[id(function)] = copy  # a function may refer to itself
        for cell, before in zip(cells, function.__closure__ or (), strict=True):
            for content in _contents(before):
                cell.cell_contents = self._of(content)
        copy.__defaults__ = self._of(function.__defaults__)
        copy.__kwdefaults__ = self._of(function.__kwdefaults__)
        copy.__qualname__, copy.__module__, copy.__doc__ = function.__qualname__, function.__module__, function.__doc__
        copy.__dict__.update(self._vars(function))
        return copy

    def _container(self, value: Any) -> Any:
        if isinstance(value, dict):
            return _refilled(value, {self._of(key): self._of(item) for key, item in value.items()})
        items = [self._of(item) for item in value]
        if isinstance(value, deque):
            return deque(items, value.maxlen)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*items)
        kind: Any = type(value)
        return kind(items)

    def _object(self, value: Any) -> Any:
        kind: Any = type(value)
        copy = kind.__new__(kind)
        self._kept.append(value)
        self._copies[id(value)] = copy
        return _with_attributes(copy, self._vars(value))

    def _vars(self, value: object) -> Kwargs:
        return {key: self._of(item) for key, item in vars(value).items()}

    # -- what needs a copy ---------------------------------------------------------------------------------------

    def _needs_copy(self, value: object) -> bool:
        return self._holds_state(value) or self._refers(value)

    def _holds_state(self, value: object) -> bool:
        """Return True for a container that calls of the module change, by what it holds."""
        if id(value) in self._changed:
            return True
        if isinstance(value, list | set | deque | dict):
            items = list(value.values()) if isinstance(value, dict) else list(value)
            return not items or any(isinstance(item, Tensor) or self._holds_state(item) for item in items)
        return isinstance(value, tuple) and any(self._is_state(item) or self._holds_state(item) for item in value)

    def _is_state(self, value: object) -> bool:
        """Return True for a tensor that is the module's own without being a parameter or buffer, or a part of one."""
        if not isinstance(value, Tensor) or value.requires_grad or id(value) in self._tensors:
            return False
        return _address(value) not in self._storages

    def _refers(self, value: object) -> bool:
        """Return True if the module is reached from `value` through functions, containers and plain objects."""
        seen: dict[int, object] = {}
        pending = [value]
        while pending and len(seen) < _MOST:
            item = pending.pop()
            if item is self._old:
                return True
            if id(item) not in seen:
                seen[id(item)] = item
                pending += _parts(item)
        return False


def _parts(value: Any) -> Iterator[Any]:
    """The objects that `value` is made of, where making it anew of others is possible."""
    if isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, types.FunctionType):
        for cell in value.__closure__ or ():
            yield from _contents(cell)
        yield from (value.__defaults__, value.__kwdefaults__, *vars(value).values())
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, weakref.ref):
        yield value()
    elif isinstance(value, dict):
        yield from (*value.keys(), *value.values())
    elif isinstance(value, _CONTAINERS):
        yield from value
    elif _is_plain_object(value):
        yield from vars(value).values()


def _is_plain_object(value: object) -> bool:
    """Return True for an instance of a Python class that is made of its attributes alone."""
    if isinstance(value, nn.Module | Tensor | type | types.ModuleType | torch.Generator):
        return False
    kind = type(value)
    return hasattr(value, "__dict__") and kind.__new__ in _PLAIN and kind.__module__ != "builtins"


def _contents(cell: types.CellType) -> Iterator[Any]:
    """The content of a closure's cell; none where it is not filled yet."""
    try:
        yield cell.cell_contents
    except ValueError:
        return


def _address(tensor: Tensor) -> int | None:
    """Where a tensor's memory is; None for one without memory of its own, as a tensor sharded over processes."""
    if tensor.layout is not torch.strided or not private.has_storage(tensor) or tensor.device.type == "meta":
        return None
    try:
        return tensor.untyped_storage().data_ptr()
    except RuntimeError:
        return None


def _refilled(table: Any, content: Kwargs) -> Any:
    """A dictionary of the kind of `table` with another content, also of a class that takes no copies or no writes."""
    kind: Any = type(table)
    copy = kind.__new__(kind)
    if isinstance(table, defaultdict):
        copy.default_factory = table.default_factory
    if hasattr(table, "__dict__"):
        _with_attributes(copy, vars(table))
    refill(copy, content)
    return copy


def _with_attributes(value: Any, attributes: Kwargs) -> Any:
    value.__dict__.update(attributes)
    return value
