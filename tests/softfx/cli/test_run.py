"""`softfx run`: a script with parts of the packages it uses softened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.softfx.cli.programs import Run

SCRIPT = """
import sys
import torch
import router_models

scores = torch.tensor([0.1, 0.7, 0.3], requires_grad=True)
router_models.pick(scores, torch.arange(3.0)).backward()
print(sys.argv[1:], bool((scores.grad != 0).all()))
"""


def test_run_runs_a_script_with_parts_softened(softfx: Run) -> None:
    Path("train.py").write_text(SCRIPT)
    answer = softfx("run", "--soften", "router_models:pick", "-p", "gradients", "train.py", "--epochs", "3")
    assert (answer.status, answer.out) == (0, "['--epochs', '3'] True\n")
    assert "router_models:pick: 1 site: 1 straight-through." in answer.err


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("import sys; sys.exit(3)", 3, "router_models:pick was never called"),
        ("1 / 0", 1, 'Traceback (most recent call last):\n  File "train.py", line 1'),
    ],
)
def test_the_end_of_a_script_is_its_own(softfx: Run, text: str, status: int, message: str) -> None:
    Path("train.py").write_text(text)
    answer = softfx("run", "--soften", "router_models:pick", "train.py")
    assert answer.status == status
    assert message in answer.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("router_models:pick", "missing.py"), "missing.py: there is no such file."),
        (("router_models:pik", "train.py"), "Did you mean 'pick'?"),
    ],
)
def test_a_script_or_a_name_that_is_not_there_is_told(softfx: Run, arguments: tuple[str, str], message: str) -> None:
    Path("train.py").write_text("print(1)")
    answer = softfx("run", "--soften", *arguments)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err
