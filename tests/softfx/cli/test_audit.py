"""`softfx audit`: a verdict for each parameter, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from tests.softfx.cli.programs import Run

PROGRAM = "def share(x):\n    return (x > 0).double().mean()\n"


def test_the_verdict_as_text_and_json(softfx: Run, models: Path) -> None:
    models.with_name("share.py").write_text(PROGRAM)
    command = ("audit", "share.py:share", "--input", "8", "--samples", "128")
    answer = softfx(*command)
    assert answer.status == 0 and answer.out.startswith("good")
    assert "256 calls of the original" in answer.err
    written = softfx(*command, "--out", "audit.json", "-q")
    assert written.status == 0
    data = json.loads(models.with_name("audit.json").read_text())
    assert data["samples"] == 128 and data["parameters"][0]["verdict"] == "good"


def test_mistakes_are_told(softfx: Run) -> None:
    assert "from 64 on" in softfx("audit", "share.py:share", "--samples", "9").err
    assert "not a number above 0" in softfx("audit", "share.py:share", "--scale", "0.1,0.2").err
