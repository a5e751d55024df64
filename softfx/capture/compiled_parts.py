"""Parts of a target that torch.compile has compiled: softfx sees, and runs, the Python beneath them."""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType

import torch

from softfx.torch_private import may_compile

__all__ = ["COMPILED", "runs_compiled"]

COMPILED = (
    "; what torch.compile has compiled inside it runs uncompiled, and its values differ by the compiler's rounding"
)
# Where a compiled function is entered.
_ENTRY = os.path.join(os.path.dirname(torch.__file__), "_dynamo", "eval_frame.py")


def runs_compiled(boundary: CodeType) -> bool:
    """Return True if the call that runs now is one of a compiled part; frames beyond `boundary` are not looked at."""
    frame: FrameType | None = sys._getframe(1) if may_compile() else None
    while frame is not None and frame.f_code is not boundary:
        if frame.f_code.co_filename == _ENTRY:
            return True
        frame = frame.f_back
    return False
