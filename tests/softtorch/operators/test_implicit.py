"""Solutions differentiated through their condition: against closed forms, to second order, mapped."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import softtorch
from softtorch.errors import OptionError, ShapeError


def cubic(x: Tensor, a: Tensor) -> Tensor:
    return x**3 + a * x - 1.0


@softtorch.implicit_root(cubic, order=2)
def by_bisection(a: Tensor) -> Tensor:
    low, high = torch.zeros_like(a), torch.ones_like(a)
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = cubic(middle, a) > 0  # branches and comparisons: nothing to differentiate
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return 0.5 * (low + high)


def test_bisection_has_the_derivatives_of_the_root_to_second_order() -> None:
    a = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(by_bisection, a) and gradgradcheck(by_bisection, a)


def test_a_minimizer_is_the_root_of_its_gradient() -> None:
    matrix = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def gradient(x: Tensor, y: Tensor, penalty: Tensor) -> Tensor:
        return matrix.T @ (matrix @ x - y) + penalty * x

    @softtorch.implicit_root(gradient)
    def ridge(y: Tensor, penalty: Tensor) -> Tensor:
        x = torch.zeros(3, dtype=torch.float64)
        for _ in range(20000):
            x = x - 0.05 * gradient(x, y, penalty)
        return x

    def closed(y: Tensor, penalty: Tensor) -> Tensor:
        return torch.linalg.solve(matrix.T @ matrix + penalty * torch.eye(3, dtype=torch.float64), matrix.T @ y)

    inputs = (torch.randn(5, dtype=torch.float64, requires_grad=True), torch.tensor(0.7, dtype=torch.float64))
    inputs[1].requires_grad_()
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    found, wanted = (torch.autograd.grad(weights @ solve(*inputs), inputs) for solve in (ridge, closed))
    assert all(torch.allclose(one, other) for one, other in zip(found, wanted, strict=True))


def test_a_batch_of_problems_is_mapped() -> None:
    a = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    mapped = torch.func.vmap(torch.func.grad(lambda a: by_bisection(a)))(a)
    x = by_bisection(a)
    assert torch.allclose(mapped, -x / (3 * x**2 + a))


def test_mistakes_are_told() -> None:
    with pytest.raises(OptionError, match="1 or more"):
        softtorch.implicit_root(cubic, order=0)
    with pytest.raises(ShapeError, match="2 numbers for a solution of 1"):
        softtorch.implicit_root(lambda x, a: torch.stack([x, a]))(lambda a: a)(torch.tensor(1.0))
