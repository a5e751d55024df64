"""Types as a user's file meets them: what is right passes mypy's strict mode, and what is wrong is refused."""

from __future__ import annotations

import json
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
best: softtorch.SoftIndex = softtorch.argmax(x, softness=0.1)
shorter = softfx.soften(Net(), "smooth", example_inputs=(x,), softness=0.2, mode="c1", method="lapsum")
softfx.load_softness_state(shorter, softfx.softness_state(shorter))
with softtorch.options(mode="c0", softness=0.2):
    top = softtorch.topk(x, 2)
methods = softtorch.supported("quantile").methods
"""
WRONG = {
    "chosen.no_such": "attr-defined",
    'chosen(x, "two")': "arg-type",
    'softfx.soften(pick, executor="grahp")': "call-overload",
    'softfx.soften(Net(), capture="sight")': "call-overload",
    'softfx.soften(pick, mode="C1")': "call-overload",
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


@pytest.fixture(scope="module")
def wrong_lines(tmp_path_factory: pytest.TempPathFactory) -> set[int]:
    """The lines that pyright reports in the same file, in its strict mode."""
    pyright = Path(sys.executable).with_name("pyright")
    if not pyright.exists():
        pytest.skip("pyright is not installed")
    folder = tmp_path_factory.mktemp("pyright")
    (folder / "user.py").write_text(USER + "".join(f"{line}\n" for line in WRONG))
    settings = {"extraPaths": [str(ROOT)], "typeCheckingMode": "strict", "reportMissingTypeStubs": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [str(pyright), "--outputjson", "--pythonpath", sys.executable, "user.py"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if not run.stdout.startswith("{"):
        pytest.skip(f"pyright cannot run here: {run.stderr.strip()[-200:]}")
    found = json.loads(run.stdout)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


def test_a_users_file_is_clean_to_pyright_and_what_is_wrong_is_refused(wrong_lines: set[int]) -> None:
    last = len(USER.splitlines())
    assert wrong_lines == set(range(last + 1, last + 1 + len(WRONG)))
