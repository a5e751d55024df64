"""The memory of the tensors that a recorder meets: which of them share it, and which was there before the call.

A program writes what it has not made through views and aliases, too: `weight[0].zero_()`, `weight.data.mul_(0.9)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softfx import torch_private as private

__all__ = ["Memories"]


class Memories:
    """The memories of the tensors of one call, each by its identity."""

    def __init__(self) -> None:
        # The reference keeps a key from being used again for other memory.
        self._empty: dict[int, tuple[private.StorageReference, torch.UntypedStorage]] = {}
        self._outside: set[int] = set()

    def fake(self, tensor: Tensor) -> torch.UntypedStorage | None:
        """The memory of a fake tensor, the same for tensors that share theirs; None inside a transform."""
        if private.storage_key(tensor) is None or private.unwrapped(tensor) is not None:
            return None
        reference = private.storage_reference(tensor)
        if reference.cdata not in self._empty:
            size = tensor.untyped_storage().nbytes()
            empty = torch.UntypedStorage(size, device="meta")  # type: ignore[no-untyped-call]  # torch has no types here
            self._empty[reference.cdata] = (reference, empty)
        return self._empty[reference.cdata][1]

    def met(self, tensor: Tensor) -> None:
        """Note a tensor that no call of the program has made."""
        if (key := private.storage_key(tensor)) is not None:
            self._outside.add(key)

    def is_outside(self, tensor: Tensor) -> bool:
        """Return True if a tensor lies in memory that no call of the program has made."""
        return private.storage_key(tensor) in self._outside
