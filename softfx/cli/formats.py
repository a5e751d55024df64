"""What every command shares when it prints: notes on stderr, the format asked for, and the width of prose."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from softfx.visible import visible

__all__ = ["NOT_WRAPPED", "format_of", "note", "text_width"]

NOT_WRAPPED = 10**9  # columns: what reads a pipe wraps lines itself, or wants them whole

# The format that the name of the file behind --out asks for.
_BY_NAME = {".html": "html", ".htm": "html", ".json": "json", ".md": "markdown", ".sarif": "sarif", ".txt": "text"}


def note(arguments: argparse.Namespace, text: str) -> None:
    """Print a note beside the result, unless --quiet is given."""
    if not arguments.quiet:
        print(f"softfx: {visible(text)}", file=sys.stderr)


def format_of(arguments: argparse.Namespace, *formats: str) -> str:
    """The format asked for; by default that of the file's name, rich in a terminal that shows it, or else text.

    formats: those that the command has.
    """
    if arguments.format:
        return str(arguments.format)
    named = _BY_NAME.get(Path(getattr(arguments, "out", None) or "").suffix.lower())
    if named in formats:
        return named
    return "rich" if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else "text"


def text_width() -> int:
    """The width for prose: that of the terminal; in a pipe or a file COLUMNS, and without it prose is not wrapped."""
    return max(shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else _from_columns(), 40)


def _from_columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdigit() and int(columns) > 0 else NOT_WRAPPED
