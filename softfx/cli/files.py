"""The files that commands write: checked before the work begins, and never written over by accident."""

from __future__ import annotations

from pathlib import Path

from softfx.errors import SoftfxError, TargetError

__all__ = ["check_out", "write"]


def check_out(path: str, *more: str, force: bool = False) -> None:
    """Refuse what cannot be written, and what is there already.

    Args:
        path: the file named by --out.
        more: files that are written beside it.
        force: files that are there may be replaced.

    Raises:
        TargetError: a folder, a device, a file that is there, or a folder that is not.
    """
    for file in (path, *more):
        beside = "" if file == path else f"{file}, which is written beside it, "
        try:
            if problem := _problem(Path(file), force):
                raise TargetError(f"--out {path}: {beside}{problem}")
        except OSError as error:  # a name that is too long
            raise _unwritable(path, error) from error


def _problem(path: Path, force: bool) -> str:
    if "\0" in str(path):
        return "no file has a NUL in its name. Name another file."
    if path.name in ("", ".."):
        return "it names no file. Write a file's name, such as softened.py."
    if path.is_dir():
        return "it is a folder. Name a file in it."
    if (path.exists() or path.is_symlink()) and not (path.is_file() or path.is_symlink()):
        return "it is no ordinary file. Without --out the result goes to stdout."
    if (path.exists() or path.is_symlink()) and not force:
        return "the file exists and may have been edited. Name another file, or replace it with --force."
    if not path.parent.is_dir():
        return f"it cannot be written: there is no folder {path.parent}. Make it first."
    return ""


def write(path: str, text: str, force: bool = False) -> None:
    """Write a text file, which has been checked; what has come to be there meanwhile is not written over."""
    try:
        with open(path, "w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: str, error: OSError) -> SoftfxError:
    return SoftfxError(f"--out {path}: it cannot be written: {error.strerror}. Name another file.")
