"""The gradient that each site passes on, measured."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from softfx.plots.metering import Passed, site_gradients


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
