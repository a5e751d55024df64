"""Gradients that are kept finite, and operands: eagerly, in compiled graphs and under transforms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from softtorch.straight_through import with_finite_gradient, with_finite_value
from tests.helpers import identical

INF = float("inf")
X = torch.tensor([-0.0, 2.0, INF, -INF, torch.nan])
SLOPES = torch.tensor([INF, 3.0, -INF, torch.nan, 4.0])


def eager(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return function


def compiled(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    torch._dynamo.reset()
    result: Callable[[Tensor], Tensor] = torch.compile(function, backend="aot_eager", fullgraph=True)
    return result


def mapped(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    result: Callable[[Tensor], Tensor] = torch.func.vmap(function)
    return result


RUNS = pytest.mark.parametrize("run", [eager, compiled, mapped])


@RUNS
def test_of_a_gradient_only_finite_elements_go_back(run: Callable[..., Callable[[Tensor], Tensor]]) -> None:
    x = X.clone().requires_grad_()
    y = run(with_finite_gradient)(x)
    assert identical(y.detach(), X)
    assert torch.autograd.grad(y, x, SLOPES)[0].tolist() == [0.0, 3.0, 0.0, 0.0, 4.0]


@RUNS
def test_finite_values_have_the_derivative_of_what_they_replace(run: Callable[..., Callable[[Tensor], Tensor]]) -> None:
    x = X.clone().requires_grad_()
    y = run(with_finite_value)(x)
    assert identical(y.detach(), torch.tensor([-0.0, 2.0, 0.0, 0.0, 0.0]))
    assert torch.autograd.grad(y, x, torch.arange(5.0))[0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_forward_mode_and_graphs_that_are_exported_have_the_value_and_a_derivative() -> None:
    def program(x: Tensor) -> Tensor:
        return with_finite_gradient(x) * with_finite_value(x)

    x, direction = torch.tensor([1.0, 2.0]), torch.ones(2)
    assert torch.func.jvp(program, (x,), (direction,))[1].tolist() == [2.0, 4.0]

    class Model(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return program(x)

    exported = torch.export.export(Model(), (x.clone().requires_grad_(),), strict=True).module()
    leaf = x.clone().requires_grad_()
    assert torch.autograd.grad(exported(leaf).sum(), leaf)[0].tolist() == [2.0, 4.0]
