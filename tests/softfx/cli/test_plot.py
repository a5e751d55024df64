"""`softfx plot`: pictures of operators and of models, and a message for each mistake."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import softfx
from softfx.cli import main
from softfx.plots import pictures

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


MISTAKES = {
    "unknown operator 'rleu'. Did you mean 'relu'?": ["rleu"],
    "relu has no mode 'smoth'. Did you mean 'smooth'?": ["relu", "--modes", "c1,smoth"],
    "perturbed is no function of one number": ["perturbed"],
    "max_pool2d is no function of one number": ["max_pool2d"],
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
