"""What the Python behind a target can read besides its arguments, and whether it is as it was.

It is walked from the target: attributes at any depth, containers, classes, and of each function that a call of the
target runs its closure and the globals that it names (`softfx.capture.executed`); of others, which are data, their
attributes and defaults. Foreign objects are held by identity. What is walked is noted as a `Snapshot`.
"""

from __future__ import annotations

import collections
import contextvars
import functools
import gc
import logging
import os
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from softfx import torch_private as private
from softfx.capture.executed import Ran
from softfx.pipeline.snapshot import ABSENT, ATOMS, Snapshot

__all__ = ["is_apart", "state_read"]

_LIBRARIES = ("torch", "softfx", "softtorch", "builtins", "abc", "typing", "collections", "logging")
_TENSORS = ("_parameters", "_buffers")
# What is looked at apart: the tensors of modules; of a logger its levels, and not all that it is tied to.
_APART: dict[type, tuple[str, ...]] = {
    nn.Module: (*_TENSORS, "_softfx"),
    logging.Logger: ("manager", "parent", "root", "_cache", "handlers", "filters"),
}
# What code names to read how a function is called, or to run its code by another.
_PARTS = {"__defaults__", "__kwdefaults__", "__code__", "__closure__", "__globals__"}
# What code names to read attributes that it does not name.
_BY_ANY_NAME = {"__dict__", "__getattribute__", "attrgetter", "dir", "getattr", "hasattr", "vars"}
# Types of which no instance changes, and none holds anything.
_FIXED = (*ATOMS, types.CodeType, types.BuiltinFunctionType, types.GetSetDescriptorType, types.MemberDescriptorType)
_CACHED: type = type(functools.cache(len))
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that Python code has made and can change


def state_read(root: object, ran: Sequence[Ran] | None = None) -> Snapshot | None:
    """What code of `root`, a module or a function, may read; None where an iterator is among it: it tells nothing.

    ran: the code that a call of it runs; None for any code that is in reach.
    """
    walk = _Walk(root, ran)
    return walk.snapshot if walk.is_told else None


