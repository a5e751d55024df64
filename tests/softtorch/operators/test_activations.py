"""What is particular to the activation functions; the rest is in test_pointwise.py."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

import softtorch
from tests.softtorch.pointwise_table import INF, MODES

each_mode = pytest.mark.parametrize("mode", MODES)


@each_mode
def test_options_are_torchs(mode):
    x = torch.linspace(-8, 8, 101, dtype=torch.float64)
    small = {"softness": 1e-4 if mode != "tailed" else 1e-6, "mode": mode}
    for soft, hard in (
        (softtorch.hardtanh(x, -2.0, 0.55, **small), functional.hardtanh(x, -2.0, 0.55)),
        (softtorch.leaky_relu(x, 0.3, **small), functional.leaky_relu(x, 0.3)),
        (softtorch.threshold(x, 1.07, 5.0, **small), functional.threshold(x, 1.07, 5.0)),
    ):
        assert torch.allclose(soft, hard, atol=1e-3)  # at the corner itself they are off by up to s log 2
    assert torch.equal(softtorch.leaky_relu(x, 0.3, mode="hard"), functional.leaky_relu(x, 0.3))


def test_relu6_and_hardsigmoid_are_clamps():
    x = torch.linspace(-8, 8, 101, dtype=torch.float64)
    assert torch.allclose(softtorch.relu6(x, 0.2, "c1"), softtorch.clamp(x, 0.0, 6.0, 0.2, "c1"))
    want = softtorch.clamp(x, -3.0, 3.0, 0.2) / 6 + 0.5
    assert torch.allclose(softtorch.hardsigmoid(x, 0.2), want)
    assert torch.allclose(softtorch.hardswish(x, 0.2), x * want)


def test_gaussian_relu_is_relu_averaged_over_a_gaussian():
    x = torch.tensor([-0.3, 0.0, 0.2], dtype=torch.float64)
    z = torch.linspace(-9, 9, 20001, dtype=torch.float64)
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    want = torch.trapezoid(torch.relu(x[:, None] + 0.4 * z) * density, z)
    assert torch.allclose(softtorch.gaussian_relu(x, 0.4), want, atol=1e-7)  # the quadrature's error


def test_gaussian_relu_keeps_the_rules_of_the_others():
    x = torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64, requires_grad=True)
    s = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    assert gradcheck(lambda x, s: softtorch.gaussian_relu(x, s) * weight, (x, s))
    assert gradgradcheck(softtorch.gaussian_relu, (x, s))
    far = torch.tensor([INF, -INF, 1e30, -1e30], requires_grad=True)
    out = softtorch.gaussian_relu(far)
    assert torch.equal(out.detach(), torch.relu(far).detach())
    assert torch.autograd.grad(out.clamp(max=1e3).sum(), far)[0].isfinite().all()
    half = torch.randn(20).bfloat16()
    assert torch.equal(softtorch.gaussian_relu(half), softtorch.gaussian_relu(half.float()).bfloat16())
