"""The Python objects that a call has in its hands: those that hold its state where it is no module.

A simulator's `step` changes the object that it is bound to, a closure counts its calls. What such a function reaches is
found by walking from it: the object that it is bound to, its closure and its defaults, and what these hold in turn; of
the globals that it names those that are no functions. Objects of the standard library (threads, files, iterators) are
left alone.
"""

from __future__ import annotations

import dis
import inspect
import sys
import types
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeGuard

from torch import Tensor, nn

__all__ = ["Reached", "reached", "reached_by"]

_CONTAINERS = (list, dict, set, deque)
_TABLES = frozenset(vars(nn.Module()))  # what every module keeps in its `__dict__`
_OURS = frozenset({"softfx", "softtorch"})
_NOT_THEIRS = _OURS | sys.stdlib_module_names
_BINDS = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
# An object that holds more than so many others is somebody else's: what lies beyond is not looked at.
_MOST = 10_000


@dataclass
class Reached:
    """The objects that a call may change.

    objects: those with attributes, modules among them.
    containers: lists, dicts, sets and deques that are no attributes of these, nor nested in such.
    cells: those of closures that hold something, which an inner function may bind to something else.
    names: the globals that functions bind anew, with the table that they are in.
    tensors: the globals that functions name.
    """

    objects: list[Any] = field(default_factory=list)
    containers: list[Any] = field(default_factory=list)
    cells: list[types.CellType] = field(default_factory=list)
    names: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)


def reached(*roots: object) -> Reached:
    """The objects that a call of functions, or on arguments, is known to have in its hands; each is there once.

    >>> held = types.SimpleNamespace(seen=[])
    >>> found = reached(lambda x, held=held: held.seen.append(x))
    >>> held in found.objects
    True
    """
    found, seen, waiting, attributes = Reached(), set[int](), deque(roots), set[int]()
    for function in filter(None, map(_function_of, roots)):
        named = _globals_of(function)
        found.containers += [value for value in named if isinstance(value, _CONTAINERS)]
        found.tensors += [value for value in named if isinstance(value, Tensor)]
        waiting += [value for value in named if isinstance(value, nn.Module) or _has_attributes(value)]
    while waiting and len(seen) < _MOST:
        item = waiting.popleft()
        if id(item) in seen or isinstance(item, Tensor | type | types.ModuleType | types.BuiltinFunctionType):
            continue
        seen.add(id(item))
        if isinstance(item, nn.Module):
            modules = [module for module in item.modules() if module is item or id(module) not in seen]
            seen.update(map(id, modules))
            found.objects += modules
        elif isinstance(item, types.MethodType):
            waiting += [item.__self__, item.__func__]
        elif isinstance(item, partial):
            waiting += [item.func, *item.args, *item.keywords.values()]
        elif isinstance(item, types.FunctionType):
            found.objects.append(item)
            found.cells += _full_cells(item)
            found.names += [(item.__globals__, name) for name in _bound_by(item)]
            waiting += _held_by(item)
        elif isinstance(item, (*_CONTAINERS, tuple)):
            inside = list(dict.values(item) if isinstance(item, dict) else item)
            if id(item) in attributes:
                attributes.update(map(id, inside))
            elif not isinstance(item, tuple):
                found.containers.append(item)
            waiting += inside
        elif _package(item) in _OURS:
            waiting.append(getattr(item, "__wrapped__", None))  # a softened function: the original, and no decisions
        elif _has_attributes(item):
            found.objects.append(item)
            attributes.update(map(id, vars(item).values()))
            waiting += vars(item).values()
    return found


def reached_by(target: object) -> Reached:
    """The objects that a call of a target is known to have in its hands; of a module those beside modules and tensors.

    These are the objects that modules keep, and the globals that their `forward` names.

    >>> layer = nn.Linear(2, 2)
    >>> layer.seen = types.SimpleNamespace(count=0)
    >>> layer.seen in reached_by(layer).objects
    True
    """
    if not isinstance(target, nn.Module):
        return reached(target)
    modules = list(target.modules())
    kept = [value for module in modules for key, value in vars(module).items() if key not in _TABLES]
    helpers = [value for value in kept if not isinstance(value, (*_CONTAINERS, nn.Module)) and _has_attributes(value)]
    kinds = dict.fromkeys(type(module) for module in modules if _package(module) != "torch")
    return reached(*(inspect.unwrap(kind.forward) for kind in kinds), *helpers)


def _function_of(root: object) -> types.FunctionType | None:
    """The function that a call of `root` runs, of those that are written in Python."""
    while isinstance(root, partial | types.MethodType):
        root = root.func if isinstance(root, partial) else root.__func__
    return root if isinstance(root, types.FunctionType) else None


def _globals_of(function: types.FunctionType) -> list[Any]:
    """The globals that a function names, but for functions, classes and the modules of Python."""
    named = (function.__globals__.get(name) for name in function.__code__.co_names)
    return [value for value in named if not isinstance(value, types.FunctionType | type | types.ModuleType)]


_bound: dict[types.CodeType, tuple[str, ...]] = {}  # the codes are kept, so that nothing else takes their place


def _bound_by(function: types.FunctionType) -> tuple[str, ...]:
    """The globals that a function binds anew, and those that functions of its own file do which it names."""
    if (known := _bound.get(function.__code__)) is not None:
        return known
    names, seen, waiting = dict[str, None](), set[types.CodeType](), [function.__code__]
    while waiting:
        code = waiting.pop()
        if code in seen:
            continue
        seen.add(code)
        names |= dict.fromkeys(step.argval for step in dis.get_instructions(code) if step.opname in _BINDS)
        waiting += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
        others = (function.__globals__.get(name) for name in code.co_names)
        waiting += [other.__code__ for other in others if _is_beside(other, function)]
    return _bound.setdefault(function.__code__, tuple(names))


def _is_beside(other: object, function: types.FunctionType) -> TypeGuard[types.FunctionType]:
    return isinstance(other, types.FunctionType) and other.__globals__ is function.__globals__


def _has_attributes(item: object) -> bool:
    """Return True for an instance of a class of the program's own, which keeps its attributes in a dictionary."""
    simple = isinstance(item, types.SimpleNamespace)
    own = simple or _package(item) not in _NOT_THEIRS
    return own and isinstance(getattr(item, "__dict__", None), dict)


def _package(item: object) -> str:
    return type(item).__module__.partition(".")[0]


def _full_cells(function: types.FunctionType) -> list[types.CellType]:
    return [cell for cell in function.__closure__ or () if cell != types.CellType()]  # an empty one has no contents


def _held_by(function: types.FunctionType) -> list[Any]:
    """The contents of a function's closure, and its defaults."""
    held = [cell.cell_contents for cell in _full_cells(function)]
    return [*held, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
