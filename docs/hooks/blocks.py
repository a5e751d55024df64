"""The fenced blocks of a page: read by the hook, which draws a page's pictures, and by the tests, which run them all.

A block with a title is a file of that name; a `text` block titled "prints" is what the block before it prints.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from softfx.cli import main

__all__ = ["Block", "blocks", "commands", "lay_out", "pictures", "shell"]

_BLOCK = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its title or none, its text, and where the text begins in the page."""

    language: str
    title: str | None
    text: str
    start: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(m["language"], m["title"], m["text"], m.start("text")) for m in _BLOCK.finditer(page)]


def commands(block: Block) -> list[str]:
    """The command lines of a shell block, continued lines joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def lay_out(page: str, folder: Path) -> None:
    """Write the files that the blocks of a page are."""
    for block in blocks(page):
        if block.title and block.title != "prints":
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


def shell(line: str) -> tuple[int, str]:
    """The exit status of a softfx command line in the current folder, and what it prints to stdout."""
    words = shlex.split(line, comments=True)
    if words[0] != "softfx":
        raise ValueError(f"{line!r} is no softfx command. The blocks of pages run softfx alone.")
    words, target = _redirected(words[1:])
    printed = StringIO()
    with redirect_stdout(printed):
        status = main(words)
    if target is not None:
        Path(target).write_text(printed.getvalue())
        return status, ""
    return status, printed.getvalue()


def _redirected(words: list[str]) -> tuple[list[str], str | None]:
    """The words before `> FILE`, and the file."""
    return (words[: words.index(">")], words[words.index(">") + 1]) if ">" in words else (words, None)


def pictures(page: str) -> Iterator[tuple[str, bytes]]:
    """The name and the content of each picture that the `softfx plot` commands of a page draw."""
    lines = [line for block in blocks(page) if block.language == "sh" for line in commands(block)]
    drawn = [line for line in lines if line.startswith("softfx plot ") and "--out" in line]
    if not drawn:
        return
    with TemporaryDirectory() as name, chdir(name):
        lay_out(page, Path(name))
        for line in drawn:
            errors = StringIO()
            with redirect_stderr(errors):
                status, _ = shell(line)
            if status == 2:
                raise RuntimeError(f"{line}: {errors.getvalue()}")
            out = shlex.split(line)[shlex.split(line).index("--out") + 1]
            yield out, Path(out).read_bytes()
