"""What a call leaves in buffers for the next one: values, and a derivative only where the original has one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx


class Usage(nn.Module):
    """A gate whose use is counted, in one of four ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.weight = nn.Parameter(torch.tensor([0.3, -1.2, 0.8]))
        self.register_buffer("counts", torch.zeros(2, 3)[0] if way == "a view" else torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        gate = (x > 0.5).float()
        if self.way == "added":
            self.counts += gate
        elif self.way == "copied":
            self.counts.copy_(self.counts * 0.9 + gate)
        else:
            self.counts = self.counts * 0.9 + gate
        return (gate * self.weight * x / (1 + self.counts)).sum()


def nodes_behind(tensor: Tensor) -> int:
    """How many calls the derivative of a tensor goes through."""
    waiting, seen = [tensor.grad_fn], set[Any]()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [behind for behind, _ in node.next_functions]
    return len(seen)


@pytest.mark.parametrize("way", ["added", "copied", "bound", "a view"])
@pytest.mark.parametrize("preset", ["gradients", "smooth"])
def test_a_model_that_counts_decisions_is_trained(preset: str, way: str) -> None:
    soft = softfx.soften(Usage(way), preset, example_inputs=(torch.rand(3),), executor="eager")
    assert "what a call leaves in the buffer counts" in str(soft.report).replace("\n    ", " ")
    lengths = []
    for _ in range(8):
        x = torch.rand(3, requires_grad=True)
        result = soft(x)
        lengths.append(nodes_behind(result))
        result.backward()
        assert x.grad is not None and bool(x.grad.any())
    # The first calls are recorded and traced, which takes fewer nodes.
    assert len(set(lengths[4:])) == 1, "the derivative goes through earlier calls"


def test_values_are_those_of_the_original() -> None:
    original = Usage("bound")
    soft = softfx.soften(Usage("bound"), example_inputs=(torch.rand(3),))
    for _ in range(3):
        x = torch.rand(3, requires_grad=True)
        assert torch.equal(soft(x), original(x))
        assert torch.equal(soft.counts, original.counts)


def test_a_derivative_that_the_original_leaves_stays() -> None:
    class Leaky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(0.7))
            self.register_buffer("voltage", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.voltage = self.voltage * 0.9 + self.weight * x
            return (self.voltage > 1.0).float()

    soft = softfx.soften(Leaky(), example_inputs=(torch.tensor(0.5),))
    inputs = [torch.tensor(0.5, requires_grad=True) for _ in range(3)]
    spikes = sum(soft(x) for x in inputs)
    assert all(bool(gradient) for gradient in torch.autograd.grad(spikes, inputs))


def test_methods_of_one_metric_hand_a_derivative_on() -> None:
    class Share(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.zeros(()))

        def update(self, x: Tensor) -> None:
            self.total = self.total + (x > 0).float().mean()

        def forward(self, x: Tensor) -> Tensor:
            self.update(x)
            return self.total

    soft = softfx.soften(Share(), example_inputs=(torch.randn(4),))
    batches = [torch.randn(4, requires_grad=True) for _ in range(2)]
    for batch in batches:
        soft.update(batch)
    assert all(bool(gradient.any()) for gradient in torch.autograd.grad(soft.total, batches))
