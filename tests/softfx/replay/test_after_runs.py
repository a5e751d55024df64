"""What runs that go by a recording leave behind, and how they end: memory, errors, threads, copies, later results."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary

import softfx
from softfx.pipeline import execute
from softfx.replay.records import Made, Step
from softfx.replay.tapes import Tapes
from softfx.replay.text import Program, Text
from softfx.replay.values import Unmakeable
from softfx.replay.writing import _make
from tests.helpers import outcome
from tests.softfx.replay.recorded import (
    CALLS,
    Layered,
    deciding,
    inputs,
    softened,
    tapes_of,
)


def test_a_run_keeps_nothing_alive() -> None:
    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[weakref.ref[Tensor]] = []

        def forward(self, x: Tensor) -> Tensor:
            early = (x * 3).round()
            self.seen.append(weakref.ref(early))
            late = early.argmax(-1)
            return late.sum() + x.floor().sum()

    (x,) = inputs(1)
    soft = softened(Watched(), x)
    for _ in range(CALLS):
        soft(x)
    gc.collect()
    assert all(reference() is None for reference in soft.seen)
    count = _alive()
    for _ in range(20):
        soft(x)
    assert _alive() == count


def _alive() -> int:
    gc.collect()
    return sum(type(each) is Tensor for each in gc.get_objects())


def test_what_the_program_raises_is_raised_as_it_is_and_the_next_run_is_whole() -> None:
    def program(x: Tensor, index: Tensor) -> Tensor:
        return x.round()[index] * x.sum()

    x, index = inputs(1)[0], torch.tensor([0, 2])
    soft = softened(program, x, index)
    for _ in range(CALLS):
        soft(x, index)
    with pytest.raises(IndexError, match="out of bounds"):
        soft(x, torch.tensor([0, 7]))
    assert torch.equal(soft(x, index), program(x, index)) and tapes_of(soft)[0].left == 1


def test_threads_go_by_one_recording() -> None:
    x, y = inputs()
    soft = softened(deciding, x, y)
    wanted = [outcome(soft, (x + place, y)) for place in range(8) for _ in range(2)][1::2]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda place: _gradients(soft, x + place, y), [*range(8)] * 10)]
    for number, (value, gradient) in enumerate(found):
        assert torch.equal(value, wanted[number % 8].results[0]) and gradient.isfinite().all()
    assert tapes_of(soft)[0].replayed > 60


def _gradients(soft: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x = x.requires_grad_()
    value = soft(x, y.clone().requires_grad_())
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


def test_copies_make_recordings_of_their_own() -> None:
    (x,) = inputs(1)
    soft = softened(Layered().eval(), x)
    for _ in range(CALLS):
        soft(x)
    for other in (copy.deepcopy(soft), pickle.loads(pickle.dumps(soft))):
        assert not tapes_of(other) and torch.equal(other(x), soft(x))
    assert not copy.deepcopy(Tapes())._tapes


def test_runs_with_many_elements_are_not_recorded() -> None:
    x = torch.zeros(1 << 12, 1 << 9)
    soft = softened(lambda x: (x > 0).float() * x, x)
    for _ in range(4):
        soft(x.requires_grad_())
    (tape,) = tapes_of(soft)
    assert tape.is_unfit and tape.steps is None


def test_what_a_generator_computes_later_is_softened_as_before() -> None:
    def program(x: Tensor) -> Iterator[Tensor]:
        y = x.round()
        for row in y:
            yield row.sign() * x

    x = inputs(1)[0].requires_grad_()
    soft = softened(program, x)
    for _ in range(CALLS):
        rows = [*soft(x)]
        assert all(torch.autograd.grad(row.sum(), x, retain_graph=True)[0].abs().sum() > 0 for row in rows)


def test_a_softened_part_runs_by_its_own_decisions() -> None:
    (x,) = inputs(1)
    part = softened(lambda x: x.round(), x)
    whole = softened(lambda x: part(x * 2) + x.sign(), x)
    for _ in range(CALLS):
        x = x.detach().requires_grad_()
        value = whole(x)
        assert torch.equal(value, (x * 2).round() + x.sign())
        assert torch.autograd.grad(value.sum(), x)[0].abs().sum() > 0


def named(x: Tensor, **names: float) -> Tensor:
    if has_torch_function_unary(x):
        result: Tensor = handle_torch_function(named, (x,), x, **names)
        return result
    return x * sum(names.values())


@pytest.mark.parametrize("name", ["a=print('run')), open('x'", "a b", "class"])
def test_a_name_of_an_argument_is_no_code(name: str) -> None:
    (x,) = inputs(1)
    with pytest.raises(softfx.CaptureError, match="no name in Python"):
        softened(lambda x: named(x.round(), **{name: 2.0}) * x.argmax(), x)


def test_arguments_that_cannot_be_named_are_left_to_the_interpreter() -> None:
    x = inputs(1)[0].requires_grad_()
    step = Step(named, (x,), {})
    step.made.append(Made(named, (x,), {"a b": 1.0}, x))
    with pytest.raises(Unmakeable, match="no name of Python's"):
        _make(Text(Program([x]), step, 0), step.made[0])


# -- what the interpreter makes in a recorded run ----------------------------------------------------------------------


class Written(nn.Module):
    """Layers that write into views: such calls are the interpreter's in each run, and it asks for places."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.ReLU(inplace=True), nn.Hardswish(inplace=True)])

    def forward(self, x: Tensor) -> Tensor:
        above = (x > 0.5).float()  # has a shadow, so what is written beside it is followed
        for layer in self.layers:
            x = x + 0.5
            layer(above[0])
        return x.round() + above


def test_the_place_of_a_written_call_is_known_from_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    (x,) = inputs(1)
    soft = softened(Written(), x)
    asked: list[object] = []
    paths = vars(execute)["module_paths"]
    monkeypatch.setattr(execute, "module_paths", lambda root: asked.append(root) or paths(root))
    for _ in range(2):  # interpreted, and recorded
        soft(x)
    assert asked
    asked.clear()
    soft(x)
    assert not asked
    (tape,) = tapes_of(soft)
    assert tape.steps and tape.left == 0
    assert {nn.functional.relu, nn.functional.hardswish} <= {step.func for step in tape.steps if step.by_interpreter}
