"""Where warnings are said to come from: torch warns at the frame that calls it, which here is a frame of softfx."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from softfx.locations import innermost_line, is_user_file

__all__ = ["at_the_users_line"]

_OURS = str(Path(__file__).parents[1])


@contextmanager
def at_the_users_line() -> Iterator[None]:
    """Attribute warnings that softfx seems to give to the user's line that they are about."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def shown(
            message: Warning | str, category: type[Warning], filename: str, lineno: int,
            file: TextIO | None = None, line: str | None = None,
        ) -> None:  # fmt: skip
            frame: FrameType | None = sys._getframe(1) if filename.startswith(_OURS) else None
            while frame is not None and frame.f_code.co_filename != filename:
                frame = frame.f_back
            if frame is not None and is_user_file((place := innermost_line(frame)).file):
                filename, lineno, line = place.file, place.line, None
            show(message, category, filename, lineno, file, line)

        warnings.showwarning = shown
        yield
