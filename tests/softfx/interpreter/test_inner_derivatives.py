"""Derivatives that the program takes inside the call: values made of them are the original's; parameters learn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR

X = torch.tensor([[1.2, -2.7, 0.6], [0.4, 3.3, -1.1]])


def loss(v: Tensor) -> Tensor:
    return (v.round() * v).sum()


def by_grad(x: Tensor) -> Tensor:
    v = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(v), v)
    return x + slope


def by_a_leaf(x: Tensor) -> Tensor:
    v = x.detach().clone().requires_grad_()
    loss(v).backward()
    assert v.grad is not None
    return x + v.grad


def by_a_parameter(x: Tensor) -> Tensor:
    v = nn.Parameter(x.detach().clone())
    loss(v).backward()
    assert v.grad is not None
    return x + v.grad


def by_a_new_tensor(x: Tensor) -> Tensor:
    v = torch.full((2, 3), 0.7, requires_grad=True)
    loss(v * x.detach()).backward()
    assert v.grad is not None
    return x + v.grad


def by_a_parameter_in_memory_of_the_input(x: Tensor) -> Tensor:
    v = nn.Parameter(x.data)
    loss(v).backward()
    assert v.grad is not None
    return x + v.grad


def by_a_variable(x: Tensor) -> Tensor:
    v = torch.autograd.Variable(x.data, requires_grad=True)
    loss(v).backward()
    assert v.grad is not None
    return x + v.grad


def by_an_empty_tensor(x: Tensor) -> Tensor:
    v = torch.empty_like(x, requires_grad=True)
    v.data.copy_(x)
    loss(v).backward()
    assert v.grad is not None
    return x + v.grad


def by_an_optimizer(x: Tensor) -> Tensor:
    v = nn.Parameter(x.detach().clone())
    optimizer = torch.optim.SGD([v], 0.1)
    loss(v).backward()
    optimizer.step()
    return x + v


def by_steps_by_hand(x: Tensor) -> Tensor:
    w = nn.Parameter(torch.ones(3))
    for _ in range(2):
        (slope,) = torch.autograd.grad(loss(x.detach() * w), w)
        with torch.no_grad():
            w -= 0.1 * slope * (x.detach() > 0).float().mean(0)
    return x * w


def by_adam(x: Tensor) -> Tensor:
    w = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([w], 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss(x.detach() * w).backward()
        optimizer.step()
    return x * w


def by_the_engine(x: Tensor) -> Tensor:
    v = nn.Parameter(x.detach().clone())
    torch.autograd.backward(loss(v))
    assert v.grad is not None
    return x + v.grad


def adversarial(x: Tensor) -> Tensor:
    v = x.detach().clone()
    v.requires_grad_(True)
    loss(v * 2).backward()
    assert v.grad is not None
    return (x + 0.1 * v.grad.sign()).square()


PROGRAMS = [
    by_grad, by_a_leaf, by_a_parameter, by_a_new_tensor, by_a_parameter_in_memory_of_the_input, by_a_variable,
    by_an_empty_tensor, by_steps_by_hand, by_an_optimizer, by_adam, by_the_engine, adversarial,
]  # fmt: skip


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_values_made_of_a_derivative_are_the_originals(
    program: Callable[[Tensor], Tensor], policy: str, executor: str
) -> None:
    if executor == "graph":
        with pytest.raises(softfx.CaptureError, match="inside the call"):
            softfx.soften(program, policy, example_inputs=(X,), executor=executor, allow_unused=True)
        return
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor, allow_unused=True)
    assert torch.equal(soft(X), program(X))


@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_so_they_are_where_the_input_has_a_gradient(program: Callable[[Tensor], Tensor], policy: str) -> None:
    x = X.clone().requires_grad_()
    soft = softfx.soften(program, policy, example_inputs=(x,), allow_unused=True)
    assert torch.equal(soft(x), program(X))


def test_a_parameter_is_trained_softly_by_a_step_inside_the_call() -> None:
    model = nn.Linear(3, 3, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        error = model(x).round().square().sum()
        error.backward()
        optimizer.step()
        return error

    before = model.weight.detach().clone()
    soft = softfx.soften(step, "gradients", example_inputs=(X,), executor="eager", allow_unused=True)
    assert torch.equal(model.weight, before)
    hard = model(X).round().square().sum()
    assert torch.equal(soft(X), hard) and not torch.equal(model.weight, before)
