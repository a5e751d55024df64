"""The public name of the callbacks for training loops, which are in `softfx.training.callbacks`."""

from __future__ import annotations

from softfx.training import callbacks

__all__ = callbacks.__all__


def __getattr__(name: str) -> type:
    made: type = getattr(callbacks, name)
    return made
