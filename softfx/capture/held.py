"""The state of Python objects that a call may change: what was there is remembered, and put back into its very place.

That is the attributes of modules and of other objects, the containers among them, the variables of closures, and the
globals that a function binds anew.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import is_
from types import CellType
from typing import Any

from torch import Tensor

from softfx import torch_private as private
from softfx.capture.reach import Reached
from softfx.ops.calls import Kwargs

__all__ = ["HeldState", "ModuleState", "containers_in", "content_of", "differs", "refill"]

_KINDS: tuple[type, ...] = (OrderedDict, dict, list, set, deque)


class _Absent:
    """What stands for an attribute that is not there."""


@dataclass(frozen=True)
class ModuleState:
    """The attributes of one module: its `__dict__`, and the contents of its tables and of the containers it keeps.

    So are those of any other object that has a `__dict__`.

    tables: those of parameters, buffers, submodules and hooks.
    containers: the lists, dictionaries, sets and deques among its attributes, nested ones too, each with its content.
    """

    module: Any
    attributes: Kwargs
    tables: dict[str, Kwargs]
    containers: list[tuple[str, Any, Any]]

    @staticmethod
    def of(module: Any) -> ModuleState:
        tables = {key: dict(table) for key, table in private.module_tables(module).items()}
        containers = [
            (key, container, content_of(container))
            for key, value in module.__dict__.items()
            if key not in tables
            for container in containers_in(value)
        ]
        return ModuleState(module, dict(module.__dict__), tables, containers)

    def changed(self) -> list[str]:
        """The attributes that were replaced since, or whose containers were written, as Class.attribute."""
        now = self.module.__dict__
        keys = [key for key in dict.fromkeys((*self.attributes, *now)) if self._is_changed(key)]
        keys += [key for key, container, content in self.containers if differs(container, content)]
        return [f"{type(self.module).__name__}.{key}" for key in dict.fromkeys(keys)]

    def written(self) -> list[object]:
        """The containers that were written since."""
        return [container for _, container, content in self.containers if differs(container, content)]

    def _is_changed(self, key: str) -> bool:
        now = self.module.__dict__.get(key, _Absent)
        if key not in self.tables or not isinstance(now, dict):
            return self.attributes.get(key, _Absent) is not now
        return differs(now, self.tables[key])

    def restore(self) -> None:
        """Put back what was changed, into the very containers that held it."""
        now = self.module.__dict__
        if differs(now, self.attributes):
            for key in [key for key in now if key not in self.attributes]:
                del now[key]
            now.update(self.attributes)
        for key, content in self.tables.items():
            if differs(self.attributes[key], content):
                refill(self.attributes[key], content)
        for _, container, content in self.containers:
            if differs(container, content):
                refill(container, content)


@dataclass(frozen=True)
class HeldState:
    """The state of the objects that a function reaches, its closure among them."""

    objects: list[ModuleState]
    containers: list[tuple[Any, Any]]
    cells: list[tuple[CellType, object]]
    names: list[tuple[dict[str, Any], str, object]] = field(default_factory=list)
    named: list[Tensor] = field(default_factory=list)

    @staticmethod
    def of(reached: Reached) -> HeldState:
        objects = [ModuleState.of(item) for item in reached.objects]
        containers = [(container, content_of(container)) for container in reached.containers]
        names = [(table, name, table.get(name, _Absent)) for table, name in reached.names]
        return HeldState(
            objects, containers, [(cell, cell.cell_contents) for cell in reached.cells], names, reached.tensors
        )

    def tensors(self) -> Iterator[Tensor]:
        """The tensors among what is held."""
        for state in self.objects:
            for content in (state.attributes, *state.tables.values()):
                yield from (value for value in content.values() if isinstance(value, Tensor))
        for _, content in self.containers:
            inside = content.values() if isinstance(content, dict) else content
            yield from (value for value in inside if isinstance(value, Tensor))
        yield from (content for _, content in self.cells if isinstance(content, Tensor))
        yield from self.named

    def changed(self) -> list[str]:
        """What was replaced or written since, as Class.attribute or by its kind."""
        changed = [name for state in self.objects for name in state.changed()]
        changed += [f"a {type(c).__name__} that it holds" for c, content in self.containers if differs(c, content)]
        changed += [f"the global {name}" for table, name, value in self.names if table.get(name, _Absent) is not value]
        return changed + ["a variable of its closure" for cell, content in self.cells if _is_rebound(cell, content)]

    def restore(self) -> None:
        """Put back what was changed."""
        for state in self.objects:
            state.restore()
        for container, content in self.containers:
            if differs(container, content):
                refill(container, content)
        for cell, content in self.cells:
            if _is_rebound(cell, content):
                cell.cell_contents = content
        for table, name, value in self.names:
            if value is not _Absent:
                table[name] = value
            else:
                table.pop(name, None)


def _is_rebound(cell: CellType, content: object) -> bool:
    """Return True if a variable of a closure is another object than `content`, or none any more."""
    return cell == CellType() or cell.cell_contents is not content


def containers_in(value: object) -> Iterator[Any]:
    """The mutable containers that `value` is, or is nested of."""
    if isinstance(value, list | dict | set | deque):
        yield value
    if isinstance(value, tuple):
        for item in value:
            yield from containers_in(item)
    elif isinstance(value, list | deque | dict):
        content = content_of(value)
        for item in content.values() if isinstance(content, dict) else content:
            yield from containers_in(item)


def content_of(container: Any) -> Any:
    """The objects in a container, as a plain dict, list or set."""
    kind: Any = type(container) if type(container) in _KINDS else _kind(container)
    if issubclass(kind, dict):
        return dict(kind.items(container))
    return set(kind.__iter__(container)) if kind is set else list(kind.__iter__(container))


def differs(container: Any, content: Any) -> bool:
    """Return True if a container holds other objects than it did."""
    now = content_of(container)
    if len(now) != len(content):
        return True
    if not content:
        return False
    if isinstance(now, set):
        return bool(now != content)
    if isinstance(now, dict):
        if all(map(is_, now, content)) and all(map(is_, now.values(), content.values())):
            return False
        return any(content.get(key, _Absent) is not value for key, value in now.items())
    return not all(map(is_, now, content))


def refill(container: Any, content: Any) -> None:
    """Give a container this content, in place."""
    kind: Any = _kind(container)
    kind.clear(container)
    if issubclass(kind, dict):
        for key, value in content.items():
            kind.__setitem__(container, key, value)
    else:
        (kind.update if kind is set else kind.extend)(container, content)


def _kind(container: object) -> type:
    """The type of Python's own that a container is of: a subclass may store under other keys, and give other values."""
    return next(kind for kind in _KINDS if isinstance(container, kind))
