"""What code may read: that of the lines that run, and no more."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx

X = torch.tensor([0.2, 0.7, 1.4, -0.3])
LEVEL, OTHER, SCALES = 1.0, 1.0, [1.0]


def other(x: Tensor) -> Tensor:
    return x * OTHER


def program(x: Tensor, flag: bool = False) -> Tensor:
    if flag:
        return other(x)
    return x.round() * LEVEL


def replays(soft: Any) -> bool:
    """Whether a call takes the graph."""
    graph = soft._softfx.graph
    return bool(graph.holds(None, (X,), {}))


@pytest.mark.parametrize(("name", "holds"), [("LEVEL", False), ("OTHER", True), ("SCALES", True)])
def test_what_no_line_names_that_ran_may_change(monkeypatch: pytest.MonkeyPatch, name: str, holds: bool) -> None:
    soft = softfx.soften(program, example_inputs=(X,), executor="graph")
    assert replays(soft)
    monkeypatch.setitem(globals(), name, 2.0)
    assert replays(soft) is holds
    assert torch.equal(soft(X), program(X))


def test_a_function_that_is_replaced_is_another_state(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = softfx.soften(lambda x: other(x).round(), example_inputs=(X,), executor="graph")
    assert replays(soft)
    monkeypatch.setitem(globals(), "other", lambda x: x * 3)
    assert not replays(soft)
    assert torch.equal(soft(X), (X * 3).round())


def test_what_an_iterator_gives_next_is_not_known() -> None:
    numbers = itertools.repeat(2.0)
    soft = softfx.soften(lambda x: x.round() * next(numbers), example_inputs=(X,), executor="graph")
    assert not replays(soft)


def unused(x: Tensor) -> Tensor:
    return x


def by_name(x: Tensor) -> Tensor:
    return x.round() * unused.level  # type: ignore[attr-defined]  # an attribute of a function that is not called


def by_any_name(x: Tensor) -> Tensor:
    return x.round() * getattr(unused, "le" + "vel")


@pytest.mark.parametrize(("read", "name", "holds"), [
    (by_name, "level", False), (by_name, "other", True), (by_any_name, "level", False), (by_any_name, "other", False),
])  # fmt: skip
def test_of_a_function_that_is_not_called_the_attributes_are_read_that_code_names(
    monkeypatch: pytest.MonkeyPatch, read: Any, name: str, holds: bool
) -> None:
    monkeypatch.setattr(unused, "level", 1.0, raising=False)
    monkeypatch.setattr(unused, "other", 1.0, raising=False)
    soft = softfx.soften(read, example_inputs=(X,), executor="graph")
    assert replays(soft)
    monkeypatch.setattr(unused, name, 2.0)
    assert replays(soft) is holds
    assert torch.equal(soft(X), read(X))


def test_the_tensors_of_a_module_are_the_present_ones() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Flatten(0))
    soft = softfx.soften(layer, "straight-through", example_inputs=(X,), executor="graph")
    layer[0].weight = torch.nn.Parameter(torch.ones(4, 4))
    assert soft._softfx.graph.holds(soft, (X,), {})
    assert torch.equal(soft(X), layer(X))
