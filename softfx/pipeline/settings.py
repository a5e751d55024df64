"""What a compiler watches beside a graph: the plain attributes of modules that their code names, as `training`.

A graph is specialised to them. Where a compiler takes the graph for a call, reading them again makes them guards of
what it compiles; what differs from what was captured is no call of the graph. Of torch's own modules only `training` is
looked at, for their other attributes belong to their tensors. What code outside of the call may count up, such as a
number of steps, is not looked at unless the call names it.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Hashable, Iterator
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from torch import nn

__all__ = ["Setting", "holds", "settings_of"]

_PLAIN = (bool, int, float, str, type(None))
_ABSENT = object()


class Setting(NamedTuple):
    """An attribute, by its path from the root, and its value at capture."""

    path: tuple[str, ...]
    value: object


def settings_of(root: object) -> tuple[Setting, ...]:
    """The plain attributes of the modules of `root` that code which a call of them may run names."""
    if not isinstance(root, nn.Module):
        return ()
    found = []
    for name, module in root.named_modules():
        path = tuple(name.split(".")) if name else ()
        found += [Setting((*path, *rest), value) for rest, value in _attributes(module)]
    return tuple(found)


def holds(root: object, settings: tuple[Setting, ...]) -> bool:
    """Return True if they are what they were."""
    for path, was in settings:
        value: Any = root
        for part in path:
            value = getattr(value, part, _ABSENT)
        if type(value) is not type(was) or value != was:
            return False
    return True


def _attributes(module: nn.Module) -> Iterator[tuple[tuple[str, ...], object]]:
    """Attributes that are plain, and those of objects such as a configuration."""
    is_torchs = type(module).__module__.partition(".")[0] == "torch"
    kind: Any = type(module)
    names = _named(kind)
    for name, value in vars(module).items():
        if name not in names or (is_torchs and name != "training"):
            continue
        if _is_plain(value):
            yield (name,), copy.deepcopy(value)
        elif _is_configuration(value):
            fields = vars(value).items()
            yield from (
                ((name, field), copy.deepcopy(item)) for field, item in fields if field in names and _is_plain(item)
            )


def _is_plain(value: object) -> bool:
    """Return True for numbers, text and None, and containers of these, that can be told from others: a NaN cannot."""
    if isinstance(value, dict):
        return all(map(_is_plain, (*value, *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return type(value) in _PLAIN and value == value


def _is_configuration(value: object) -> bool:
    """Return True for an object that holds attributes and is nothing that is called."""
    return isinstance(getattr(value, "__dict__", None), dict) and not callable(value)


@functools.cache
def _named(kind: Hashable) -> frozenset[str]:
    """The names in the code of a class's forward, and of its methods that are named there in turn."""
    names: set[str] = set()
    waiting = ["forward"]
    while waiting:
        name = waiting.pop()
        method = getattr(kind, name, None)
        if isinstance(method, FunctionType) and getattr(nn.Module, name, None) is not method:  # not x.float()
            new = set(_names(method.__code__)) - names
            names |= new
            waiting += new
    return frozenset(names)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
