"""The run of a user's script as Python runs it, for `softfx run`: with its own arguments, errors and exit status."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from softfx.errors import SoftfxError, TargetError

__all__ = ["prepare_path", "run_script"]


def prepare_path(script: str) -> None:
    """Let the script import the modules beside it, as Python does."""
    path = Path(script)
    if not path.is_file():
        raise TargetError(f"{script}: there is no such file. The path is taken from {Path.cwd()}.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


def run_script(script: str, arguments: Sequence[str]) -> int:
    """Run the script as the main program and return its exit status; an error in it is shown as Python shows it."""
    before = sys.argv
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return _status(end)
    except SoftfxError:
        raise
    except Exception as error:
        while error.__traceback__ is not None and error.__traceback__.tb_frame.f_code.co_filename != script:
            error.__traceback__ = error.__traceback__.tb_next  # from the script's own frame on
        traceback.print_exception(error)
        return 1
    finally:
        sys.argv = before
    return 0


def _status(end: SystemExit) -> int:
    """The exit status that Python makes of the argument of sys.exit."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1
