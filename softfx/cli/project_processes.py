"""Processes that check targets of a project side by side, each one target after another.

The parent sends the words of `softfx check` as a line of JSON, the process answers with one of what came of them. A
process that a target ends takes that target along and no other: the next target gets a new process.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Answer", "Processes"]


@dataclass(frozen=True)
class Answer:
    """What a command came to: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


class Processes:
    """A process for each thread that asks, started when it first does and ended with the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = threading.local()
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._started:
            if kind is not None:
                process.kill()
            process.communicate()  # closes its input, at which it ends

    def answer(self, words: Sequence[str]) -> Answer:
        """What `softfx` with these words comes to, in the process of this thread."""
        process = self._process()
        assert process.stdin is not None and process.stdout is not None  # pipes, as started
        try:
            process.stdin.write(json.dumps(list(words)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return Answer(**json.loads(line))
        status = process.wait()
        return Answer(status or 1, "", f"the process ended with status {status}")

    def _process(self) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] | None = getattr(self._own, "process", None)
        if process is None or process.poll() is not None:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__], cwd=self._folder, text=True, encoding="utf-8",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self._own.process = process
            self._started.append(process)
        return process


def _serve() -> None:
    """Answer each line of the standard input, until there is none."""
    from softfx.cli import main

    questions, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # what a target reads and writes there is none of the conversation
        os.dup2(nothing, stream)
    for line in questions:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main(json.loads(line))
        print(json.dumps(asdict(Answer(status, out.getvalue(), err.getvalue()))), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
