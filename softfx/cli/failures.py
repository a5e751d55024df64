"""Any error as one message: softfx's own as it is, the model's in summary, and a bug of softfx named as one."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import torch

from softfx.cli.target import raised_at, summary
from softfx.errors import CaptureError, SoftfxError

__all__ = ["message"]

_OURS = str(Path(__file__).resolve().parents[1]) + os.sep
_TORCH = os.path.dirname(str(torch.__file__)) + os.sep


def message(error: Exception, target: str, traceback_shown: bool) -> str:
    """The message for the user about an error that a command raised."""
    more = "" if traceback_shown else " --traceback shows where."
    if isinstance(error, SoftfxError):
        cause = error.__cause__ if isinstance(error, CaptureError) else None
        place = raised_at(cause) if cause is not None else ""
        return f"{error} It was raised at {place}." if place else str(error)
    if _raised_by_us(error):
        return f"{target}: softfx itself failed: {summary(error)}. This is a bug worth reporting.{more}"
    what = f"it could not be run on these inputs: {summary(error)}"
    return f"{target}: {what}. Give inputs that the model accepts.{more}"


def _raised_by_us(error: Exception) -> bool:
    """Return True if the innermost frame outside torch is softfx's."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    files = [file for file in files if not file.startswith((_TORCH, "<"))]
    return bool(files) and files[-1].startswith(_OURS)
