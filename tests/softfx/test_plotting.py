"""`softfx plot`: what is measured is right, every operator has a picture, and mistakes are told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import softfx
import softtorch
from softfx.cli import main
from softfx.plots.curves import curves, operator_of
from softfx.plots.metering import Passed, site_gradients
from softfx.rules import RULES

PNG = b"\x89PNG"


DRAWN = [
    "argmax", "argquantile", "argsort", "bucketize", "clamp", "cummin", "gaussian_relu", "greater", "heaviside",
    "isclose", "kthvalue", "laplace_quantile", "max", "median", "percentile", "quantile", "rank", "relu", "remainder",
    "round", "sign", "sort", "threshold", "topk", "topk_mask",
]  # fmt: skip


# -- curves ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWN)
def test_an_operator_is_finite_curves_with_their_derivative(name: str) -> None:
    operator = operator_of(name)
    for curve in curves(operator, None, (0.3,), (-1.9, 2.1)):
        assert curve.value.shape == curve.derivative.shape == curve.x.shape
        assert curve.value.isfinite().all() and curve.derivative.isfinite().all()
        if curve.mode == "smooth" and curve.softness:
            slope = torch.gradient(curve.value, spacing=(curve.x,))[0]
            # Central differences over 1/200 of curves that bend as much as softness 0.3 lets them.
            off = (slope - curve.derivative).abs()[1:-1] > 0.02 * curve.derivative.abs().max() + 1e-6
            assert off.sum() <= 12, f"{int(off.sum())} points off"  # around the kinks of a sort of three


def test_curves_are_the_operator_itself() -> None:
    hard, soft = curves(operator_of("relu"), ["c1"], (0.3,), (-1.0, 1.0))
    torch.testing.assert_close(hard.value, hard.x.relu())
    torch.testing.assert_close(soft.value, softtorch.relu(soft.x, softness=0.3, mode="c1"))
    row = torch.tensor([[0.2, -0.5, 0.5]], dtype=torch.float64)
    operator = operator_of("argmax", method="softsort")
    expected = softtorch.argmax(row, softness=0.3, dim=-1, method="softsort")[:, 0]
    torch.testing.assert_close(operator(row[:, 0], softness=0.3), expected)


@pytest.mark.parametrize(("spelled", "name"), [("SX301", "greater"), ("SX201", "argmax"), ("relu", "relu")])
def test_names_and_codes_of_softfx_are_known(spelled: str, name: str) -> None:
    assert operator_of(spelled).name == name


def test_every_name_of_softfx_is_drawn_or_refused_with_a_reason() -> None:
    for name in (*RULES, *(rule.code for rule in RULES.values())):
        try:
            assert operator_of(name)(torch.zeros(2)).shape == (2,)
        except softfx.TargetError as refusal:
            assert any(text in str(refusal) for text in ("no softness", "no function of one number")), name


# -- gradients of sites ------------------------------------------------------------------------------------------------


def measured(target: object, policy: object, *inputs: Tensor) -> dict[str, Passed]:
    _, passed = site_gradients(target, policy, example_inputs=inputs)
    return {each.site.op: each for each in passed}


def test_what_a_site_passes_is_the_derivative_of_its_operand() -> None:
    x = torch.tensor([0.2, 1.7, -0.4])
    factor = torch.randn((), generator=torch.Generator().manual_seed(0)).double()  # the loss's own
    found = measured(lambda x: (3.0 * torch.relu(2.0 * x)).sum(), "keep", x)["relu"]
    assert found.before == found.after == pytest.approx(float(3.0 * 2.0**0.5 * factor.abs()), rel=1e-6)  # float32


def test_a_site_without_gradient_passes_nothing_and_softened_it_does() -> None:
    found = measured(lambda x, v: v[x.argmax()] + x.sum(), "gradients", torch.rand(4), torch.rand(4))["argmax"]
    assert found.before == 0.0 and found.after > 0.0


def test_a_guard_makes_nan_finite() -> None:
    found = measured(lambda x: x.square().sum(-1).sqrt(), "gradients", torch.zeros(2, 3))["sqrt"]
    assert found.before == float("inf") and found.after == 0.0


def test_in_place_operations_and_shadows_of_integers_are_measured_too() -> None:
    def written(x: Tensor) -> Tensor:
        y = 2.0 * x
        y.relu_()
        index = y.argmax()
        return y.sum() + torch.where(index > 1, 1.0, 3.0)

    found = measured(written, "smooth", torch.tensor([0.3, 0.4, 0.1]))
    assert found["relu"].before > 0.0 and found["relu"].after > 0.0
    assert found["gt"].before == 0.0 and found["gt"].after > 0.0


def test_measuring_changes_nothing() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout()), torch.randn(4, 3)
    before, state = {key: value.clone() for key, value in model.state_dict().items()}, torch.get_rng_state()
    site_gradients(model, "smooth", example_inputs=(x,))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert x.grad is None and all(parameter.grad is None for parameter in model.parameters())


# -- the command -------------------------------------------------------------------------------------------------------


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