class _Walk:
    """All that belongs to a value, noted; without recursion, because modules hold modules a thousand deep."""

    def __init__(self, root: object, ran: Sequence[Ran] | None) -> None:
        self.snapshot = Snapshot()
        self.is_told = True
        self._codes = None if ran is None else {id(piece.code) for piece in ran}
        self._names = {name for piece in ran or () for name in piece.names}
        # Functions that do not run are read where code asks for their parts.
        self._inspects = not _PARTS.isdisjoint(self._names)
        self._names_any = not _BY_ANY_NAME.isdisjoint(self._names)
        # The modules whose parameters and buffers are looked up at each call.
        self._fetched = {id(module) for module in root.modules()} if isinstance(root, nn.Module) else set[int]()
        self._seen: dict[int, object] = {}
        self._instances: list[object] = []
        self._functions: list[types.FunctionType] = []
        self._left: list[Any] = [root]
        for piece in ran or ():
            self._named(piece.scope, piece.names)
        while self._left:
            value = self._left.pop()
            if not isinstance(value, _FIXED) and id(value) not in self._seen:
                self._seen[id(value)] = value  # kept, so that no other value gets its identity
                self._visit(value)
        self.snapshot.instances(self._instances)
        self.snapshot.functions(self._functions)

    def _visit(self, value: Any) -> None:
        """Note what a value holds."""
        if isinstance(value, Tensor):
            self.snapshot.tensor(value)
        elif isinstance(value, type):
            self._of_class(value)
        elif isinstance(value, types.FunctionType):
            self._of_function(value)
        elif isinstance(value, types.ModuleType):
            if not _is_library(value):
                self._named(vars(value), self._names)
        else:
            self._contents(value)
            self._of_instance(value)

    def _and(self, items: Iterable[object]) -> None:
        self._left += items

    # -- values of Python's own types ----------------------------------------------------------------------------

    def _contents(self, value: Any) -> None:
        if isinstance(value, tuple | frozenset):
            self._and(value)
        elif isinstance(value, list | collections.deque | set):
            self._and(self.snapshot.items(value))
        elif value is sys.modules:
            self.snapshot.fact(lambda: dict(sys.modules))
        elif isinstance(value, dict | types.MappingProxyType):
            self._and(self.snapshot.table(value))
        elif isinstance(value, types.MethodType):
            self._and((value.__func__, value.__self__))
        elif isinstance(value, property):
            self._and((value.fget,))
        elif isinstance(value, staticmethod | classmethod):
            self._and((value.__func__,))
        elif isinstance(value, functools.partial):
            self._and((value.func, value.args, value.keywords))
        elif isinstance(value, _CACHED):
            self._of_cache(value)
        elif isinstance(value, contextvars.ContextVar):
            self._and(self.snapshot.read(lambda: (value.get(ABSENT),)))
        elif isinstance(value, weakref.ref):
            self._and(self.snapshot.read(lambda: (value(),)))
        elif isinstance(value, logging.Logger):
            self.snapshot.fact(lambda: (value.getEffectiveLevel(), value.manager.disable, value.disabled))
        elif hasattr(type(value), "__next__"):
            self.is_told = self.is_told and _gives_nothing(value)  # what it gives next is not known before
        else:
            self._of_memory(value)

    def _of_cache(self, value: Any) -> None:
        """The results that functools.lru_cache keeps: as long as they are there, their calls run nothing."""
        tables = [item for item in gc.get_referents(value) if type(item) is dict and item is not vars(value)]
        for table in tables:
            results = self.snapshot.entries(table, tuple(table))
            self._and(part for result in results for part in (result, *gc.get_referents(result)))

    def _of_memory(self, value: Any) -> None:
        """The bytes of an array."""
        try:
            memoryview(value).release()
        except TypeError:  # it is none
            return
        except ValueError:  # an array of objects: of these nothing is known
            self.is_told = False
            return
        self.snapshot.fact(lambda: memoryview(value).tobytes())

    # -- objects -------------------------------------------------------------------------------------------------

    def _of_instance(self, value: Any) -> None:
        """The type of an object and its attributes, those in slots included."""
        if isinstance(attributes := getattr(value, "__dict__", None), dict):
            if attributes is value.__dict__:
                if type(value).__flags__ & _HEAP_TYPE:  # of others the type and the dictionary stay
                    self._instances.append(value)
                self.snapshot.table(attributes)
            else:  # it makes them anew each time
                self.snapshot.read(lambda: (*value.__dict__, *value.__dict__.values()))
            skipped = next((names for kind, names in _APART.items() if isinstance(value, kind)), ())
            self._and(item for name, item in attributes.items() if name not in skipped)
        if not _is_library(type(value)):
            self._left.append(type(value))
            for kind in type(value).__mro__:
                if slots := vars(kind).get("__slots__", ()):
                    self._and(self.snapshot.slots(value, tuple(_slots(kind, slots))))
        if isinstance(value, nn.Module):
            tables = private.module_tables(value)
            for key in _TENSORS:
                if id(value) in self._fetched:
                    self.snapshot.tensors(tables[key])
                else:
                    self._left.append(tables[key])

    def _of_class(self, value: type) -> None:
        """Attributes, methods and bases of a class, and of its special methods those written in Python."""
        if not _is_library(value) and value.__flags__ & _HEAP_TYPE:
            self._and(self.snapshot.of_class(value))

    def _of_function(self, function: types.FunctionType) -> None:
        if _is_library(function):
            return
        runs, attributes = self._codes is None or id(function.__code__) in self._codes, vars(function)
        if runs or self._names_any or not attributes:
            self._left.append(attributes)
        else:  # of what is not called those are read that code names
            self._and(self.snapshot.entries(attributes, tuple(sorted(self._names))))
        if runs or self._inspects:
            self._functions.append(function)
            self._and((function.__defaults__, function.__kwdefaults__))
        if runs:
            self._and(self.snapshot.cells(function.__closure__ or ()))
            if self._codes is None:
                self._named(function.__globals__, set(_names(function.__code__)))

    # -- what code names -----------------------------------------------------------------------------------------

    def _named(self, scope: dict[str, Any], names: set[str]) -> None:
        """The globals that code names, and the attributes of modules among them, those of their modules included."""
        if names & {"environ", "getenv"}:
            self._left.append(os.environ)
        found = [sys.modules.get(name) for name in _imported(scope, names)]
        modules = [scope, *(vars(module) for module in found if module is not None and not _is_library(module))]
        for namespace in modules:
            read = self.snapshot.entries(namespace, tuple(sorted(names)))
            self._and(read)
            modules += [
                vars(item)
                for item in read
                if isinstance(item, types.ModuleType)
                and not _is_library(item)
                and not any(vars(item) is known for known in modules)
            ]


def is_apart(package: str) -> bool:
    """Return True for the packages whose code reads nothing that could change a result, or is not to be patched."""
    return package in _LIBRARIES


def _imported(scope: dict[str, Any], names: Iterable[str]) -> Iterator[str]:
    """The full names that `import` and `from . import` in code may mean."""
    package = str(scope.get("__package__") or "")
    for name in names:
        yield name
        parts = package.split(".") if package else []
        yield from (".".join((*parts[:depth], name)).rstrip(".") for depth in range(1, len(parts) + 1))


def _names(code: types.CodeType) -> Iterator[str]:
    """The globals and attributes that code names, that of functions made in it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _slots(kind: type, names: str | Iterable[str]) -> Iterator[str]:
    """The attributes that a class has slots for, as they are called."""
    for name in (names,) if isinstance(names, str) else names:
        if name in ("__dict__", "__weakref__"):
            continue
        is_mangled = name.startswith("__") and not name.endswith("__")
        yield f"_{kind.__name__.lstrip('_')}{name}" if is_mangled else name


def _gives_nothing(value: Any) -> bool:
    """Return True for a stream that is written only."""
    readable: Callable[[], bool] | None = getattr(value, "readable", None)
    return readable is not None and not readable()


def _is_library(value: Any) -> bool:
    name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
    return is_apart(str(name).partition(".")[0])
