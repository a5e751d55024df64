"""Decisions about what decisions make: how far soft values run under scope = "decision", which "auto" takes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import softfx
import softtorch

WEIGHTS = torch.tensor([0.3, -1.0, 0.8, 1.4, -0.2, 0.5])


def numbers() -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()


def two_layers(x: Tensor) -> Tensor:
    return torch.sign(torch.sign(x) @ WEIGHTS).sum()


def share(x: Tensor) -> Tensor:
    return ((x > 0.0).float().mean(-1) > 0.4).float().sum()


def mixed(x: Tensor) -> Tensor:
    return (torch.where(x > 0.0, x, 0.1).sum(-1) > 2.0).float().sum()


def loop(x: Tensor) -> Tensor:
    state = torch.zeros(4)
    for column in x.unbind(-1):
        state = torch.sign(state - 0.5 + column)
    return state.sum()


class Signs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x)


class Layers(nn.Module):
    """Signs of signs, each in a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Signs(), Signs()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) @ WEIGHTS).sum()  # type: ignore[no-any-return]  # of modules


def scopes(target: Callable[[Tensor], Tensor], policy: object = None) -> list[str | None]:
    return [site.scope for site in softfx.check(target, policy, example_inputs=(numbers(),)).sites]


@pytest.mark.parametrize("program", [two_layers, share])
def test_soft_values_run_on_to_the_decision_about_them(program: Callable[[Tensor], Tensor]) -> None:
    assert scopes(program) == ["decision", None]


@pytest.mark.parametrize("program", [mixed, loop, Layers()])
def test_they_do_not_beside_other_derivatives_in_loops_or_out_of_a_module(program: Callable[[Tensor], Tensor]) -> None:
    assert set(scopes(program)) == {None}


@pytest.mark.parametrize("scope", ["region", "operation", "linear", "model"])
def test_a_scope_that_the_policy_gives_stays(scope: str) -> None:
    assert set(scopes(two_layers, {"default": {"scope": scope}})) == {None if scope == "region" else scope}


@pytest.mark.parametrize("executor", ["graph", "eager"])
def test_values_stay_and_the_derivative_is_taken_at_soft_margins(executor: softfx.api.Executor) -> None:
    x = numbers()
    soft = softfx.soften(two_layers, example_inputs=(x,), executor=executor)
    widths = [float(site.softness or 0.0) for site in soft.report.sites]
    inner = softtorch.sign(x, softness=widths[0], mode="tailed")
    by_hand = softtorch.sign(inner @ WEIGHTS, softness=widths[1], mode="tailed").sum()
    value = soft(x)
    assert torch.equal(value, two_layers(x))
    expected, found = torch.autograd.grad(by_hand, x)[0], torch.autograd.grad(value, x)[0]
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)  # the same formulas, in another order


def test_what_stands_for_integers_keeps_what_it_is_in_scope_model() -> None:
    def first_above(x: Tensor) -> Tensor:
        return (x > 0.2).float().argmax(-1).float() @ WEIGHTS[:4]

    x = numbers()
    gradients = []
    for scope in ("region", "model"):
        soft = softfx.soften(first_above, {"default": {"scope": scope}}, example_inputs=(x,))
        gradients.append(torch.autograd.grad(soft(x), x)[0])
    assert torch.equal(*gradients)
