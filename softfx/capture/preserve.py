"""Leaving no trace: what a trial call of third-party code may change, saved before and put back after.

Random states (torch, CUDA, Python, NumPy, generators met on the way), buffers, tensors written in place, modules'
attributes. It also tells what the call changed, for a module that keeps state cannot be replayed from a graph.
"""

from __future__ import annotations

import pickle
import random
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Preserved", "copied"]


def copied(leaves: list[Any]) -> list[Any]:
    """The leaves of a call's arguments with tensors copied, so that the call may write them in place."""
    return [_copy(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def _copy(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    return copy.clone() if tensor.requires_grad else copy  # what is written in place must be no leaf


@dataclass
class Preserved:
    """A context in which a call may do what it likes; afterwards all is as before."""

    root: Any
    _tensors: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _generators: dict[int, tuple[torch.Generator, Tensor]] = field(default_factory=dict)
    _modules: list[tuple[nn.Module, dict[str, Any], dict[str, dict[str, Any]]]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)  # random sources outside torch that were drawn from

    def save(self, value: Any) -> None:
        """Remember a tensor that is about to be written, or a generator that is about to be drawn from."""
        if isinstance(value, Tensor) and id(value) not in self._tensors:
            self._tensors[id(value)] = (value, value.detach().clone())
        elif isinstance(value, torch.Generator) and id(value) not in self._generators:
            self._generators[id(value)] = (value, value.get_state())

    @property
    def touched(self) -> list[Any]:
        """The tensors and generators that were saved."""
        return [*(entry[0] for entry in self._tensors.values()), *(entry[0] for entry in self._generators.values())]

    def __enter__(self) -> Preserved:
        numpy = sys.modules.get("numpy")
        self._random = (torch.get_rng_state(), random.getstate(), numpy.random.get_state() if numpy else None)
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        self._grad = torch.is_grad_enabled()
        for _, module in self.root.named_modules() if isinstance(self.root, nn.Module) else ():
            nested = {
                key: dict(value) for key, value in module.__dict__.items() if isinstance(value, dict) and key[0] == "_"
            }
            self._modules.append((module, dict(module.__dict__), nested))
            for buffer in module._buffers.values():
                self.save(buffer)
        return self

    def __exit__(self, *_: object) -> None:
        for module, attributes, nested in self._modules:
            self._compare(module, attributes, nested)
            module.__dict__.clear()
            module.__dict__.update(attributes)
            for key, content in nested.items():
                attributes[key].clear()
                attributes[key].update(content)
        with torch.no_grad():
            for tensor, copy in self._tensors.values():
                if not torch.equal(tensor, copy) or tensor.shape != copy.shape:
                    tensor.copy_(copy)
        for generator, state in self._generators.values():
            generator.set_state(state)
        self._restore_random()

    def _restore_random(self) -> None:
        torch_state, python_state, numpy_state = self._random
        torch.set_rng_state(torch_state)
        if random.getstate() != python_state:
            self.drawn.append("Python's random")
            random.setstate(python_state)
        if numpy_state is not None:
            if pickle.dumps(sys.modules["numpy"].random.get_state()) != pickle.dumps(numpy_state):
                self.drawn.append("numpy.random")
            sys.modules["numpy"].random.set_state(numpy_state)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)
        torch.set_grad_enabled(self._grad)

    def _compare(self, module: nn.Module, attributes: dict[str, Any], nested: dict[str, dict[str, Any]]) -> None:
        """Note which attributes the call replaced."""
        for key in {*attributes, *module.__dict__}:
            before, after = attributes.get(key), module.__dict__.get(key)
            if key in nested:
                before_items, after_items = nested[key], dict(after) if isinstance(after, dict) else {}
                names = {*before_items, *after_items}
                if any(before_items.get(name) is not after_items.get(name) for name in names):
                    self.changed.append(f"{type(module).__name__}.{key}")
            elif before is not after:
                self.changed.append(f"{type(module).__name__}.{key}")
