"""Trial calls of third-party code that leave no trace: what a call may change is saved before and put back after.

That is random states (torch, CUDA, Python, NumPy, generators met on the way), buffers, tensors written in place, and
the attributes of modules. `Preserved` also tells what the call changed, for a module that keeps state cannot be
replayed from a graph.
"""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from softfx import torch_private as private
from softfx.capture.outcome import same

__all__ = ["Preserved", "copied"]


def copied(leaves: Sequence[object]) -> list[Any]:
    """The leaves of a call's arguments with tensors copied, so that the call may write them in place."""
    return [_copy(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def _copy(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    return copy.clone() if tensor.requires_grad else copy  # a leaf that requires grad cannot be written in place


@dataclass(frozen=True)
class _RandomStates:
    """The states of the random number generators that any call may draw from."""

    torch: Tensor
    cuda: list[Tensor]
    python: object
    numpy: Any  # numpy's own state; None where numpy is not loaded

    @staticmethod
    def now() -> _RandomStates:
        numpy = sys.modules.get("numpy")
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        return _RandomStates(
            torch.get_rng_state(), cuda, random.getstate(), numpy.random.get_state() if numpy else None
        )

    def restore(self) -> list[str]:
        """Put the states back and name the sources outside torch that were drawn from."""
        drawn = []
        torch.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
        if random.getstate() != self.python:
            drawn.append("Python's random")
            random.setstate(self.python)  # type: ignore[arg-type]  # it came from getstate
        if self.numpy is not None:
            numpy = sys.modules["numpy"]
            if pickle.dumps(numpy.random.get_state()) != pickle.dumps(self.numpy):
                drawn.append("numpy.random")
            numpy.random.set_state(self.numpy)
        return drawn


@dataclass(frozen=True)
class _ModuleState:
    """The attributes of one module: its `__dict__`, and the contents of its tables of parameters, buffers and hooks."""

    module: nn.Module
    attributes: dict[str, Any]
    tables: dict[str, dict[str, Any]]

    @staticmethod
    def of(module: nn.Module) -> _ModuleState:
        tables = {key: dict(table) for key, table in private.module_tables(module).items()}
        return _ModuleState(module, dict(module.__dict__), tables)

    def changed(self) -> list[str]:
        """The attributes that were replaced since, as Class.attribute."""
        now = self.module.__dict__
        keys = [key for key in dict.fromkeys((*self.attributes, *now)) if self._is_changed(key, now.get(key))]
        return [f"{type(self.module).__name__}.{key}" for key in keys]

    def _is_changed(self, key: str, now: object) -> bool:
        if key not in self.tables:
            return self.attributes.get(key) is not now
        before, after = self.tables[key], now if isinstance(now, dict) else {}
        return any(before.get(name) is not after.get(name) for name in {*before, *after})

    def restore(self) -> None:
        """Put the attributes back, into the very dictionaries that held them."""
        self.module.__dict__.clear()
        self.module.__dict__.update(self.attributes)
        for key, content in self.tables.items():
            table: dict[str, Any] = self.attributes[key]
            table.clear()
            table.update(content)


@dataclass
class Preserved:
    """A context in which a call may do what it likes; afterwards everything is as before.

    root: the module whose attributes and buffers are preserved; a function has none.
    changed: the modules' attributes that the call replaced.
    drawn: the random sources outside torch that it drew from.
    """

    root: object
    changed: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)
    _tensors: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _generators: dict[int, tuple[torch.Generator, Tensor]] = field(default_factory=dict)
    _modules: list[_ModuleState] = field(default_factory=list)

    def save(self, value: object) -> None:
        """Remember a tensor that is about to be written, or a generator that is about to be drawn from."""
        if isinstance(value, Tensor) and id(value) not in self._tensors:
            self._tensors[id(value)] = (value, value.detach().clone())
        elif isinstance(value, torch.Generator) and id(value) not in self._generators:
            self._generators[id(value)] = (value, value.get_state())

    @property
    def touched(self) -> list[Tensor | torch.Generator]:
        """The tensors and generators that were saved."""
        tensors = [tensor for tensor, _ in self._tensors.values()]
        return [*tensors, *(generator for generator, _ in self._generators.values())]

    def __enter__(self) -> Preserved:
        self._random = _RandomStates.now()
        self._grad = torch.is_grad_enabled()
        for module in self.root.modules() if isinstance(self.root, nn.Module) else ():
            self._modules.append(_ModuleState.of(module))
            for buffer in module.buffers(recurse=False):
                self.save(buffer)
        return self

    def __exit__(self, *_: object) -> None:
        for state in self._modules:
            self.changed += state.changed()
            state.restore()
        with torch.no_grad():
            for tensor, copy in self._tensors.values():
                if not same(tensor, copy):
                    tensor.copy_(copy)
        for generator, generator_state in self._generators.values():
            generator.set_state(generator_state)
        self.drawn += self._random.restore()
        torch.set_grad_enabled(self._grad)
