"""The command line: `softfx check|diff|soften|plot|audit|run|explain|rules|policy`.

`arguments` holds the arguments and help texts, `light` the commands that need no torch, `target` and `inputs` turn
words into a model and tensors, `commands` runs a command, and `output` prints its result. This module is the entry
point; it turns every error into one message on stderr and status 2.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import TextIO

from softfx.cli.arguments import make_parser
from softfx.errors import SoftfxError
from softfx.operators import check_operators
from softfx.visible import visible

__all__ = ["main"]

USAGE_ERROR = 2
_INTERRUPTED = 130  # the status that a shell reports for a program ended by Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):  # a character that the encoding lacks is shown as its escape
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = make_parser().parse_args(argv)
    arguments.is_process = argv is None
    try:
        command = _command(arguments.command)
        if arguments.command == "run":  # a script's own stdout is that of python
            return command(arguments)
        with redirect_stdout(_Patient(sys.stdout)):
            status = command(arguments)
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("softfx: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        if arguments.traceback:
            print(visible(traceback.format_exc(), keep="\n\t"), file=sys.stderr)
        print(visible(f"softfx: {_message(error, arguments)}", keep="\n\t"), file=sys.stderr)
        return USAGE_ERROR


class _Patient(io.TextIOBase):
    """stdout whose reader may leave early, as in `softfx check ... | head`: the rest goes nowhere, the status stays."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write on, or let go what nobody reads."""
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            return self._let_go(len(text))

    def flush(self) -> None:
        """Flush on, or let go what nobody reads."""
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self, count: int = 0) -> int:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        return count

    def isatty(self) -> bool:
        """Return True in a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the stream beneath."""
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has it as an attribute
        """The encoding of the stream beneath."""
        return self.stream.encoding


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """The function of a command; only those that look at a model wait for torch."""
    from softfx.cli import light

    if name in light.COMMANDS:
        return light.COMMANDS[name]
    check_operators()
    from softfx.cli.commands import COMMANDS
    from softfx.cli.warned import at_the_users_line

    return at_the_users_line()(COMMANDS[name])


def _message(error: Exception, arguments: argparse.Namespace) -> str:
    if isinstance(error, SoftfxError) and error.__cause__ is None:
        return str(error)
    from softfx.cli.failures import message

    return message(error, getattr(arguments, "target", "softfx"), bool(getattr(arguments, "traceback", False)))
