"""What a call leaves in attributes for later calls: values, and a derivative until a backward pass has freed it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx


class Usage(nn.Module):
    """A gate whose use is remembered, in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.weight = nn.Parameter(torch.tensor([0.3, -1.2, 0.8]))
        self.average = torch.zeros(3)
        self.history: list[Tensor] = []
        self.by_name: dict[str, list[Tensor]] = {"all": []}
        self.pair = (torch.zeros(3), torch.zeros(3))
        self.mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        scores = self.weight * x
        gate = (scores > 0.1).float()
        if self.way == "average":
            used = self.average = self.average * 0.9 + gate * 0.1
        elif self.way == "list":
            self.history.append(gate)
            used = torch.stack(self.history).mean(0)
        elif self.way == "nested":
            self.by_name["all"].append(gate)
            used = torch.stack(self.by_name["all"]).mean(0)
        elif self.way == "pair":
            self.pair = (self.pair[1], gate)
            used = self.pair[0] + self.pair[1]
        else:
            self.mask = gate if self.mask is None else self.mask
            used = self.mask
        return (scores * (1 + used)).sum()


WAYS = ("average", "list", "nested", "pair", "made once")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("preset", ["gradients", "smooth"])
def test_a_model_that_remembers_decisions_is_trained(preset: str, way: str) -> None:
    soft = softfx.soften(Usage(way), preset, example_inputs=(torch.rand(3),))
    assert "has a derivative up to the next backward pass" in str(soft.report).replace("\n    ", " ")
    for _ in range(4):
        soft(torch.rand(3)).backward()
    assert soft.weight.grad is not None and bool(soft.weight.grad.isfinite().all())


@pytest.mark.parametrize("way", WAYS)
def test_values_are_those_of_the_original(way: str) -> None:
    original, soft = Usage(way), softfx.soften(Usage(way), example_inputs=(torch.rand(3),))
    for _ in range(3):
        x = torch.rand(3)
        result = soft(x)
        result.backward()
        assert torch.equal(result, original(x))


class Share(nn.Module):
    """A metric that sums over batches."""

    def __init__(self) -> None:
        super().__init__()
        self.total = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        share = (x > 0).float().mean()
        self.total = self.total + share
        return share


def batches() -> list[Tensor]:
    return [torch.randn(4, requires_grad=True) for _ in range(3)]


def test_a_derivative_that_nothing_has_freed_goes_through_all_calls() -> None:
    soft, inputs = softfx.soften(Share(), example_inputs=(torch.randn(4),)), batches()
    for x in inputs:
        soft(x)
    assert all(bool(gradient.any()) for gradient in torch.autograd.grad(soft.total, inputs))


def test_a_pass_that_retains_the_graph_ends_nothing() -> None:
    soft, inputs = softfx.soften(Share(), example_inputs=(torch.randn(4),)), batches()
    for x in inputs:
        soft(x).backward(retain_graph=True)
    assert all(bool(gradient.any()) for gradient in torch.autograd.grad(soft.total, inputs))


def test_a_derivative_ends_where_a_pass_has_gone_through_the_result_alone() -> None:
    soft, inputs = softfx.soften(Share(), example_inputs=(torch.randn(4),)), batches()
    soft(inputs[0]).backward()
    soft(inputs[1])
    first, second = torch.autograd.grad(soft.total, inputs[:2], allow_unused=True)
    assert first is None and bool(second.any())


def test_a_derivative_that_the_original_leaves_stays() -> None:
    class Leaky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(0.7))
            self.voltage = torch.zeros(())

        def forward(self, x: Tensor) -> Tensor:
            self.voltage = self.voltage * 0.9 + self.weight * x
            return (self.voltage > 1.0).float() * self.voltage

    for model in (Leaky(), softfx.soften(Leaky(), example_inputs=(torch.tensor(0.5),))):
        model(torch.tensor(2.0)).backward()
        with pytest.raises(RuntimeError, match="a second time"):
            model(torch.tensor(2.0)).backward()


def counter(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """A function that counts in its closure."""
    count = torch.zeros(())

    def call(x: Tensor) -> Tensor:
        nonlocal count
        count = count + (weight * x > 0.1).float().sum()
        return (weight * x).sum() * count

    return call


def listing(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """A function that keeps a list."""
    seen: list[Any] = []

    def call(x: Tensor) -> Tensor:
        seen.append((weight * x > 0.1).float())
        return (weight * x * torch.stack(seen).mean(0)).sum()

    return call


class Loss:
    """An object with a state, of which a method is softened."""

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.worst = weight, torch.zeros(3)

    def call(self, x: Tensor) -> Tensor:
        self.worst = torch.maximum(self.worst, (self.weight * x > 0.1).float())
        return (self.weight * x * self.worst).sum()


def method(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return Loss(weight).call


def bound(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return functools.partial(Loss.call, Loss(weight))


@pytest.mark.parametrize("made", [counter, listing, method, bound])
def test_what_a_function_holds_is_as_an_attribute(made: Callable[[Tensor], Callable[[Tensor], Tensor]]) -> None:
    weight = torch.tensor([0.3, -1.2, 0.8], requires_grad=True)
    soft = softfx.soften(made(weight), example_inputs=(torch.rand(3),))
    original = made(weight)
    for _ in range(3):
        x = torch.rand(3)
        result = soft(x)
        result.backward()
        assert torch.equal(result, original(x))
