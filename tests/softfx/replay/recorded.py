"""What the tests of recorded runs share: making programs and calling them with and without recordings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import softfx
from softfx.replay.tapes import Tape
from tests.helpers import Outcome, assert_same, outcome

__all__ = [
    "CALLS", "Layered", "assert_recorded_as_interpreted", "deciding", "inputs", "softened", "tapes_of", "unrecorded",
]  # fmt: skip

CALLS = 5


def tapes_of(soft: Any) -> list[Tape]:
    return list(soft._softfx.eager.tapes._tapes.values())


def inputs(count: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, 4, generator=generator) for _ in range(count))


def softened(program: Any, *given: Any, policy: Any = "gradients") -> Any:
    args = [value.detach().clone().requires_grad_(value.is_floating_point()) for value in given]
    return softfx.soften(program, policy, example_inputs=tuple(args), executor="eager", allow_unused=True)


def unrecorded(soft: Any) -> Any:
    """The same, of whose runs none will be recorded. This is the one place of the tests that knows how."""
    soft._softfx.eager.tapes._recordings = 1 << 30
    return soft


def calls(soft: Any, given: list[tuple[Any, ...]]) -> list[Outcome]:
    return [outcome(soft, args, catch=True) for args in given]


def assert_recorded_as_interpreted(make: Callable[[], Any], given: list[tuple[Any, ...]]) -> Any:
    """The same program both ways, bit for bit; the one whose calls were recorded."""
    soft, other = make(), unrecorded(make())
    for ours, theirs in zip(calls(soft, given), calls(other, given), strict=True):
        assert_same(ours, theirs)
    assert soft.report.to_dict() == other.report.to_dict()
    assert not any(tape.steps for tape in tapes_of(other))
    return soft


def deciding(x: Tensor, y: Tensor) -> Tensor:
    best = F.softmax(x, -1).argmax(-1)
    mask = F.one_hot(best, 4).float() * (y > 0.1)
    return mask.sum(-1) * y.max(-1).values + x.round().sum(-1) + y[torch.arange(3), best]


class Layered(nn.Module):
    """Modules of one kind, told apart by their names, with state that is written and a mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.3)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        for layer in self.layers:
            x = layer(x) * (x > 0)
        return self.drop(self.norm(x)).round() * x.argmax(-1, keepdim=True)
