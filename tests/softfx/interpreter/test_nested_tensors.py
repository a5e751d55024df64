"""Sparse and nested tensors run through a softened program as they are; sites on them are blocked, and told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nested import as_nested_tensor, to_padded_tensor

import softfx

X = torch.tensor([[0.5, 0.3, -0.7], [-1.0, 2.0, 0.1]])
PRESETS = ("gradients", "straight-through", "smooth")
pytestmark = pytest.mark.filterwarnings("ignore:Sparse", "ignore:The PyTorch API of nested", "ignore:.*is_fx_tracing")


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_chosen_before_is_nested_keeps_its_gradient(preset: str, layout: torch.layout) -> None:
    def program(x: Tensor) -> Tensor:
        return to_padded_tensor(as_nested_tensor([x[0] * (x[0] > 0), x[1, :2].round()], layout=layout), 0.0)

    x = X.clone().requires_grad_()
    soft = softfx.soften(program, preset, example_inputs=(x,))
    assert preset == "smooth" or torch.equal(soft(x), program(x))
    gradient = torch.autograd.grad(soft(x).sum(), x)[0]
    assert bool(gradient[0, :2].all()) and bool(gradient[1, :2].all())


def jagged(x: Tensor) -> Tensor:
    return to_padded_tensor(as_nested_tensor([x[:1], x], layout=torch.jagged).round(), 0.0) + x.sum()


def sparse(x: Tensor) -> Tensor:
    return x.to_sparse().sign().to_dense() * x


def compressed(x: Tensor) -> Tensor:
    return x.to_sparse_csr().relu().to_dense() * x


@pytest.mark.parametrize(("program", "kind"), [(jagged, "nested"), (sparse, "sparse"), (compressed, "sparse")])
@pytest.mark.parametrize("preset", ["straight-through", "smooth"])
def test_sites_on_such_tensors_are_blocked(preset: str, program: Callable[[Tensor], Tensor], kind: str) -> None:
    x = X.clone().requires_grad_()
    soft = softfx.soften(program, preset, example_inputs=(x,))
    assert torch.equal(soft(x), program(x))
    assert [site.reason for site in soft.report.sites] == [f"it is of a {kind} tensor"]
    gradients = [torch.autograd.grad(run(x).sum(), x)[0] for run in (program, soft)]
    assert torch.equal(*gradients)


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_given_and_returned(layout: torch.layout) -> None:
    def program(nested: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return nested * 2, (x > 0).float() * x

    nested, x = as_nested_tensor([X[0], X[1, :2]], layout=layout), X.clone().requires_grad_()
    soft = softfx.soften(program, example_inputs=(nested, x))
    for _ in range(3):
        result, chosen = soft(nested, x)
        assert all(map(torch.equal, result.unbind(), (nested * 2).unbind()))
        assert bool(torch.autograd.grad(chosen.sum(), x)[0].any())
