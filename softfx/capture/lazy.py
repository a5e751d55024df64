"""Lazy modules: their first call decides the shapes of their parameters, and has to come before they can be captured.

It is made on the example inputs, as the user's first call would be. What it leaves is what initialising leaves: the
parameters, and the modules turned into what they become. Buffers, random states and all other modules are as before.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, is_lazy

from softfx.capture.example import ExampleCall
from softfx.capture.preserve import Preserved
from softfx.locations import Place
from softfx.ops.calls import Args, Kwargs

__all__ = ["initialized", "is_uninitialized"]


def is_uninitialized(target: object) -> bool:
    """Return True for a module with parameters or buffers whose shapes are not decided yet.

    >>> is_uninitialized(nn.LazyLinear(3)), is_uninitialized(nn.Linear(2, 3))
    (True, False)
    """
    return isinstance(target, nn.Module) and any(map(_is_lazy, target.modules()))


def initialized(target: nn.Module, args: Args, kwargs: Kwargs, *, in_place: bool) -> nn.Module:
    """`target` after the first call of its lazy modules, or a copy of it that has been called."""
    module = target if in_place else _copied(target)
    lazy = [part for part in module.modules() if _is_lazy(part)]
    decided: list[tuple[Tensor, Tensor]] = []

    def note(part: nn.Module, _: Any) -> None:
        decided.extend((buffer, buffer.clone()) for buffer in part.buffers(recurse=False))

    handles = [part.register_forward_pre_hook(note) for part in lazy]  # after the one that initialises
    call = ExampleCall(module, args, kwargs, Place("", 0))
    own_args, own_kwargs = call.copied_arguments()
    try:
        with Preserved(module, own_buffers=False, without=frozenset(map(id, lazy))), torch.no_grad():
            call.function(*own_args, **own_kwargs)
    finally:
        for handle in handles:
            handle.remove()
    with torch.no_grad():
        for buffer, values in decided:
            buffer.copy_(values)
    return module


def _copied(target: nn.Module) -> nn.Module:
    """A deep copy; torch copies uninitialised parameters, but not uninitialised buffers."""
    lazy = [buffer for buffer in target.buffers() if is_lazy(buffer)]
    uninitialized: Any = UninitializedBuffer  # its arguments are untyped in torch
    memo = {id(buffer): uninitialized(device=buffer.device, dtype=buffer.dtype) for buffer in lazy}
    return copy.deepcopy(target, memo)


def _is_lazy(module: nn.Module) -> bool:
    tensors = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return any(is_lazy(tensor) for tensor in tensors)
