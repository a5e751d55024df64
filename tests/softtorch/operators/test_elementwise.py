"""What is particular to clamp, abs, relu, heaviside, maximum; the rest is in test_pointwise.py."""

import pytest
import torch
from torch.autograd import gradcheck

import softtorch
from softtorch.errors import OptionError
from tests.softtorch.pointwise_table import INF, MODES

each_mode = pytest.mark.parametrize("mode", MODES)
MAGNITUDES = [10.0**k for k in range(-30, 31, 5)]


@each_mode
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_magnitudes_from_1e_minus_30_to_1e30_lose_no_precision(mode, dtype):
    x = torch.tensor([sign * m for m in MAGNITUDES for sign in (1, -1)], dtype=dtype, requires_grad=True)
    far = x.detach().abs() > 100  # a thousand widths from the corner, hard for any mode
    # A tail is felt there: 16 / pi^2 of a tenth of the softness times the logarithm of how many widths it is away.
    precise = torch.finfo(dtype).eps * 4 if mode != "tailed" else 5e-3
    atol = 0.0 if mode != "tailed" else 1.5
    for soft, hard in (
        (softtorch.relu, torch.relu),
        (softtorch.abs, torch.abs),
        (lambda x, mode: softtorch.relu(x, mode=mode, gated=True), torch.relu),
        (lambda x, mode: softtorch.clamp(x, -0.8, 0.9, mode=mode), lambda x: x.clamp(-0.8, 0.9)),
        (lambda x, mode: softtorch.maximum(x, 0.5 * x, mode=mode), lambda x: torch.maximum(x, 0.5 * x)),
    ):
        out = soft(x, mode=mode)
        assert torch.allclose(out[far], hard(x)[far], rtol=precise, atol=atol)
        assert torch.autograd.grad(out.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_smooth_sign_and_abs_are_relatively_precise_near_0(dtype):
    x = torch.tensor([10.0**k for k in range(-30, -4)], dtype=dtype)  # few numbers: many of float32 are faster
    assert torch.allclose(softtorch.sign(x) / x, torch.full_like(x, 5.0), rtol=1e-5)  # tanh(x / 2s) is x / 2s
    assert torch.allclose(softtorch.abs(x[15:]) / x[15:] ** 2, torch.full_like(x[15:], 5.0), rtol=1e-5)


@each_mode
@pytest.mark.parametrize("gated", [False, True])
def test_clamp_takes_one_bound_two_tensors_or_one_of_each(mode, gated):
    x = torch.linspace(-3, 3, 25, dtype=torch.float64)
    a, b = torch.full((25,), -1.0, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    options = {"mode": mode, "gated": gated}
    want = softtorch.clamp(x, -1.0, 0.5, **options)
    for bounds in ((a, b), (a, 0.5), (-1.0, b)):
        assert torch.allclose(softtorch.clamp(x, *bounds, **options), want)
        hard = softtorch.clamp(x, *bounds, mode="hard")
        assert torch.equal(hard, x.clamp(-1.0, 0.5))
    for infinite in ((-1.0, INF), (-1.0, None)):
        assert torch.allclose(softtorch.clamp(x, *infinite, **options), -1 + softtorch.relu(x + 1, **options))
    assert torch.equal(softtorch.clamp(x, -INF, INF, **options), x)
    assert torch.allclose(softtorch.clamp(x, 1.0, 0.5, softness=1e-3, **options), x.clamp(1.0, 0.5))


@each_mode
@pytest.mark.parametrize("gated", [False, True])
def test_clamp_is_differentiable_in_its_bounds_and_softness(mode, gated):
    x = torch.linspace(-3, 3, 10, dtype=torch.float64, requires_grad=True)
    a = torch.tensor(-1.1, dtype=torch.float64, requires_grad=True)
    b = torch.full((10,), 0.7, dtype=torch.float64, requires_grad=True)
    s = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    weight = torch.linspace(1, 2, 10, dtype=torch.float64)

    def learned(x, a, b, s):
        return softtorch.clamp(x, a, b, s, mode, gated) * weight

    def fixed(x, a, b):
        return learned(x, a, b, 0.3)

    assert gradcheck(learned, (x, a, b, s)) and gradcheck(fixed, (x, a, b))


def test_wide_bounds_do_not_cost_precision():
    x = torch.tensor([0.3, 1.7, -0.2])
    assert torch.allclose(softtorch.clamp(x, 0.0, 1e9), softtorch.relu(x), rtol=1e-6)
    assert torch.allclose(softtorch.clamp(x, 0.0, 1e30), softtorch.relu(x), rtol=1e-6)


def test_heaviside_takes_torchs_values_in_hard_mode():
    x = torch.tensor([-1.0, 0.0, 2.0])
    for values in (torch.tensor(0.25), torch.tensor([7.0, 8.0, 9.0]), 1.0):
        want = torch.heaviside(x, torch.as_tensor(values))
        assert torch.equal(softtorch.heaviside(x, mode="hard", values=values), want)


def test_hard_steps_have_no_derivative_rather_than_an_error():
    x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    out = softtorch.heaviside(x, mode="hard") * x
    assert torch.autograd.grad(out.sum(), x)[0].tolist() == [0.0, 0.5, 1.0]


@each_mode
def test_maximum_and_minimum_share_the_sum_and_the_tie(mode):
    x, y = torch.randn(20, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    top, bottom = softtorch.maximum(x, y, mode=mode), softtorch.minimum(x, y, mode=mode)
    assert torch.allclose(top + bottom, x + y)
    # A tail falls below 0 the farther the more, by 0.076 where numbers are 20 apart.
    assert (top >= torch.maximum(x, y) - (0.08 if mode == "tailed" else 0.0)).all()
    tie = torch.ones(1, requires_grad=True)
    assert torch.autograd.grad(softtorch.maximum(tie, 1.0, mode=mode).sum(), tie)[0].item() == 0.5
    assert torch.equal(softtorch.maximum(x, torch.full_like(x, -INF), mode=mode), x)


def test_a_learned_softness_gets_a_gradient_and_is_not_read_back():
    softness = torch.nn.Parameter(torch.tensor(0.2))
    out = softtorch.relu(torch.tensor([0.1, -0.1]), softness)
    out.sum().backward()
    assert softness.grad.item() > 0
    assert softtorch.relu(torch.ones(2, device="meta"), softness.to("meta")).device.type == "meta"


def test_errors():
    x = torch.ones(2)
    with pytest.raises(OptionError, match=r"clamp: neither a nor b is given\. Give a bound"):
        softtorch.clamp(x)
    with pytest.raises(OptionError, match=r"relu: softness is a tensor of dtype torch\.int64\. Use a floating"):
        softtorch.relu(x, torch.tensor(1))
    with pytest.raises(OptionError, match="abs: softness='wide' is of type str"):
        softtorch.abs(x, "wide")
