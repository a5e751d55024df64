"""What needs no model answers without torch, and a reader of the output who leaves early changes no exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from softfx.decisions.policy import PRESETS
from softfx.vocabulary import FAMILIES, FAMILY_MEANINGS, PRESET_NAMES
from tests.softfx.cli.programs import Run

ROOT = Path(__file__).parents[3]


def loaded_by(*words: str) -> tuple[int, set[str]]:
    """The exit status of a command, and the packages that it loads, in a process of its own."""
    program = (
        "import sys\n"
        "from softfx.cli import main\n"
        "status = 0\n"
        "try:\n    status = main(sys.argv[1:])\n"
        "except SystemExit as end:\n    status = end.code or 0\n"
        "print('\\n' + ' '.join(sys.modules))\n"
        "sys.exit(status)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=ROOT)
    return run.returncode, set(run.stdout.splitlines()[-1].split()) if run.stdout else set()


@pytest.mark.parametrize(
    "words",
    ["--help", "--version", "check --help", "plot --help", "rules", "rules --format markdown", "explain SX201",
     "explain argmax --format json", "explain @kink", "completions bash"],
)  # fmt: skip
def test_what_needs_no_model_answers_without_torch(words: str) -> None:
    status, modules = loaded_by(*words.split())
    assert status == 0
    assert "softfx.vocabulary" in modules and not modules & {"torch", "softtorch", "numpy", "rich"}


@pytest.mark.parametrize("words", ["explain argmx", "explain @kinks"])
def test_a_name_that_is_wrong_is_told_without_torch(words: str) -> None:
    status, modules = loaded_by(*words.split())
    assert status == 2 and "torch" not in modules


def test_the_names_that_need_no_torch_are_those_of_the_tables() -> None:
    assert tuple(PRESETS) == PRESET_NAMES
    assert set(FAMILY_MEANINGS) == set(FAMILIES)


@pytest.mark.parametrize("name", ["@kinks", "@discret"])
def test_a_family_that_is_none_is_told_with_the_nearest(softfx: Run, name: str) -> None:
    answer = softfx("explain", name)
    assert answer.status == 2 and "Did you mean '@" in answer.err


@pytest.mark.parametrize(("kinds", "status"), [("blocked", 1), ("none", 0)])
def test_a_reader_who_leaves_early_changes_no_exit_status(tmp_path: Path, kinds: str, status: int) -> None:
    """Enough is printed that the pipe is full when nobody reads it any more."""
    lines = "\n".join(f"    y = y + (x > {number}).nonzero().cumsum(0).sum()" for number in range(60))
    (tmp_path / "many.py").write_text(f"def many(x):\n    y = x.sum()\n{lines}\n    return y\n")
    command = [sys.executable, "-m", "softfx", "check", "many.py:many", "--function", "--input", "4"]
    command += ["--format", "json", "--fail-on", kinds]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(), text=True
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.read(1)
        run.stdout.close()
        errors = run.stderr.read()
    assert run.returncode == status, errors
    assert "Traceback" not in errors and "BrokenPipe" not in errors


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_prose_in_a_pipe_is_wrapped_only_where_columns_are_set(softfx: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = max(map(len, softfx("explain", "topk").out.splitlines()))
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, softfx("explain", "topk").out.splitlines())) <= 60 < 100 < whole
