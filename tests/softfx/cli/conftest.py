"""A folder with models, and softfx as a function of its arguments."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from softfx.cli import main
from tests.softfx.cli.programs import MODEL, Answer, Run


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with the models in it; modules imported from it are forgotten."""
    path = tmp_path / "router_models.py"
    path.write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("COLUMNS", raising=False)
    yield path
    sys.modules.pop("router_models", None)


@pytest.fixture
def softfx(models: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in the folder of the models."""

    def run(*arguments: str) -> Answer:
        try:
            status = main(arguments)
        except SystemExit as end:  # argparse ends the program by itself
            status = int(str(end.code))
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return run
