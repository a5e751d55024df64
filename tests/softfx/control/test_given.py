"""What Python is given beside tensors decides out of sight: what runs have shown holds for the same alone."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.softfx.control.programs import policy
from tests.softfx.control.test_light import made


class Counting(nn.Module):
    """A flag, given with the call or on the module, has it write a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("seen", torch.zeros(()))
        self.counts, self.calls = False, 0

    def forward(self, x: Tensor, counts: bool = False) -> Tensor:
        self.calls += 1
        y = self.weight * x
        if counts or self.counts:
            self.seen.add_(1)
        return y * 2 if y > 0.3 else y * 3


@pytest.mark.parametrize("samples", [0, 1])
@pytest.mark.parametrize("is_argument", [True, False])
def test_what_a_flag_has_a_program_write_is_written_once(samples: int, is_argument: bool) -> None:
    x = torch.tensor(0.5)
    soft = softfx.soften(Counting(), policy(samples=samples), example_inputs=(x,))
    for _ in range(5):
        soft(x)
    if is_argument:
        soft(x, True)
    else:
        soft.counts = True
        soft(x)
    assert soft.seen == 1


def test_a_number_that_counts_calls_does_not_keep_runs_from_being_light(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor(0.5)
    soft = softfx.soften(Counting(), policy(samples=0, softness=1.0), example_inputs=(x,))
    for _ in range(8):
        soft(x)
    counts = made(monkeypatch)
    soft(x)
    assert counts["_watched"] == 0 and counts["_lightly"] > 1


def test_a_step_leaves_nothing_that_only_the_collector_frees() -> None:
    """What runs hold are the tensors of a whole graph."""
    x, held = torch.tensor(0.5, requires_grad=True), list[weakref.ref[Tensor]]()

    def program(x: Tensor) -> Tensor:
        y = x * 1.5
        held.append(weakref.ref(y))
        return y * 2 if y > 0.3 else y * 3

    soft = softfx.soften(program, policy(samples=0, softness=1.0), example_inputs=(x,))
    for _ in range(4):
        soft(x)
    gc.collect()
    gc.disable()
    try:
        held.clear()
        soft(x).backward()
        assert held and all(tensor() is None for tensor in held)
    finally:
        gc.enable()
