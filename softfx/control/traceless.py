"""Runs that leave no trace: what a run may change is as it was at the start of the first, and at its end afterwards.

Random states, the attributes of modules and of other objects that the call is given, the containers among them, and
every tensor that is written in place: a mode saves it before. Files and sockets are not protected.
"""

from __future__ import annotations

import contextlib
import io
import types
import warnings
from collections.abc import Iterator
from copy import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from softfx import torch_private as private
from softfx.capture.preserve import ModuleState, RandomStates
from softfx.control.versions_private import put_values
from softfx.ops.calls import Args, Function, Kwargs

__all__ = ["Traceless", "Writes"]

_CONTAINERS = (list, dict, set)


class Writes:
    """The tensors that a run has written, and the generators that it drew from, as they were before."""

    def __init__(self) -> None:
        self.tensors: dict[int, tuple[Tensor, Tensor, int]] = {}
        self.generators: dict[int, tuple[torch.Generator, Tensor]] = {}

    def save(self, tensor: Tensor) -> None:
        """Remember a tensor that is about to be written; of a view, what it looks into."""
        base = private.base_of(tensor)
        owner = tensor if base is None else base
        if id(owner) not in self.tensors:
            self.tensors[id(owner)] = (owner, owner.detach().clone(), private.version_of(owner))

    def save_generator(self, generator: torch.Generator) -> None:
        """Remember a generator that is about to be drawn from."""
        if id(generator) not in self.generators:
            self.generators[id(generator)] = (generator, generator.get_state())

    def now(self) -> tuple[list[tuple[Tensor, Tensor, int]], list[tuple[torch.Generator, Tensor]]]:
        """What was saved, as it is now."""
        tensors = [(owner, owner.detach().clone(), private.version_of(owner)) for owner, *_ in self.tensors.values()]
        return tensors, [(generator, generator.get_state()) for generator, _ in self.generators.values()]


class _State:
    """The attributes and containers that a call may change, at one moment, and the random states."""

    def __init__(self, objects: list[Any], containers: list[Any]) -> None:
        self.random = RandomStates.now()
        self.objects = [ModuleState.of(item) for item in objects]
        self.containers = [(container, copy(container)) for container in containers]

    def put_back(self) -> None:
        for state in self.objects:
            state.restore()
        for container, content in self.containers:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)


class Traceless:
    """The state at the start of a call, and at the end of its first run."""

    def __init__(self, root: object, function: Function, args: Args, kwargs: Kwargs) -> None:
        self.writes = Writes()
        self._leaves, self._structure = private.flatten((args, kwargs))
        self._objects, self._containers = _reachable(root, function, self._leaves)
        self._start = _State(self._objects, self._containers)
        self._end = self._start
        self._draws = True

    def first_run_ended(self) -> None:
        """Remember the present state as the one that the call leaves."""
        self._end = _State(self._objects, self._containers)
        self._written, self._drawn_from = self.writes.now()
        self._draws = not self._start.random.is_like(self._end.random)

    @contextlib.contextmanager
    def again(self) -> Iterator[tuple[Args, Kwargs]]:
        """A block for one more run, from the start: its arguments, in containers of their own."""
        if self._draws:
            self._start.random.put_back()
        self._start.put_back()
        self._put_written_back()
        try:
            with _silent():
                args, kwargs = private.unflatten(list(self._leaves), self._structure)
                yield args, kwargs
        finally:
            self._put_written_back()
            for owner, values, version in self._written:
                put_values(owner, values, version)
            for generator, state in self._drawn_from:
                generator.set_state(state)
            self._end.put_back()
            if self._draws or not RandomStates.now().is_like(self._end.random):
                self._end.random.put_back()

    def _put_written_back(self) -> None:
        """Give what was written, in whatever run, the values that it had at the start."""
        for owner, values, version in self.writes.tensors.values():
            put_values(owner, values, version)
        for generator, state in self.writes.generators.values():
            generator.set_state(state)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """A block whose prints and warnings have been let through already."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# -- what a call can reach ---------------------------------------------------------------------------------------


def _reachable(root: object, function: Any, leaves: list[Any]) -> tuple[list[Any], list[Any]]:
    """The objects with attributes, and the containers, that a call is known to have in its hands."""
    found: dict[int, Any] = {}
    containers: dict[int, Any] = {}
    waiting = [root, function, *leaves]
    while waiting:
        item = waiting.pop()
        if id(item) in found or id(item) in containers:
            continue
        if isinstance(item, nn.Module):
            found.update((id(module), module) for module in item.modules())
        elif isinstance(item, types.MethodType):
            waiting += [item.__self__, item.__func__]
        elif isinstance(item, partial):
            waiting += [item.func, *item.args, *item.keywords.values()]
        elif isinstance(item, types.FunctionType):
            found[id(item)] = item
            waiting += _held_by(item)
        elif isinstance(item, _CONTAINERS):
            containers[id(item)] = item
        elif _has_attributes(item):
            found[id(item)] = item
            waiting += [value for value in vars(item).values() if isinstance(value, nn.Module)]
    return list(found.values()), list(containers.values())


def _held_by(function: types.FunctionType) -> list[Any]:
    """The contents of a function's closure, and the containers among the globals that it names."""
    held = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # it is empty
            held.append(cell.cell_contents)
    names = (function.__globals__.get(name) for name in function.__code__.co_names)
    return held + [value for value in names if isinstance(value, _CONTAINERS)]


def _has_attributes(item: object) -> bool:
    """Return True for an instance of an ordinary class, which keeps its attributes in a dictionary."""
    if isinstance(item, Tensor | type | types.ModuleType | types.BuiltinFunctionType | nn.Module):
        return False
    return isinstance(getattr(item, "__dict__", None), dict)
