"""The command line: `softfx check|diff|soften|plot|audit|run|explain|rules|policy`.

`arguments` holds the arguments and help texts, `target` and `inputs` turn words into a model and tensors, `commands`
runs a command, and `output` prints its result. This module is the entry point; it turns every error into one message
on stderr and status 2.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

from softfx.cli.arguments import make_parser
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
    from softfx.cli.commands import COMMANDS  # after parsing, so that --help does not wait for torch

    try:
        status = COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as in `softfx rules | head`, whose reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("softfx: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        if arguments.traceback:
            print(visible(traceback.format_exc(), keep="\n\t"), file=sys.stderr)
        print(visible(f"softfx: {_message(error, arguments)}", keep="\n\t"), file=sys.stderr)
        return USAGE_ERROR


def _message(error: Exception, arguments: object) -> str:
    from softfx.cli.failures import message

    return message(error, getattr(arguments, "target", "softfx"), bool(getattr(arguments, "traceback", False)))
