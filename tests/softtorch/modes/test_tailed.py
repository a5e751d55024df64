"""Mode `tailed`: its formulas, its digits far out, and what it is where a tail would be of no use."""

import math
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import softtorch
from softtorch.kernels.numeric.tracing import plain_operators
from softtorch.modes import SMOOTH, TAILED, StraightThrough

FLOAT64 = torch.float64


def derivative(function, x):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(function(x).sum(), x)[0]


def published(u):
    """0.9 g(u) + 0.1 c(u / 4) / 4, g normal and c Cauchy, both 1/4 at 0."""
    normal = torch.exp(-((u / (4 / math.sqrt(2 * math.pi))) ** 2) / 2) / 4
    return 0.9 * normal + 0.1 / 4 / (4 * (1 + (math.pi * (u / 4) / 4) ** 2))


@pytest.mark.parametrize("size", [7, 20_000])  # plain operators, and passes by hand
def test_the_derivative_of_the_step_is_the_published_density(size):
    x = torch.linspace(-40, 40, size, dtype=FLOAT64)
    found = derivative(lambda x: softtorch.heaviside(x, 0.5, "tailed"), x)
    torch.testing.assert_close(found, published(x / 0.5) / 0.5)
    torch.testing.assert_close(derivative(lambda x: softtorch.sign(x, 0.5, "tailed"), x), 2 * found)
    torch.testing.assert_close(TAILED.density(x), published(x))


@pytest.mark.parametrize("function", [softtorch.relu, softtorch.abs, softtorch.sign, softtorch.heaviside])
@pytest.mark.parametrize("gated", [False, True])
def test_passes_by_hand_are_the_plain_formulas(function, gated):
    if gated and function is not softtorch.relu:
        pytest.skip("only ramps are gated")
    options = {"gated": True} if gated else {}
    x = torch.linspace(-60, 60, 20_000, dtype=FLOAT64)

    def soft(x):
        return function(x, softness=0.7, mode="tailed", **options)

    def plain(x):
        return function(x, softness=torch.tensor(0.7, dtype=FLOAT64), mode="tailed", **options)

    torch.testing.assert_close(soft(x), plain(x))
    torch.testing.assert_close(derivative(soft, x), derivative(plain, x))


def test_every_order_of_derivative_is_right():
    x = torch.linspace(-3, 3, 9, dtype=FLOAT64, requires_grad=True)
    options = {"softness": 0.4, "mode": "tailed"}
    for function in (softtorch.heaviside, softtorch.relu, softtorch.abs, partial(softtorch.eq, y=0.3)):
        assert gradcheck(partial(function, **options), (x,))
        assert gradgradcheck(partial(function, **options), (x,))


@pytest.mark.parametrize("dtype", [torch.float32, FLOAT64])
def test_a_step_keeps_its_digits_and_its_derivative_far_out(dtype):
    u = torch.tensor([-1e2, -1e4, -1e6], dtype=dtype)
    tail = 0.1 * 16 / math.pi**2 / u.abs()
    torch.testing.assert_close(TAILED.sigmoidal(u), tail, rtol=2e-3, atol=0.0)
    assert (derivative(TAILED.sigmoidal, u) > 0).all()


def test_transforms_and_compilers_see_the_same_curve():
    x = torch.randn(5, 4, dtype=FLOAT64)

    def step(x):
        return softtorch.greater(x, 0.1, 0.3, "tailed")

    torch.testing.assert_close(torch.vmap(step)(x), step(x))
    slope = torch.func.jvp(step, (x,), (torch.ones_like(x),))[1]
    torch.testing.assert_close(slope, derivative(step, x))
    torch.testing.assert_close(torch.compile(step, backend="aot_eager", fullgraph=True)(x), step(x))


@pytest.mark.parametrize(
    "operator", [softtorch.round, softtorch.floor, softtorch.ceil, softtorch.trunc, softtorch.frac]
)
def test_staircases_take_steps_without_tails(operator):
    x = torch.linspace(-3, 3, 50)
    assert torch.equal(operator(x, 0.3, "tailed"), operator(x, 0.3, "smooth"))


