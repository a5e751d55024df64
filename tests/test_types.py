"""Types as a user's file meets them: what is right passes mypy's strict mode, and what is wrong is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

USER = """\
import torch
from torch import Tensor, nn

import softfx
import softtorch


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = 2.0

    def forward(self, x: Tensor) -> Tensor:
        return x.round() * self.scale


def pick(scores: Tensor, k: int) -> Tensor:
    return scores.topk(k).values


x = torch.ones(3)
soft = softfx.soften(Net(), example_inputs=(x,), capture="auto", executor="eager")
scale: float = soft.scale
counts: dict[str, int] = softfx.report_of(soft).counts
optimizer = torch.optim.Adam(soft.parameters())
chosen = softfx.soften(pick, "smooth", example_inputs=(x, 2))
values: Tensor = chosen(x, 2)
report: softfx.Report = chosen.report
softfx.set_softness(soft, 0.2)
policy = softfx.Policy.load({"default": {"action": "keep"}})
checked: softfx.Report = softfx.check(pick, policy, example_inputs=(x, 2))
text: str = softfx.__version__ + softtorch.__version__
best = softtorch.argmax(x, softness=0.1)
"""
WRONG = {
    "chosen.no_such": "attr-defined",
    'chosen(x, "two")': "arg-type",
    'softfx.soften(pick, executor="grahp")': "call-overload",
    'softfx.soften(Net(), capture="sight")': "call-overload",
    "softfx.soften(3)": "call-overload",
}


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says of the user's file with the wrong lines behind it; their order is that of WRONG."""
    pytest.importorskip("mypy")
    path = tmp_path_factory.mktemp("user") / "user.py"
    path.write_text(USER + "".join(f"{line}\n" for line in WRONG))
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def test_a_users_file_is_clean(answer: str) -> None:
    last = len(USER.splitlines())
    assert [line for line in answer.splitlines() if int(line.split(":")[1]) <= last] == []


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_refused(answer: str, line: str) -> None:
    number = len(USER.splitlines()) + 1 + list(WRONG).index(line)
    assert any(f"user.py:{number}: error" in told and f"[{WRONG[line]}]" in told for told in answer.splitlines())
