"""The writes in place of one run: how many there were, and through which tensors derivatives came into memory."""

from __future__ import annotations

from torch import Tensor

from softfx.torch_private import storage_key

__all__ = ["Writes"]


class Writes:
    """The writes of a run.

    count: how many calls have written in place so far; tensors that are planned on count none of their own.

    >>> import torch
    >>> writes, x = Writes(), torch.zeros(3)
    >>> view = x[1:]
    >>> writes.made(view), writes.carried(view)
    (None, None)
    >>> writes.count, writes.missed_by(x), writes.missed_by(view)
    (1, True, False)
    """

    def __init__(self) -> None:
        self.count = 0
        self._last: dict[int, int] = {}

    def made(self, tensor: Tensor) -> None:
        """A call writes a tensor."""
        self.count += 1

    def carried(self, tensor: Tensor) -> None:
        """A call has written a derivative into a tensor."""
        if (key := storage_key(tensor)) is not None:
            self._last[key] = id(tensor)

    def missed_by(self, tensor: Tensor) -> bool:
        """Return True if the last derivative in a tensor's memory was written through another tensor."""
        return bool(self._last) and self._last.get(storage_key(tensor) or 0, id(tensor)) != id(tensor)
