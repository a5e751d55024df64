"""The completions of the command line, tried in the shells that are there."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.softfx.cli.programs import Run

CASES = [
    ("softfx che", "check"),
    ("softfx policy s", "show"),
    ("softfx policy show --form", "--format"),
    ("softfx check --format h", "html"),
    ("softfx check x:y --bas", "--baseline"),
    ("softfx check --policy lif", "lifted"),
    ("softfx check x:y -p smo", "smooth"),
    ("softfx check --fail-on bl", "blocked"),
    ("softfx completions z", "zsh"),
    ("softfx explain kthv", "kthvalue"),
]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_every_command(softfx: Run, shell: str) -> None:
    answer = softfx("completions", shell)
    assert answer.status == 0
    assert all(name in answer.out for name in ("check", "policy", "init", "baseline"))
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=answer.out, text=True, check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(("words", "expected"), CASES)
def test_bash_completes(softfx: Run, words: str, expected: str) -> None:
    parts = " ".join(f"'{word}'" for word in words.split())
    script = softfx("completions", "bash").out
    script += f'\nCOMP_WORDS=({parts}); COMP_CWORD={len(words.split()) - 1}; _softfx_words; echo "${{COMPREPLY[@]}}"\n'
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [expected]


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
@pytest.mark.parametrize(("words", "expected"), CASES)
def test_fish_completes(softfx: Run, words: str, expected: str, tmp_path: Path) -> None:
    script = tmp_path / "softfx.fish"
    script.write_text(softfx("completions", "fish").out)
    command = f"source {script}; complete -C '{words}'"
    run = subprocess.run(["fish", "--no-config", "-c", command], capture_output=True, text=True, check=True)
    assert [line.split("\t")[0] for line in run.stdout.splitlines()] == [expected]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_completes_at_the_first_key(softfx: Run, tmp_path: Path) -> None:
    (tmp_path / "_softfx").write_text(softfx("completions", "zsh").out)
    for words, expected in CASES[:6]:
        shown = _typed(f"fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -D; echo READY\n", words + "\t")
        assert f"{words.rsplit(' ', 1)[0]} {expected}" in shown, words


def _typed(setup: str, keys: str) -> str:
    """What an interactive zsh shows when the keys are pressed."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb"})
    try:
        os.write(terminal, setup.encode())
        _read_until(terminal, r"\nREADY\r")
        os.write(terminal, keys.encode())
        return _read_until(terminal, None)
    finally:
        os.write(terminal, b"\x03exit\n")
        os.close(terminal)
        os.waitpid(process, 0)


def _read_until(terminal: int, pattern: str | None) -> str:
    """What comes until the pattern does, or until nothing has come for a second; at most 20 s."""
    text, end = "", time.monotonic() + 20
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 1)
        if not ready and (pattern is None):
            return text
        if ready:
            text += os.read(terminal, 4096).decode(errors="replace")
        if pattern is not None and re.search(pattern, text):
            return text
    return text
