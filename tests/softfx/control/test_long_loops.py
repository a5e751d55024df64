"""Loops of many decisions: what a step takes grows with the turns, not with the decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import softfx
from softfx.pipeline.control_runs import ControlRuns

TURNS = 4


class Counted(TorchDispatchMode):
    """Counts the operations of a block."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(run: Callable[[], object]) -> int:
    with Counted() as counted:
        run()
    return counted.count


def loop(steps: int) -> Callable[[Tensor], Tensor]:
    def program(target: Tensor) -> Tensor:
        room, cost = torch.tensor(15.0), torch.zeros(())
        for _ in range(steps):
            room = room + 1.2 if room < target else room - 0.9
            cost = cost + (room - 18.0) ** 2
        return cost / steps

    return program


@pytest.mark.parametrize("samples", [0, 2])
def test_a_step_takes_as_many_passes_however_many_decisions_there_are(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0
    for name in ("first", "again"):
        original = getattr(ControlRuns, name)

        def counted(*args: Any, _original: Any = original, **kwargs: Any) -> Any:
            nonlocal runs
            runs += 1
            return _original(*args, **kwargs)

        monkeypatch.setattr(ControlRuns, name, counted)
    x = torch.tensor(17.0, requires_grad=True)
    ratios = []
    for steps in (50, 100, 200, 400):
        program = loop(steps)
        rule = {"op": "@control", "action": "straight_through", "samples": samples, "turns": TURNS, "seed": 0}
        soft = softfx.soften(program, {"rule": [rule]}, example_inputs=(x,))
        for _ in range(4):  # until its runs are light ones
            soft(x)
        runs = 0
        taken = operations(lambda soft=soft: soft(x))
        assert runs <= 1 + TURNS if samples == 0 else runs <= 1 + samples * (1 + TURNS)
        with torch.no_grad():
            ratios.append(taken / operations(lambda program=program: program(x)) / runs)
    assert all(ratio < 1.7 for ratio in ratios), ratios  # a run with gradients has the numbers that are compared, too
    assert ratios[-1] < 1.1 * ratios[0], ratios
