"""The public name of the callbacks of training loops; they are in `softfx.training.callbacks`."""

from __future__ import annotations

from typing import Any

from softfx.training import callbacks

__all__ = callbacks.__all__


def __getattr__(name: str) -> Any:
    return getattr(callbacks, name)
