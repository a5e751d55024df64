"""The curves of operators: the operator itself, with its derivative."""

from __future__ import annotations

import pytest
import torch

import softfx
import softtorch
from softfx.plots.curves import curves, operator_of
from softfx.rules import RULES

DRAWN = [
    "argmax", "argquantile", "argsort", "bucketize", "clamp", "cummin", "gaussian_relu", "greater", "heaviside",
    "isclose", "kthvalue", "laplace_quantile", "max", "median", "percentile", "quantile", "rank", "relu", "remainder",
    "round", "sign", "sort", "threshold", "topk", "topk_mask",
]  # fmt: skip


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


def test_where_pieces_of_a_curve_meet_the_derivative_is_no_spike() -> None:
    _, soft = curves(operator_of("round"), ["c0"], (0.1,), (-2.0, 2.0))
    torch.testing.assert_close(soft.derivative, torch.ones_like(soft.x))  # its pieces meet at 0, where autograd has 0


@pytest.mark.parametrize("name", ["max_pool1d", "max_pool2d", "max_pool3d"])
def test_pooling_is_drawn_as_the_maximum_of_its_window(name: str) -> None:
    x = torch.linspace(-1.9, 2.1, 7, dtype=torch.float64)
    torch.testing.assert_close(operator_of(name)(x, softness=0.3), operator_of("max")(x, softness=0.3))


@pytest.mark.parametrize(
    ("name", "label", "output"),
    [("argmax", "argmax((x, -1/2, 1/2)) by softsort", "weight of x"), ("relu", "relu(x)", "value"),
     ("median", "median((x, -1/2, 1/2)) by neuralsort", "value")],
)  # fmt: skip
def test_a_picture_names_the_method_and_what_it_shows(name: str, label: str, output: str) -> None:
    assert (operator_of(name).label, operator_of(name).output) == (label, output)


@pytest.mark.parametrize(("spelled", "name"), [("SX301", "greater"), ("SX201", "argmax"), ("relu", "relu")])
def test_names_and_codes_of_softfx_are_known(spelled: str, name: str) -> None:
    assert operator_of(spelled).name == name


def test_every_name_of_softfx_is_drawn_or_refused_with_a_reason() -> None:
    for name in (*RULES, *(rule.code for rule in RULES.values())):
        try:
            assert operator_of(name)(torch.zeros(2)).shape == (2,)
        except softfx.TargetError as refusal:
            assert any(text in str(refusal) for text in ("no softness", "no function of one number")), name