def test_choices_among_scores_are_those_of_mode_smooth():
    x = torch.tensor([0.3, 1.2, 0.8])
    assert torch.equal(softtorch.argmax(x, mode="tailed"), softtorch.argmax(x, mode="smooth"))
    assert torch.equal(softtorch.sort(x, mode="tailed")[0], softtorch.sort(x, mode="smooth")[0])
    assert TAILED.tailless is SMOOTH
    assert StraightThrough(TAILED).tailless.soft is SMOOTH


@pytest.mark.parametrize("tolerance", [0.0, 0.05, 1.0])
def test_nearness_is_a_window_between_two_thresholds(tolerance):
    x = torch.linspace(-4, 4, 41, dtype=FLOAT64)
    near = softtorch.isclose(x, torch.zeros(1, dtype=FLOAT64), 0.2, 0.0, tolerance, "tailed")
    width = max(tolerance, 0.2 / 8)
    steps = [softtorch.heaviside(torch.tensor(d, dtype=FLOAT64), 0.2, "tailed") for d in (width, -width)]
    window = softtorch.heaviside(x + width, 0.2, "tailed") - softtorch.heaviside(x - width, 0.2, "tailed")
    torch.testing.assert_close(near, window / (steps[0] - steps[1]), rtol=1e-6, atol=1e-9)
    assert abs(near[20] - 1.0) < 1e-12
    apart = softtorch.not_equal(x, 0.0, 0.2, "tailed", epsilon=tolerance)
    torch.testing.assert_close(apart, 1 - near, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("compare", [softtorch.eq, softtorch.not_equal])
@pytest.mark.parametrize("tolerance", [1e-10, 0.7])
def test_nearness_by_passes_is_its_formula_and_has_all_derivatives(compare, tolerance):
    function = partial(compare, y=0.25, softness=0.2, mode="tailed", epsilon=tolerance)
    x = torch.cat([torch.linspace(-3, 3, 41), torch.tensor([0.25, -1e3, 1e9])]).to(FLOAT64)
    found, slope = function(x), derivative(function, x)
    with plain_operators():
        torch.testing.assert_close(found, function(x), rtol=1e-9, atol=1e-13)
        torch.testing.assert_close(slope, derivative(function, x), rtol=1e-9, atol=1e-13)
    some = torch.linspace(-1, 1.2, 9, dtype=FLOAT64, requires_grad=True)
    assert gradcheck(function, some) and gradgradcheck(function, some)
    assert derivative(function, torch.tensor([math.inf, -math.inf], dtype=FLOAT64)).abs().max() < 1e-30


@pytest.mark.parametrize("shape", [(), (1,), (3, 7), (0,), (2, 20_000)])
@pytest.mark.parametrize("dtype", [torch.float32, FLOAT64])
def test_what_is_equal_is_so_to_the_last_digit(shape, dtype):
    x = torch.full(shape, 0.7, dtype=dtype)
    for softness in (0.01, 0.3, 7.0):
        assert torch.equal(softtorch.eq(x, x, softness, "tailed"), torch.ones_like(x))
        assert torch.equal(softtorch.not_equal(x, x, softness, "tailed"), torch.zeros_like(x))


def test_nearness_keeps_its_digits_far_out():
    near = softtorch.eq(torch.tensor([1e4, 1e6, 1e9]), 0.0, 1.0, "tailed")
    exact = softtorch.eq(torch.tensor([1e4, 1e6, 1e9], dtype=FLOAT64), 0.0, 1.0, "tailed")
    torch.testing.assert_close(near, exact.float(), rtol=1e-6, atol=0.0)


def test_the_ramp_is_torchs_own_at_infinity_and_an_integral_of_the_step():
    assert softtorch.relu(torch.tensor([-math.inf, math.inf]), mode="tailed").tolist() == [0.0, math.inf]
    u = torch.linspace(-30, 30, 61, dtype=FLOAT64)
    torch.testing.assert_close(TAILED.softrelu(u) - TAILED.softrelu(-u), u)
    torch.testing.assert_close(derivative(TAILED.softrelu, u), TAILED.sigmoidal(u))
