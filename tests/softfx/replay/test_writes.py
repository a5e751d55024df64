"""Calls that write in place go by a recording where it is known what else lies in the memory that they write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from softfx.replay.records import Made, Noted, Step
from softfx.replay.text import Program, Text
from softfx.replay.values import Unmakeable
from softfx.replay.writing import _make
from tests.softfx.replay.recorded import assert_recorded_as_interpreted, inputs, softened, tapes_of, unrecorded


def counted(x: Tensor, y: Tensor) -> Tensor:
    counts = torch.zeros(4)
    counts.scatter_add_(0, x.argmax(-1), (y > 0).float().sum(-1))
    return counts / y.abs().sum().add_(1.0)


def ranked(x: Tensor, y: Tensor) -> Tensor:
    ranks = torch.empty_like(x)
    for row, order in zip(ranks, x.argsort(-1), strict=True):
        row[order] = torch.arange(4.0)
    flat = torch.empty(12)
    flat[x.flatten().argsort()] = torch.arange(12.0)
    return ranks * y + flat.view(3, 4)


def masked(x: Tensor, y: Tensor) -> Tensor:
    z = x * 2.0
    z[y > 0] = 0.0
    F.relu(z, inplace=True)
    z += y.round()
    return z.mul_(x.sign())


def updated(x: Tensor, y: Tensor) -> Tensor:
    z = x + 0.0
    row = z[1]  # what is written through the one is seen through the other
    row.add_(1.0)
    z.add_(y.floor())
    z[x.sum(-1).argmax()] += 2.0
    return row * z


def asking(x: Tensor, y: Tensor) -> Tensor:
    chosen = torch.zeros(3, 4)
    chosen[y > 0] = 1.0  # has a derivative since it is softened
    before = chosen.requires_grad
    chosen *= x
    return chosen * (2.0 if before else 1.0) + (y.round() if chosen.requires_grad else 0.0)


PROGRAMS = [counted, ranked, masked, updated, asking]


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_recorded_writes_are_interpreted_ones(program: Callable[..., Any], policy: str) -> None:
    x, y = inputs()
    given = [(x, y), (x, y), (x, y), (y * 2, x), (x - 1, y + 1)]
    assert_recorded_as_interpreted(lambda: softened(program, x, y, policy=policy), given)


def test_written_tensors_have_the_history_of_the_original() -> None:
    x, y = (tensor.requires_grad_() for tensor in inputs())
    soft = softened(asking, x, y)
    for _ in range(4):
        assert torch.equal(soft(x, y), asking(x, y))
    (tape,) = tapes_of(soft)
    assert tape.steps and tape.replayed == 2 and tape.left == 0
    assert not any(step.by_interpreter for step in tape.steps)  # the questions among them


@pytest.mark.parametrize("program", [counted, masked], ids=lambda program: program.__name__)
def test_writes_to_what_the_run_has_made_are_recorded(program: Callable[..., Any]) -> None:
    x, y = inputs()
    soft = softened(program, x, y)
    for _ in range(3):
        soft(x.requires_grad_(), y)
    (tape,) = tapes_of(soft)
    assert tape.steps and tape.replayed == 1 and tape.left == 0
    assert not any(step.by_interpreter for step in tape.steps)


class Counting(nn.Module):
    """A module whose state is written, and kept from call to call."""

    seen: Tensor
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        with torch.no_grad():
            self.mean.mul_(0.9).add_(x.round().mean(0), alpha=0.1)
        return (x - self.mean).round() / self.seen


def test_state_is_written_once_a_call() -> None:
    (x,) = inputs(1)
    soft, other = softened(Counting(), x), unrecorded(softened(Counting(), x))
    for _ in range(5):
        assert torch.equal(soft(x), other(x))
        assert torch.equal(soft.mean, other.mean) and soft.seen == other.seen
    (tape,) = tapes_of(soft)
    assert tape.replayed == 3 and tape.left == 0


def adding(x: Tensor, y: Tensor) -> Tensor:
    x.add_(1.0)
    return x * (y > 0.5) + y.round()


def test_memory_that_others_share_by_now_is_the_interpreters() -> None:
    soft, other = softened(adding, *inputs()), unrecorded(softened(adding, *inputs()))
    for is_shared in (False, False, False, True):
        found = []
        for each in (soft, other):
            if is_shared:  # what the call writes through one is read through the other
                memory = torch.linspace(-1.0, 1.0, 16)
                x, y = memory[:12].view(3, 4), memory[4:].view(3, 4)
            else:
                x, y = inputs()
            found.append(each(x, y))
        assert torch.equal(*found)
    (tape,) = tapes_of(soft)
    assert tape.replayed == 2 and tape.left == 1  # at the last call


def test_nothing_is_asked_after_a_write() -> None:
    (x,) = inputs(1)
    step = Step(Tensor.add_, (x, 1.0), {})
    step.noted.append(Noted("writes", "made", x))
    step.made += [
        Made(Tensor.add_, step.args, step.kwargs, x, is_programs=True, writes=True),
        Made(torch.neg, (x,), {}),
    ]
    text = Text(Program([x]), step, 0)
    assert _make(text, step.made[0]) == (x, "v1")
    with pytest.raises(Unmakeable, match="after a write"):
        text.unless("True")
    with pytest.raises(Unmakeable, match="after one that writes"):
        _make(text, step.made[1])
