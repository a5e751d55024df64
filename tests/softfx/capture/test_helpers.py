"""Plain objects that a module keeps: capturing leaves their state as it was."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import softfx


class Memory:
    """An average, with a count of how often it was asked."""

    def __init__(self) -> None:
        self.average, self.count, self.seen = torch.zeros(4), 0, [torch.zeros(4)]

    def add(self, value: Tensor) -> Tensor:
        self.count += 1
        self.average = self.average * 0.5 + value
        self.seen.append(value)
        return self.average * self.count + torch.stack(self.seen).sum(0)


class Remembering(nn.Module):
    """A module that keeps its state in such an object, of its own or of a part."""

    def __init__(self, *, inside: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.3, -1.2, 0.8, 0.1]))
        self.part = nn.Identity()
        owner = self.part if inside else self
        owner.memory = Memory()

    def forward(self, x: Tensor) -> Tensor:
        memory = self.part.memory if hasattr(self.part, "memory") else self.memory
        return memory.add((x * self.weight > 0).float().sum(0)) * self.weight


def test_values_are_those_of_the_original_and_it_is_trained() -> None:
    for inside in (False, True):
        original = Remembering(inside=inside)
        soft = softfx.soften(Remembering(inside=inside), example_inputs=(torch.randn(3, 4),))
        for _ in range(3):
            x = torch.randn(3, 4)
            result = soft(x)
            result.sum().backward()
            assert torch.equal(result, original(x))


def test_a_policy_that_keeps_everything_leaves_the_object_alone() -> None:
    model = Remembering(inside=False)
    softfx.soften(model, "keep", example_inputs=(torch.randn(3, 4),))
    assert model.memory.count == 0 and len(model.memory.seen) == 1 and not bool(model.memory.average.any())


CALLS = {"count": 0.0}
SEEN: list[Tensor] = []


class Counting(nn.Module):
    """A module that keeps its state in globals."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        CALLS["count"] += 1
        SEEN.append((x * self.weight > 0).float())
        return SEEN[-1] * CALLS["count"] * self.weight + torch.stack(SEEN).sum(0)


def test_globals_that_a_part_of_a_module_writes_are_as_before() -> None:
    soft = softfx.soften(nn.Sequential(nn.Identity(), Counting()), example_inputs=(torch.randn(4),))
    assert CALLS == {"count": 0.0} and SEEN == []
    for calls in (1, 2):
        x = torch.rand(4) + 0.1
        soft(x).sum().backward()
        assert torch.equal(soft(x), torch.full((4,), 4.0 * calls))
    CALLS["count"] = 0.0
    SEEN.clear()
