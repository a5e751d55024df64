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
    assert answer.status == 0 and answer.out.startswith("sites\ngood        gt at share.py:2")
    assert "parameters\ngood        input x" in answer.out
    assert "measuring by 512 calls of the original, about " in answer.err
    written = softfx(*command, "--sites", "none", "--out", "audit.json", "-q")
    assert written.status == 0
    data = json.loads(models.with_name("audit.json").read_text())
    assert data["version"] == 2 and data["samples"] == 128 and data["parameters"][0]["verdict"] == "good"
    assert data["target"] == "share.py:share" and "measured" not in data["sites"][0]


def test_batches_and_a_loss_in_the_place_of_inputs(softfx: Run, models: Path) -> None:
    text = PROGRAM + "def batches():\n    import torch\n    return [(torch.linspace(-1, 1, n),) for n in (8, 12)]\n"
    models.with_name("share.py").write_text(text + "def tripled(result):\n    return 3 * result\n")
    options = ("--loader", "share.py:batches", "--loss", "share.py:tripled", "--samples", "64")
    answer = softfx("audit", "share.py:share", *options, "--out", "audit.html")
    assert answer.status == 0 and "calls of the original" in answer.err
    page = models.with_name("audit.html").read_text()
    assert "batch 1, input x" in page and "margins in softnesses" in page and "agreement" in page
    both = softfx("audit", "share.py:share", *options, "--input", "8")
    assert both.status == 2 and "both give inputs" in both.err


def test_mistakes_are_told(softfx: Run) -> None:
    assert "from 64 on" in softfx("audit", "share.py:share", "--samples", "9").err
    assert "not a number above 0" in softfx("audit", "share.py:share", "--scale", "0.1,0.2").err


def test_a_calibration_writes_a_policy_and_scores(softfx: Run, models: Path) -> None:
    models.with_name("share.py").write_text(PROGRAM)
    command = ("calibrate", "share.py:share", "--input", "16", "--samples", "64", "--scores", "scores.json")
    first = softfx(*command, "--set", "softness=0.001", "--out", "tuned.toml")
    assert first.status == 0 and first.out.startswith("gt at share.py:2")
    assert "calls of the original" in first.err and "wrote tuned.toml" in first.err
    assert models.with_name("tuned.toml").read_text().startswith("# by softfx calibrate: 64 pairs")
    assert softfx("check", "share.py:share", "--input", "16", "--policy", "tuned.toml", "--allow-unused").status == 0
    again = softfx(*command, "--set", "softness=0.001", "--format", "json")
    assert "measuring by 0 calls" in again.err and json.loads(again.out)["runs"] == 0
    models.with_name("scores.json").write_text("[]")
    assert "no scores of softfx calibrate" in softfx(*command).err


def test_a_lock_is_held_against_what_the_gradients_are_now(softfx: Run, models: Path) -> None:
    models.with_name("share.py").write_text(PROGRAM)
    command = ("share.py:share", "--input", "8")
    written = softfx("lock", *command, "--samples", "64")
    assert written.status == 0 and "wrote softfx.lock.json: 1 gradient, 1 site" in written.err
    same = softfx("check", *command, "--lock")
    assert same.status == 0 and "gradients as in softfx.lock.json" in same.err
    assert same.err.count("taking") == 1
    moved = softfx("check", *command, "--lock", "softfx.lock.json", "--policy", "keep")
    assert moved.status == 1
    assert "moved since softfx.lock.json: input x: |gradient| " in moved.err and "agreement" not in moved.err
    assert "gt at share.py:2: passes on " in moved.err and "straight-through -> kept" in moved.err
    sharper = ("--set", "softness=0.3")
    assert softfx("check", *command, "--lock", *sharper, "--tolerance", "0.001").status == 1
    models.with_name("share.py").write_text("import torch\n\n\n" + PROGRAM)  # another line is the same place
    assert softfx("check", *command, "--lock").status == 0
    other = softfx("check", "share.py:share", "--input", "9", "--lock")
    assert other.status == 2 and "not those of the lock" in other.err
    assert "cannot be read" in softfx("check", *command, "--lock", "none.json").err
    assert softfx("lock", *command).status == 2  # it is there already
