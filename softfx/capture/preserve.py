"""Trial calls of third-party code that leave no trace: what a call may change is saved before and put back after.

That is random states (torch, CUDA, Python, NumPy, generators met on the way), buffers, tensors written in place, the
attributes of modules with the containers among them, and the gradients of parameters. `Preserved` also tells what the
call changed, for a module that keeps state cannot be replayed from a graph.
"""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from softfx import torch_private as private
from softfx.capture import sharded
from softfx.capture.held import HeldState, ModuleState
from softfx.capture.outcome import same
from softfx.capture.reach import reached_by
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.trees import map_tensors
from softfx.values import was_freed

__all__ = ["Preserved", "RandomStates", "copied"]


def copied(leaves: Sequence[object]) -> list[Any]:
    """The leaves of a call's arguments with tensors copied, so that the call may write them in place."""
    return [_copy(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def _copy(tensor: Tensor) -> Tensor:
    own = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    return own.clone() if tensor.requires_grad else own  # a leaf that requires grad cannot be written in place


@dataclass(frozen=True)
class RandomStates:
    """The states of the random number generators that any call may draw from."""

    torch: Tensor
    cuda: list[Tensor]
    python: object
    numpy: Any  # numpy's own state; None where numpy is not loaded

    @staticmethod
    def now() -> RandomStates:
        numpy = sys.modules.get("numpy")
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        return RandomStates(torch.get_rng_state(), cuda, random.getstate(), numpy.random.get_state() if numpy else None)

    def is_like(self, other: RandomStates) -> bool:
        """Return True if nothing was drawn between the two."""
        cuda = all(map(torch.equal, self.cuda, other.cuda)) and len(self.cuda) == len(other.cuda)
        same = torch.equal(self.torch, other.torch) and cuda and self.python == other.python
        return same and _same_numpy(self.numpy, other.numpy)

    def put_back(self) -> None:
        """Put the states back."""
        torch.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
        random.setstate(self.python)  # type: ignore[arg-type]  # it came from getstate
        if self.numpy is not None:
            sys.modules["numpy"].random.set_state(self.numpy)

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
            if not _same_numpy(numpy.random.get_state(), self.numpy):
                drawn.append("numpy.random")
            numpy.random.set_state(self.numpy)
        return drawn


def _same_numpy(left: Any, right: Any) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):  # of the usual generator
        return left[1].tobytes() == right[1].tobytes() and left[2:] == right[2:]
    return pickle.dumps(left) == pickle.dumps(right)


class _OwnBuffers(TorchFunctionMode):
    """Lets the calls of this thread read and write copies of a module's buffers.

    Another thread may train the module meanwhile: what it writes must neither be seen nor put back.
    """

    def __init__(self, buffers: Iterable[Tensor]) -> None:
        super().__init__()
        self._buffers = {id(buffer): buffer for buffer in buffers}
        self._copies: dict[int, Tensor] = {}
        self._originals: dict[int, Tensor] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        return self._buffers.get(id(tensor)) is tensor

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        if not self._buffers:
            return func(*args, **(kwargs or {}))
        own_args, own_kwargs = map_tensors(self._own, (args, kwargs or {}))
        result = func(*own_args, **own_kwargs)
        return self._originals.get(id(result), result)  # what an in-place call returns

    def _own(self, tensor: Tensor) -> Tensor:
        if tensor not in self:
            return tensor
        if id(tensor) not in self._copies:
            own = self._copies[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
            self._originals[id(own)] = tensor
        return self._copies[id(tensor)]


@dataclass
class Preserved:
    """A context in which a call may do what it likes; afterwards everything is as before.

    Buffers are not even written: in this thread the call gets copies of them, unless TorchScript is among the modules,
    which writes out of sight.

    root: the module whose attributes and buffers are preserved, or the function, and then what it reaches is.
    own_buffers: the call gets copies of buffers, by a function mode.
    without: the identities of modules that keep what the call makes of them.
    changed: the modules' attributes that the call replaced.
    written: the containers among the modules' attributes that it wrote.
    drawn: the random sources outside torch that it drew from.
    """

    root: object
    own_buffers: bool = True
    without: frozenset[int] = frozenset()
    changed: list[str] = field(default_factory=list)
    written: list[object] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)
    _tensors: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _parts: set[tuple[object, ...]] = field(default_factory=set)
    _generators: dict[int, tuple[torch.Generator, Tensor]] = field(default_factory=dict)
    _modules: list[ModuleState] = field(default_factory=list)
    _held: HeldState | None = None
    _gradients: list[tuple[Tensor, Tensor | None, Tensor | None]] = field(default_factory=list)
    _own_buffers: _OwnBuffers = field(default_factory=lambda: _OwnBuffers(()))

    def save(self, value: object) -> None:
        """Remember a tensor that is about to be written, or a generator that is about to be drawn from."""
        if isinstance(value, Tensor) and (value in self._own_buffers or was_freed(value)):
            return
        if isinstance(value, Tensor) and id(value) not in self._tensors:
            self._tensors[id(value)] = (value, value.detach().clone())
        elif isinstance(value, torch.Generator) and id(value) not in self._generators:
            self._generators[id(value)] = (value, value.get_state())

    def save_part(self, part: Tensor) -> None:
        """Remember what a tensor sees that is about to be written: a view or an alias of another one, saved by itself.

        The program may write more of the memory meanwhile, so that the tensor itself may not be looked at any more.
        """
        place = private.storage_key(part), part.storage_offset(), tuple(part.shape), part.stride()
        if place not in self._parts:
            self._parts.add(place)
            self.save(part.detach())

    @property
    def touched(self) -> list[Tensor | torch.Generator]:
        """The tensors and generators that were saved."""
        tensors = [tensor for tensor, _ in self._tensors.values()]
        return [*tensors, *(generator for generator, _ in self._generators.values())]

    def __enter__(self) -> Preserved:
        self._random = RandomStates.now()
        self._grad = torch.is_grad_enabled()
        found = self.root.modules() if isinstance(self.root, nn.Module) else ()
        modules = [module for module in found if id(module) not in self.without]
        buffers = [buffer for module in modules for buffer in module.buffers(recurse=False)]
        if self.own_buffers and not any(isinstance(module, torch.jit.ScriptModule) for module in modules):
            self._own_buffers = _OwnBuffers(buffers)
        for buffer in buffers:
            self.save(buffer)
        self._held = HeldState.of(reached_by(self.root))
        for module in modules:
            self._modules.append(ModuleState.of(module))
            for parameter in module.parameters(recurse=False):
                gradient = parameter.grad
                self._gradients.append((parameter, gradient, None if gradient is None else gradient.clone()))
        if self.own_buffers:
            self._own_buffers.__enter__()  # type: ignore[no-untyped-call]  # untyped in torch
        return self

    def __exit__(self, *error: Any) -> None:
        if self.own_buffers:
            self._own_buffers.__exit__(*error)  # type: ignore[no-untyped-call]  # untyped in torch
        try:
            self._put_back()
        except BaseException:  # a second interrupt in the midst of it: what is left over is put back all the same
            self._put_back()
            raise

    def _put_back(self) -> None:
        """Make everything as it was before; what is so already stays."""
        sharded.gather_back([state.module for state in self._modules])
        for state in self._modules:
            self.changed += state.changed()
            self.written += state.written()
            state.restore()
        if self._held is not None:
            self.changed += self._held.changed()
            self._held.restore()
        with torch.no_grad():
            for tensor, values in reversed(self._tensors.values()):  # of two that overlap the first was as before
                if not was_freed(tensor) and not same(tensor, values):
                    tensor.copy_(values)
            for parameter, gradient, before in self._gradients:
                if gradient is not None and before is not None and not same(gradient, before):
                    gradient.copy_(before)
                if parameter.grad is not gradient:
                    parameter.grad = gradient
        for generator, generator_state in self._generators.values():
            generator.set_state(generator_state)
        self.drawn += self._random.restore()
        torch.set_grad_enabled(self._grad)
