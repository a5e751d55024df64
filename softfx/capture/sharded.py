"""Modules whose parameters are sharded over processes by torch's fully_shard, before they are softened.

Such a module holds shards, and whole parameters while it computes: its own call puts them into the tables of the
module, by a state that belongs to the module object. What is made of it shares the tables and the state.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from softfx import torch_private

__all__ = ["belongs_to_processes", "gather_back", "is_sharded", "share_state"]


def is_sharded(module: object) -> bool:
    """Return True for a module that fully_shard was called on."""
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")  # nobody can have called it without
    return fsdp is not None and isinstance(module, fsdp.FSDPModule)


def gather_back(modules: list[nn.Module]) -> None:
    """Let sharded modules hold their shards again, as before a call; a root keeps whole parameters after its own."""
    for module in modules:
        if is_sharded(module):
            sharded: Any = module
            sharded.reshard()


def share_state(original: nn.Module, copy: nn.Module) -> None:
    """Give a shallow copy of a sharded module the state by which its parameters are gathered."""
    if is_sharded(original):
        torch_private.share_module_state(original, copy)


def belongs_to_processes(value: object) -> bool:
    """Return True for an object of torch.distributed: groups, meshes and states are shared, never copied."""
    return type(value).__module__.startswith("torch.distributed.")
