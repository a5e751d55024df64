"""Softening a function leaves no trace in what it reaches: its object, its closure, its defaults, globals it names."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.capture.reach import reached

X = torch.tensor([0.2, 1.7, -0.6])
TOTALS = {"calls": 0}


class Part:
    def __init__(self) -> None:
        self.turns = 0


class Simulator:
    def __init__(self) -> None:
        self.time, self.log, self.parts, self.place = 0, [], [Part()], torch.zeros(3)

    def step(self, x: Tensor) -> Tensor:
        self.time += 1
        self.log.append(self.time)
        self.parts[0].turns += 1
        self.place = self.place + x.round()
        return self.place * self.time

    def __call__(self, x: Tensor) -> Tensor:
        return self.step(x)

    @property
    def state(self) -> list[Any]:
        return [self.time, self.log, self.parts[0].turns, self.place.tolist()]


def counter() -> tuple[Callable[[Tensor], Tensor], Callable[[], object]]:
    count = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return x.round() * count

    return counted, lambda: count


def of_simulator(made: Callable[[Simulator], Any]) -> tuple[Any, Callable[[], object]]:
    simulator = Simulator()
    return made(simulator), lambda: [list(part) if isinstance(part, list) else part for part in simulator.state]


def by_default() -> tuple[Callable[[Tensor], Tensor], Callable[[], object]]:
    seen: list[int] = []

    def noted(x: Tensor, seen: list[int] = seen) -> Tensor:
        seen.append(1)
        return x.round() * len(seen)

    return noted, lambda: list(seen)


def by_global() -> tuple[Callable[[Tensor], Tensor], Callable[[], object]]:
    def counted(x: Tensor) -> Tensor:
        TOTALS["calls"] += 1
        return x.round()

    return counted, lambda: dict(TOTALS)


def by_a_module_in_the_closure() -> tuple[Callable[[Tensor], Tensor], Callable[[], object]]:
    norm = nn.BatchNorm1d(3)
    return lambda x: norm(x.expand(2, 3) * torch.tensor([[1.0], [2.0]])).round(), lambda: norm.running_mean.tolist()  # type: ignore[union-attr]


FUNCTIONS = {
    "bound method": lambda: of_simulator(lambda simulator: simulator.step),
    "object": lambda: of_simulator(lambda simulator: simulator),
    "partial": lambda: of_simulator(lambda simulator: partial(simulator.step)),
    "closure": lambda: of_simulator(lambda simulator: lambda x: simulator.step(x)),
    "variable": counter,
    "default": by_default,
    "global": by_global,
    "module": by_a_module_in_the_closure,
}


@pytest.mark.parametrize("policy", ["gradients", "lifted"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_softening_a_function_changes_nothing_that_it_reaches(name: str, policy: str) -> None:
    function, state = FUNCTIONS[name]()
    before = state()
    soft = softfx.soften(function, policy, example_inputs=(X,))
    assert state() == before
    other, other_state = FUNCTIONS[name]()
    soft(X), other(X)
    assert state() == other_state()  # one of the call, as the original leaves it


def test_a_function_that_keeps_state_is_not_replayed() -> None:
    with pytest.raises(softfx.CaptureError, match=r"Simulator\.time"):
        softfx.soften(Simulator().step, example_inputs=(X,), executor="graph")


def test_what_the_standard_library_keeps_is_left_alone() -> None:
    held = types.SimpleNamespace(thread=threading.Thread(target=print), part=Part())
    found = reached(lambda: held)
    assert held in found.objects and held.part in found.objects
    assert not any(isinstance(item, threading.Thread) for item in found.objects)


def test_an_object_that_holds_itself_is_found_once() -> None:
    simulator = Simulator()
    simulator.parts.append(simulator)  # type: ignore[arg-type]
    objects = reached(simulator.step, simulator).objects
    assert sum(item is simulator for item in objects) == 1


def test_what_an_object_keeps_is_named_once() -> None:
    simulator = Simulator()
    found = reached(simulator.step)
    assert not any(item is simulator.log or item is simulator.parts for item in found.containers)
    assert simulator.parts[0] in found.objects


def test_a_variable_of_a_closure_that_is_deleted_is_put_back() -> None:
    scale = 2.0

    def once(x: Tensor) -> Tensor:
        nonlocal scale
        result = x.round() * scale
        del scale
        return result

    soft = softfx.soften(once, example_inputs=(X,), executor="eager")
    assert scale == 2.0 and torch.equal(soft(X), X.round() * 2.0)
