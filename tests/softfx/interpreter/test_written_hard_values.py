"""Writes through views under a policy that changes values: Python's branches still go by the original's values."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
Write = Callable[[Tensor], object]


def in_turn(y: Tensor) -> None:
    row, column = y[1], y.t()[0]
    row.add_(2)
    y.mul_(0.5)
    column.copy_(row[:3].round())
    y[2].fill_(1.5)


def without_gradients(y: Tensor) -> None:
    with torch.no_grad():
        y.detach()[0].add_(1)


def as_out(y: Tensor) -> None:
    with torch.no_grad():
        torch.add(y.detach(), 1, out=y.detach())
        torch.sub(y.detach().t(), 0.3, out=y.detach().t())


WRITES: dict[str, Write] = {
    "none": lambda y: None,
    "itself": lambda y: y.add_(1),
    "a flat view": lambda y: y.view(-1)[1:].add_(1),
    "a row by constants": lambda y: y[0].copy_(torch.ones(4)),
    "a rounded row": lambda y: y[1].round_(),
    "a column": lambda y: y.t()[0].fill_(3.0),
    "a view of a view": lambda y: y[1:].view(-1)[::2].mul_(-0.3),
    "several, that overlap": in_turn,
    "under no_grad": without_gradients,
    "an item by a number": lambda y: y.__setitem__((..., slice(1, None)), 2.0),
    "an item by itself": lambda y: y.__setitem__((..., slice(1, None)), y[..., 1:] * 2),
    "a part in place": lambda y: operator.setitem(y, 1, operator.iadd(y[1], 1.5)),
    "a copy of its own": lambda y: y.copy_(y * 0.7),
    "as the out of a sum": as_out,
    "an activation in place": lambda y: torch.nn.functional.threshold(y, -9.0, 0.0, inplace=True),
}
READS: dict[str, Callable[[Tensor], Tensor]] = {
    "all": lambda y: y.sum(),
    "a part": lambda y: y[1:, 1].sum(),
    "what is made of it": lambda y: (y * 0.5 + 1).floor().sum(),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@pytest.mark.parametrize("executor", ["eager", "auto"])
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("write", WRITES)
def test_python_reads_the_originals_values(write: str, read: str, executor: str) -> None:
    seen: list[float] = []

    def program(x: Tensor) -> Tensor:
        y = x.ceil() * 1
        WRITES[write](y)
        seen.append(float(READS[read](y)))
        return y

    soft = softfx.soften(program, "smooth", example_inputs=(X.clone().requires_grad_(),), executor=executor)
    seen.clear()
    soft(X.clone().requires_grad_())
    program(X)
    assert seen[-2] == pytest.approx(seen[-1], abs=1e-6)  # sums of some ten small numbers, in another order


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_views_that_were_taken_before_are_brought_up_to_date() -> None:
    seen: list[float] = []

    def program(x: Tensor) -> Tensor:
        y = x.ceil() * 1
        row, rest = y[0], y[1:]
        rest.add_(1)
        row.sub_(1)
        y.mul_(2)
        seen.extend(float(part.sum()) for part in (row, rest, y, y[:2]))
        return y

    soft = softfx.soften(program, "smooth", example_inputs=(X,), executor="eager")
    seen.clear()
    soft(X)
    program(X)
    assert seen[:4] == pytest.approx(seen[4:], abs=1e-6)


def test_a_loop_that_ends_in_the_original_ends() -> None:
    def program(x: Tensor) -> Tensor:
        y = x.ceil() * 1
        y.view(-1)[1:].add_(0)
        for _ in range(50):
            if not y.abs().sum() > 3:
                return y
            y = (y * 0.5).floor() * 0.9
        raise AssertionError("it does not end")

    x = torch.tensor([[2.0, 0.7, 0.0, -0.4], [0.3, 0.4, 1.6, 0.2]])
    softfx.soften(program, "smooth", example_inputs=(x,), executor="eager")(x)


@EXECUTOR
def test_writes_in_place_keep_what_the_original_would_hold(executor: str) -> None:
    """A soft minimum is less than the least number, so that more of them are above it."""

    def program(x: Tensor) -> Tensor:
        y = x * 1
        y.sub_(y.amin()).div_(y.amax() + 0.1)
        return y.flatten()[: int((y > 0).sum()) + 1]

    x = torch.tensor([[0.3, -1.2, 2.0], [1.1, 0.4, -0.2]])
    try:
        soft = softfx.soften(program, "smooth", example_inputs=(x,), executor=executor, allow_unused=True)
    except softfx.CaptureError:
        assert executor == "graph"  # the size is read
        return
    assert soft(x).shape == program(x).shape
