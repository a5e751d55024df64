"""Modes c1_pnorm and c2_pnorm: steps that are projections of two entries; and SoftTorch's spellings of modes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import softtorch
from softtorch.modes import C1, C1_PNORM, C2, C2_PNORM, HARD, PUBLISHED, Mode

U = torch.linspace(-7, 7, 1401, dtype=torch.float64)
BOTH = pytest.mark.parametrize(("mode", "rows"), [(C1_PNORM, C1), (C2_PNORM, C2)], ids=repr)


@BOTH
def test_the_step_is_the_projection_of_two_entries(mode: Mode, rows: Mode) -> None:
    pair = torch.stack([U / 5, torch.zeros_like(U)], -1)
    torch.testing.assert_close(mode.sigmoidal(U), rows.project(pair)[:, 0])
    torch.testing.assert_close(mode.sigmoidal(-U), 1 - mode.sigmoidal(U))


@BOTH
def test_the_ramp_is_the_integral_of_the_step_and_the_density_its_derivative(mode: Mode, rows: Mode) -> None:
    u = U.clone().requires_grad_()
    (slope,) = torch.autograd.grad(mode.softrelu(u).sum(), u, create_graph=True)
    torch.testing.assert_close(slope, mode.sigmoidal(U))
    (density,) = torch.autograd.grad(slope.sum(), u)
    torch.testing.assert_close(density, mode.density(U))
    torch.testing.assert_close(mode.softrelu(U) - mode.softrelu(-U), U)
    assert mode.softrelu(torch.tensor([-5.0, -9.0])).tolist() == [0.0, 0.0]
    inside = torch.linspace(-4.5, 4.5, 7, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(mode.softrelu, (inside,))


@BOTH
def test_rows_are_those_of_the_polynomial_mode(mode: Mode, rows: Mode) -> None:
    x = torch.randn(4, 5, dtype=torch.float64)
    assert torch.equal(softtorch.argmax(x, 1, mode=mode), softtorch.argmax(x, 1, mode=rows))


@BOTH
def test_staircases_are_sums_of_their_own_steps(mode: Mode, rows: Mode) -> None:
    x = torch.linspace(-2.9, 2.9, 31, dtype=torch.float64)
    integers = torch.arange(-9.0, 10.0, dtype=torch.float64)
    steps = [mode.sigmoidal((x.unsqueeze(-1) - integers + half) / 0.2) for half in (0.5, -0.5)]
    torch.testing.assert_close(softtorch.round(x, 0.2, mode), (integers * (steps[0] - steps[1])).sum(-1))
    inside = (x + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: softtorch.trunc(x, 0.08, mode), (inside,))


@pytest.mark.parametrize("name", ["sign", "abs", "relu", "heaviside", "softrelu", "sigmoidal"])
@pytest.mark.parametrize("softness", [0.2, torch.tensor(0.2)])
@pytest.mark.parametrize("spelling", ["c1_pnorm", "_c1_pnorm", "c2_pnorm", "_c2_pnorm"])
def test_every_spelling_is_taken_by_elementwise_operators(name: str, softness: float, spelling: str) -> None:
    x = torch.linspace(-2, 2, 9)
    found = getattr(softtorch, name)(x, softness=softness, mode=spelling)
    assert torch.equal(
        found, getattr(softtorch, name)(x, softness=softness, mode=PUBLISHED[spelling.removeprefix("_")])
    )
    hard = getattr(softtorch, name)(x, mode="hard")
    assert torch.equal(found[x.abs() >= 1], hard[x.abs() >= 1])  # five softnesses away


def test_the_hard_mode_has_softtorchs_spelling_too() -> None:
    x = torch.randn(6)
    assert PUBLISHED["_hard"] is HARD
    for name in ("sign", "argmax", "sort", "round"):
        found, hard = (getattr(softtorch, name)(x, mode=mode) for mode in ("_hard", "hard"))
        assert all(map(torch.equal, found, hard))


def test_comparisons_and_bounds_take_them() -> None:
    x = torch.linspace(-2, 2, 9)
    for mode in ("_c1_pnorm", "_c2_pnorm"):
        assert softtorch.greater(x, 0.0, 0.1, mode).tolist()[0] == 0
        torch.testing.assert_close(softtorch.clamp(x, -1.0, 1.0, 1e-3, mode), x.clamp(-1, 1), atol=5e-3, rtol=0)
        torch.testing.assert_close(softtorch.maximum(x, -x, 1e-3, mode), x.abs(), atol=5e-3, rtol=0)  # softness 1e-3
        assert (softtorch.isclose(x, x, 0.1, mode=mode) > 0).all()
        assert torch.equal(softtorch.sign_st(x, mode=mode), torch.sign(x))


# SoftTorch 0.1.1: operator|mode|softness|value and |gradient, that of the values' sum under `weights`; the second
# operand is x turned round and halved, the bounds of clamp are -1 and 1.
PUBLISHED_VALUES = np.load(Path(__file__).parents[2] / "golden" / "softtorch_0.1.1_pnorm.npz")
CASES = [key.removesuffix("|value") for key in PUBLISHED_VALUES if key.endswith("|value")]
SECOND = ("greater", "less_equal", "isclose")


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_the_published_ones(case: str) -> None:
    name, mode, softness = case.split("|")
    x = torch.from_numpy(PUBLISHED_VALUES["x"]).requires_grad_()
    operands = (x, x.detach().flip(0) * 0.5) if name in SECOND else (x, -1.0, 1.0) if name == "clamp" else (x,)
    value = getattr(softtorch, name)(*operands, mode=mode, softness=float(softness))
    (gradient,) = torch.autograd.grad((value * torch.from_numpy(PUBLISHED_VALUES["weights"])).sum(), x)
    published = [torch.from_numpy(PUBLISHED_VALUES[f"{case}|{part}"]) for part in ("value", "gradient")]
    torch.testing.assert_close([value, gradient], published, rtol=0, atol=1e-12)  # the rounding of a few operations
