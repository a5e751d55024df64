"""The laws that softtorch.modes.base.Mode states, for every mode."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import softtorch
from softtorch.modes import MODES
from tests.softtorch.cases import CURVE_MODES, draw

U = torch.linspace(-9, 9, 361, dtype=torch.float64)


@pytest.mark.parametrize("name", MODES)
def test_the_step_rises_from_zero_to_one_symmetrically(name: str) -> None:
    step = MODES[name].sigmoidal(U)
    assert (step.diff() >= 0).all()
    torch.testing.assert_close(MODES[name].sigmoidal(-U), 1 - step)  # rounding of either side
    ends = MODES[name].sigmoidal(torch.tensor([-math.inf, math.inf]))
    assert ends.tolist() == [0, 1]


@pytest.mark.parametrize("name", MODES)
def test_the_step_is_one_half_at_zero(name: str) -> None:
    assert MODES[name].sigmoidal(torch.zeros(())).item() == 0.5


@pytest.mark.parametrize("name", CURVE_MODES)
def test_the_ramp_is_the_integral_of_the_step(name: str) -> None:
    u = U.clone().requires_grad_()
    (slope,) = torch.autograd.grad(MODES[name].softrelu(u).sum(), u)
    torch.testing.assert_close(slope, MODES[name].sigmoidal(U))
    assert torch.autograd.gradcheck(MODES[name].softrelu, (draw(9).mul(4).requires_grad_(),))


@pytest.mark.parametrize("name", [name for name in MODES if not MODES[name].has_tail])
def test_the_ramp_is_zero_far_left_and_the_identity_far_right(name: str) -> None:
    u = torch.tensor([-math.inf, -1e4, 1e4, math.inf], dtype=torch.float64)
    assert MODES[name].softrelu(u).tolist() == [0, 0, 1e4, math.inf]


@pytest.mark.parametrize("name", CURVE_MODES)
def test_the_soft_absolute_value_tends_to_the_exact_one(name: str) -> None:
    # The smooth mode's largest error, 0.56 softness, is at |x| about 1.3 softness; the others are narrower.
    assert (MODES[name].softabs(U, 0.01) - U.abs()).abs().max() < 0.01


@pytest.mark.parametrize("name", ["c0", "c1", "c2"])
def test_piecewise_steps_have_the_continuity_they_claim(name: str) -> None:
    mode = MODES[name]
    step = mode.sigmoidal
    for order in range(int(mode.continuity) + 1):
        sides = [
            step(torch.tensor(edge * (1 + side * 1e-9), dtype=torch.float64)) for edge in (-5, 5) for side in (-1, 1)
        ]
        # derivatives of the curves are below 1, so a step of 5e-9 changes a continuous one by less than 1e-7
        assert abs(sides[0] - sides[1]) < 1e-7, (order, sides)
        assert abs(sides[2] - sides[3]) < 1e-7, (order, sides)
        inner = step

        def step(u, inner=inner):
            return torch.func.grad(inner)(u)


ROWS = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


@pytest.mark.parametrize("name", MODES)
@given(row=ROWS)
@settings(max_examples=60)
def test_projections_lie_on_the_simplex_in_the_order_of_the_scores(name: str, row: list[float]) -> None:
    z = torch.tensor(row, dtype=torch.float64)
    p = MODES[name].project(z)
    assert (p >= 0).all()
    assert abs(p.sum() - 1) < 1e-12  # a dozen roundings
    above = z.unsqueeze(-1) > z
    assert (p.unsqueeze(-1) >= p - 1e-15)[above].all()


@pytest.mark.parametrize("name", MODES)
@given(row=ROWS, shift=st.floats(-100, 100))
@settings(max_examples=40)
def test_projections_are_equivariant_and_blind_to_a_shift(name: str, row: list[float], shift: float) -> None:
    z = torch.tensor(row, dtype=torch.float64)
    p = MODES[name].project(z)
    if name != "hard":  # the exact argmax takes the first of several
        torch.testing.assert_close(MODES[name].project(z.flip(0)).flip(0), p)
        # scores of 1e3 keep 13 digits after the shift, and weights change as fast as scores do
        torch.testing.assert_close(MODES[name].project(z + shift), p, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MODES)
def test_scores_of_minus_infinity_get_exactly_nothing(name: str) -> None:
    z = torch.tensor([0.3, -math.inf, 0.1, -math.inf], requires_grad=True)
    p = MODES[name].project(z)
    assert (p[[1, 3]] == 0).all()
    if name != "hard":
        (gradient,) = torch.autograd.grad((p * torch.arange(4.0)).sum(), z)
        assert gradient.isfinite().all()
        assert (gradient[[1, 3]] == 0).all()


@pytest.mark.parametrize("name", CURVE_MODES)
def test_log_projections_are_the_logarithms_with_finite_gradients(name: str) -> None:
    z = torch.tensor([2.0, -3.0, 1.5, -math.inf], dtype=torch.float64, requires_grad=True)
    logs = MODES[name].log_project(z)
    torch.testing.assert_close(logs.exp(), MODES[name].project(z))
    assert (logs == -math.inf).tolist() == (MODES[name].project(z) == 0).tolist()
    (gradient,) = torch.autograd.grad(torch.where(logs.isfinite(), logs, 0.0).sum(), z)
    assert gradient.isfinite().all()


def test_the_smooth_logarithm_survives_where_the_probability_underflows() -> None:
    logs = MODES["smooth"].log_project(torch.tensor([0.0, -500.0]))
    assert logs.tolist() == [0.0, -500.0]


def test_select_is_how_hard_brings_torchs_own_function() -> None:
    assert MODES["hard"].select("hard", "soft") == "hard"
    assert {MODES[name].select("hard", "soft") for name in CURVE_MODES} == {"soft"}


@pytest.mark.parametrize("size", [3, 200_000])  # few entries are recorded, many are fused
@pytest.mark.parametrize(("name", "slopes"), [("sigmoidal", [0.5, 0.5, 0.0]), ("abs", [-2.0, 0.0, 1.0])])
def test_the_corners_of_linear_steps_have_the_published_derivative_on_every_path(
    name: str, slopes: list[float], size: int
) -> None:
    function = getattr(softtorch, name)
    x = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64).repeat(size).requires_grad_()  # 5 softness is 1
    want = torch.tensor(slopes, dtype=torch.float64).repeat(size)
    for softness in (0.2, torch.tensor(0.2, dtype=torch.float64)):
        total = lambda x, s=softness: function(x, s, "c0").sum()  # noqa: E731
        torch.testing.assert_close(torch.autograd.grad(total(x), x)[0], want)
        torch.testing.assert_close(torch.func.grad(total)(x.detach()), want)
