"""The capped simplex: sums, sparsity, optimality, the published Jacobian."""

import pytest
import torch

from softtorch.kernels.capped_simplex import capped_project
from tests.softtorch.cases import draw, weights_like

POWERS = [1, 2, 3]


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 1e6])
@pytest.mark.parametrize("k", [0.0, 1.0, 2.5, 20.0, 40.0])
def test_it_sums_to_k_between_zero_and_one(power: int, scale: float, k: float) -> None:
    for x in (draw(3, 40) * scale, (draw(3, 40) * scale).round()):
        y = capped_project(x, torch.tensor([k], dtype=torch.float64), power)
        assert (y >= 0).all()
        assert (y <= 1).all()
        # scores of 1e6 round at 1e-10
        torch.testing.assert_close(y.sum(dim=-1), torch.full((3,), k).double(), rtol=0, atol=1e-9)


def test_one_entry_and_empty_batches_are_fine() -> None:
    k = torch.tensor([0.7], dtype=torch.float64)
    torch.testing.assert_close(capped_project(draw(3, 1), k, 1), torch.full((3, 1), 0.7).double())
    assert capped_project(draw(0, 4), k, 1).shape == (0, 4)


def test_power_one_is_the_nearest_point() -> None:
    x, k = draw(6) * 2, torch.tensor([2.3], dtype=torch.float64)
    y = capped_project(x, k, 1)
    for seed in range(50):
        other = capped_project(draw(6, seed=seed + 1) * 2, k, 1)  # another point of the set
        assert ((x - y) * (other - y)).sum() <= 1e-9


@pytest.mark.parametrize("power", POWERS)
def test_it_has_the_published_jacobian(power: int) -> None:
    x = (draw(2, 6) / 0.8).requires_grad_()
    k = torch.tensor([[2.3], [3.1]], dtype=torch.float64, requires_grad=True)
    y = capped_project(x, k, power)
    g = weights_like(y)
    by_x, by_k = torch.autograd.grad(y, (x, k), g)
    partial = ((y > 0) & (y < 1)).detach()
    slope = torch.where(partial, power * y.detach() ** ((power - 1) / power), 0.0)
    mean = (slope * g).sum(dim=-1, keepdim=True) / slope.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(by_x, slope * (g - mean))
    torch.testing.assert_close(by_k, mean)
    loss = lambda x, k: capped_project(x, k, power) * g  # noqa: E731
    assert torch.autograd.gradcheck(loss, (x, k))
    assert torch.autograd.gradgradcheck(loss, (x, k))  # away from the kinks
