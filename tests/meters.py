"""Meters that tests share: what tensors of a computation hold at most, how many are alive, what the process holds."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["live_tensors", "peak_bytes", "resident_bytes"]


class _Storages(TorchDispatchMode):
    """Counts the bytes of the storages that calls return, while these are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                key = storage._cdata
                if key not in self.alive:
                    self.alive[key] = storage.nbytes()
                    weakref.finalize(storage, self.alive.pop, key, None)
        self.peak = max(self.peak, sum(self.alive.values()))
        return result


def peak_bytes(function: Callable[[], object]) -> int:
    """The most bytes that tensors made by a call hold at once."""
    with _Storages() as storages:
        function()
    return storages.peak


def live_tensors() -> int:
    """How many tensors are alive, those in cycles among them that the garbage collector has not found yet."""
    return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())


def resident_bytes() -> int | None:
    """The memory that the process holds, or None where the system does not tell."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[1]) * 4096 if told.exists() else None
