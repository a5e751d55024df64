"""`softfx plot`: pictures of operators and of models, and a message for each mistake."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import softfx
from softfx.cli import main
from softfx.plots import pictures
from softfx.plots.metering import LOSS, Passed
from softfx.report.record import Site, SiteAction

PNG = b"\x89PNG"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_operator_becomes_a_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["plot", "relu", "--modes", "smooth,c0,c1,c2", "--softness", "0.05,0.1,0.5", "--out", "r.png"]) == 0
    assert (folder / "r.png").read_bytes().startswith(PNG)
    assert main(["plot", "topk", "--method", "ot", "--range=-1..1"]) == 0
    assert (folder / "topk.png").read_bytes().startswith(PNG)
    assert "wrote topk.png" in capsys.readouterr().err


def test_a_model_becomes_a_picture_and_a_line_for_each_site(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    (folder / "pick.py").write_text("def pick(x):\n    return x[x.argmax()] * x.round().sum()\n")
    assert main(["plot", "pick.py:pick", "--input", "5", "-p", "smooth"]) == 0
    assert (folder / "pick.png").read_bytes().startswith(PNG)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "0"]
    assert "SX201 argmax" in lines[0] and "pick.py:2" in lines[0]


STEP = "def step(x):\n    return x * 2 if x > 0.2 else x - 1\n\ndef smooth(x):\n    return x * x\n"
STEP += "\ndef pair(x):\n    return x, x\n"


def test_a_program_of_one_number_becomes_a_picture_of_its_smoothed_objective(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    (folder / "step.py").write_text(STEP)
    assert main(["plot", "step.py:step", "--objective", "--range=-1..1", "--softness", "0.5,0.1"]) == 0
    assert (folder / "step.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["step.py:step", "--input", "3"], "so that --input has no place"),
        (["step.py:smooth"], "there is nothing to smooth"),
        (["step.py:pair"], "this one returns tuple"),
    ],
)
def test_an_objective_that_cannot_be_drawn_is_told(
    words: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "step.py").write_text(STEP)
    assert main(["plot", *words, "--objective"]) == 2
    assert message in capsys.readouterr().err


MISTAKES = {
    "unknown operator 'rleu'. Did you mean 'relu'?": ["rleu"],
    "relu has no mode 'smoth'. Did you mean 'smooth'?": ["relu", "--modes", "c1,smoth"],
    "perturbed is no function of one number": ["perturbed"],
    "adaptive_max_pool2d is no function of one number": ["adaptive_max_pool2d"],
    "logical_and has no softness": ["logical_and"],
    "bernoulli is no function of one number": ["bernoulli"],
    "relu takes no method": ["relu", "--method", "ot"],
    "unknown method 'optimal'": ["argmax", "--method", "optimal"],
    "cannot be written": ["relu", "--out", "nowhere/relu.png"],
    "relu.docx cannot be written": ["relu", "--out", "relu.docx"],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_told(message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["plot", *MISTAKES[message]]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--softness", "0.1,0"], ["--softness", "soft"], ["--range", "2..1"]])
def test_numbers_that_are_none_are_usage_errors(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["plot", "relu", *option])
    assert "such as" in capsys.readouterr().err


def test_without_matplotlib_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["plot", "relu"]) == 2
    assert "pip install 'softfx[plot]'" in capsys.readouterr().err
    assert issubclass(softfx.MissingPackageError, ImportError)


def test_a_model_without_sites_is_not_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "double.py").write_text("def double(x):\n    return 2 * x\n")
    assert main(["plot", "double.py:double", "--input", "5"]) == 0
    assert "nothing to draw" in capsys.readouterr().err
    assert not (folder / "double.png").exists()


def test_a_name_with_dollar_signs_is_drawn_and_is_no_formula() -> None:
    assert pictures.plain("a $\\frac$ \x1b b") == r"a \$\frac\$ \x1b b"


def passed(action: SiteAction, before: float, after: float) -> Passed:
    return Passed(Site(0, "SX201", "argmax", "model.py", "", 1, "", "discrete", action), before, after)


def test_sites_are_told_apart_without_colour_and_what_is_not_finite_has_a_place_of_its_own() -> None:
    pytest.importorskip("matplotlib")
    actions = get_args(SiteAction)
    figure = pictures.sites_figure("m", [passed(action, 0.0, 1.0) for action in actions])
    (axis,) = figure.axes
    marks = [line for line in axis.lines if line.get_marker() not in ("None", "")]
    assert {line.get_marker() for line in marks} >= {"o", "D", "s", "^", "X"}
    assert axis.get_xlabel().endswith(f"(loss: {LOSS})") and "not finite" not in labels(axis)
    (axis,) = pictures.sites_figure("m", [passed("guard", math.nan, 1.0)]).axes
    assert labels(axis)[-1] == "not finite" and axis.get_xticks()[-1] > 2 * 10.0**0


def test_a_picture_of_one_site_says_so() -> None:
    pytest.importorskip("matplotlib")
    title = pictures.sites_figure("m", [passed("soft", 0.0, 1.0)])._suptitle  # type: ignore[attr-defined]
    assert title.get_text() == "m\n1 site"


def labels(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_xticklabels()]
