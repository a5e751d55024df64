"""The storages of a run that several tensors share and that were written softly: the writes to each, in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from softfx import torch_private
from softfx.runtime.storage import Geometry, meet
from softfx.values.facts import ValueFacts

__all__ = ["SharedStorage", "Storages", "Write", "was_freed"]


@dataclass(frozen=True, eq=False)
class Write:
    """One write: its number, the geometry of the tensor that was written, and the facts of that after it."""

    number: int
    place: Geometry
    facts: ValueFacts


@dataclass(eq=False)
class SharedStorage:
    """The writes to one storage.

    reference: tells whether the storage still lives.
    dtype: of the tensors that were written.
    count: the number of the last write.
    """

    reference: torch_private.StorageReference
    dtype: torch.dtype
    writes: list[Write] = field(default_factory=list)
    count: int = 0

    def note(self, place: Geometry, facts: ValueFacts) -> None:
        """Note a write; one that covers the last takes its place."""
        if self.writes and self.writes[-1].place == place:
            self.writes.pop()
        self.count += 1
        self.writes.append(Write(self.count, place, facts))

    def since(self, number: int, place: Geometry) -> list[Write]:
        """The writes after that number to what a tensor there may hold, too."""
        return [write for write in self.writes if write.number > number and meet(write.place, place)]


class Storages:
    """The storages by their keys; empty in most runs."""

    def __init__(self) -> None:
        self.entries: dict[int, SharedStorage] = {}

    def of(self, tensor: Tensor) -> SharedStorage | None:
        """The record of a tensor's storage, or None."""
        if not self.entries:
            return None
        key = torch_private.storage_key(tensor)
        return None if key is None else self.entries.get(key)

    def counts(self) -> dict[int, int]:
        """How many writes were noted to each, by their keys."""
        return {key: shared.count for key, shared in self.entries.items()}

    def hold(self, tensors: Iterable[Tensor]) -> bool:
        """Return True if one of these tensors lies on such a storage."""
        return any(self.of(tensor) is not None for tensor in tensors)

    def begin(self, tensor: Tensor) -> SharedStorage:
        """A new record for the storage of a tensor; those of storages that are gone are dropped."""
        for key in [key for key, shared in self.entries.items() if torch_private.is_gone(shared.reference)]:
            del self.entries[key]
        reference = torch_private.storage_reference(tensor)
        shared = self.entries[reference.cdata] = SharedStorage(reference, tensor.dtype)
        return shared


def was_freed(tensor: Tensor) -> bool:
    """Return True for a tensor whose memory was given back while it lives, as that of gathered parameters is."""
    if tensor.numel() == 0 or not torch_private.has_storage(tensor):
        return False
    try:
        return tensor.untyped_storage().nbytes() == 0
    except (NotImplementedError, RuntimeError):  # a tensor that only wraps others
        return False
