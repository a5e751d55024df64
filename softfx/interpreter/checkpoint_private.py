"""The private interfaces of torch.utils.checkpoint that the interpreter uses, with the reason; nothing else needs them.

A block under it is computed again in the backward pass, out of sight of the function mode that saw it first.

- torch._C._autograd._top_saved_tensors_default_hooks: the hooks by which a block tells autograd to save nothing, and in
  whose closure the record of the block stands. torch does not say whether a block is running.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "ReentrantBlock",
    "checkpoint_arguments",
    "checkpoint_block",
    "hooks_of_saved_tensors",
    "in_checkpoint",
    "reentrant_block",
    "tensors_kept",
]

hooks_of_saved_tensors: Callable[..., Any] = torch._C._autograd._top_saved_tensors_default_hooks


def checkpoint_block() -> Any:
    """The record of the torch.utils.checkpoint block (use_reentrant=False) that is running first, or None.

    Its `recompute_fn` is what the backward pass calls, with the positional arguments of the block.
    """
    pack = _checkpoint_hook()
    if pack is None or pack.__qualname__ != _FIRST_RUN:
        return None
    return pack.__closure__[pack.__code__.co_freevars.index("frame")].cell_contents


def in_checkpoint() -> bool:
    """Return True while a torch.utils.checkpoint block (use_reentrant=False) is running, first or again."""
    return _checkpoint_hook() is not None


_FIRST_RUN = "_checkpoint_hook.__init__.<locals>.pack_hook"
_AGAIN = "_recomputation_hook.__init__.<locals>.pack_hook"


def _checkpoint_hook() -> Any:
    hooks = hooks_of_saved_tensors(True)
    return hooks[0] if hooks is not None and getattr(hooks[0], "__qualname__", "") in (_FIRST_RUN, _AGAIN) else None


def checkpoint_arguments() -> tuple[Any, ...]:
    """The positional arguments of the torch.utils.checkpoint block that is running, as the caller's tensor objects.

    What the record of the block keeps of them may be other objects of the same tensors.
    """
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "checkpoint" and frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            return tuple(frame.f_locals["args"])
        frame = frame.f_back
    return ()


class ReentrantBlock:
    """A torch.utils.checkpoint block (use_reentrant=True) that begins or ends; it first runs without gradients."""

    def __init__(self, frame: Any) -> None:
        self._locals = frame.f_locals

    @property
    def record(self) -> Any:
        """What the backward pass has of it: it calls `record.run_function` with the block's arguments."""
        return self._locals["ctx"]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The positional arguments of the block."""
        return tuple(self._locals["args"])

    @property
    def outputs(self) -> Any:
        """What it has returned; None while it runs."""
        return self._locals.get("outputs")


def reentrant_block() -> ReentrantBlock | None:
    """The block that switches gradients off to begin, or back to end, by the call that is being made; else None."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") != _GRAD_MODE:
        frame = frame.f_back
    while frame is not None and frame.f_globals.get("__name__") == _GRAD_MODE:
        frame = frame.f_back
    if (
        frame is None
        or frame.f_globals.get("__name__") != "torch.utils.checkpoint"
        or frame.f_code.co_name != "forward"
    ):
        return None
    return ReentrantBlock(frame)


_GRAD_MODE = "torch.autograd.grad_mode"


def tensors_kept() -> torch.autograd.graph.saved_tensors_hooks:
    """A block in which the tensors that autograd saves are kept, whatever hooks are set around it."""
    return torch.autograd.graph.saved_tensors_hooks(Tensor.detach, _as_it_is)


def _as_it_is(kept: Tensor) -> Tensor:
    return kept
