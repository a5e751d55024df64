"""Runs that are killed and resumed in a new process, their schedule half done, are those that nobody stopped.

Step by step and bit by bit: the loss, the softness and every parameter, in the training loops of other packages.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.packages import imported
from tests.softfx.training.loops import DIES, LOOPS, SAVED, STEPS

ROOT = Path(__file__).parents[3]
PACKAGES = {"lightning": "lightning.pytorch", "transformers": "transformers", "accelerate": "accelerate"}


def run(loop: str, folder: Path, phase: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.softfx.training.loops", loop, str(folder), phase]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


def steps_of(folder: Path, phase: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{phase}.jsonl").read_text().splitlines()]


@pytest.mark.filterwarnings("ignore")  # of the packages, where they are imported
@pytest.mark.parametrize("loop", LOOPS)
def test_a_killed_run_that_is_resumed_in_a_new_process_is_the_unbroken_one(loop: str, tmp_path: Path) -> None:
    imported(PACKAGES[loop])
    assert (killed := run(loop, tmp_path, "killed")).returncode == -signal.SIGKILL, killed.stderr
    assert (resumed := run(loop, tmp_path, "resumed")).returncode == 0, resumed.stderr
    before, after, unbroken = (steps_of(tmp_path, phase) for phase in ("killed", "resumed", "unbroken"))
    assert [step["step"] for step in unbroken] == list(range(STEPS))
    assert len({str(step["softness"]) for step in unbroken}) == STEPS
    assert before == unbroken[:DIES]
    assert after == unbroken[SAVED:]
