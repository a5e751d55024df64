"""The autocast state that a call is made in: a call that is made again later has the same dtypes only there."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TypeAlias

import torch

__all__ = ["AutocastState", "autocast_state", "in_autocast"]

AutocastState: TypeAlias = tuple[tuple[bool, torch.dtype], ...]

_DEVICES = ("cpu", "cuda")


def autocast_state() -> AutocastState:
    """Whether autocast is on at this moment, and its dtype, device by device."""
    return tuple((torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in _DEVICES)


def in_autocast(state: AutocastState) -> AbstractContextManager[object]:
    """A block that runs in a state that `autocast_state` gave.

    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     state = autocast_state()
    >>> with in_autocast(state):
    ...     (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
    torch.bfloat16
    """
    if state == autocast_state():
        return nullcontext()
    stack = ExitStack()
    for kind, (enabled, dtype) in zip(_DEVICES, state, strict=True):
        stack.enter_context(torch.autocast(kind, dtype, enabled))
    return stack
