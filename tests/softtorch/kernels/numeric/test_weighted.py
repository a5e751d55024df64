"""Weighted sums in one step, where values are seen to be moderate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from softtorch.kernels.numeric.weighted import dot, plain_dot, scale


def _operands(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


@pytest.mark.parametrize(
    "shapes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((4,), (2, 3, 4)), ((3, 1), (4,)), ((4,), (3, 1))]
)
def test_the_one_step_has_all_derivatives(shapes: tuple[tuple[int, ...], ...]) -> None:
    operands = _operands(*shapes)
    assert torch.equal(plain_dot(*operands), scale(*operands).sum(-1))
    assert torch.autograd.gradcheck(plain_dot, operands)
    assert torch.autograd.gradgradcheck(plain_dot, operands)


def test_integers_are_moderate() -> None:
    (weights,) = _operands((3, 4))
    values = torch.tensor([0, -3, 1 << 62, 7])
    assert torch.equal(plain_dot(weights, values), (weights * values).sum(-1))
    assert torch.equal(plain_dot(weights, values > 0), (weights * (values > 0)).sum(-1))


@pytest.mark.parametrize("value", [torch.inf, torch.nan, 1e300])
def test_other_values_are_left_to_the_careful_sum(value: float) -> None:
    weights, values = torch.tensor([[0.5, 0.5], [1.0, 0.0]]).double(), torch.tensor([1.0, value]).double()
    assert plain_dot(weights, values) is None
    assert dot(weights, values)[1] == 1.0


def test_types_that_hold_little_are_left_to_it_too() -> None:
    weights, values = _operands((3, 4), (4,))
    assert plain_dot(weights.half(), values.half()) is None
    assert plain_dot(weights, values.float()) is None


def test_gradients_that_are_not_finite_count_as_0() -> None:
    (weights,) = _operands((4,))
    (slope,) = torch.autograd.grad(plain_dot(weights, torch.arange(4)), weights, torch.tensor(torch.inf).double())
    assert torch.equal(slope, torch.zeros(4).double())


def test_values_that_are_mapped_are_not_read() -> None:
    (weights,) = _operands((4,))
    values = torch.arange(8).view(2, 4)
    found = torch.vmap(lambda row: dot(weights, row.double()))(values)
    assert torch.equal(found, (weights * values).sum(-1))
    assert torch.vmap(lambda row: torch.tensor(float(plain_dot(weights, row) is None)))(values).tolist() == [1.0, 1.0]
