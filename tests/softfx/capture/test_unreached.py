"""Sources that get no gradient in the original, read off the autograd graph."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from softfx.capture.unreached import unreached_sources


def leaf() -> Tensor:
    return torch.ones(3, requires_grad=True)


@pytest.mark.parametrize("zero", [torch.round, torch.sign, torch.floor, torch.ceil, torch.trunc])
def test_a_path_through_a_derivative_of_zero_reaches_nothing(zero: object) -> None:
    x, y = leaf(), leaf()
    assert callable(zero)
    assert unreached_sources([zero(x) * y], {"x": x, "y": y}) == ["x"]
    assert unreached_sources([zero(x) * y, x.sum()], {"x": x, "y": y}) == []


def test_results_that_are_sources_reach_themselves_and_constants_are_no_sources() -> None:
    x, constant = leaf(), torch.ones(3)
    assert unreached_sources([x, 3, None], {"x": x, "constant": constant}) == []
    assert unreached_sources([], {"x": x}) == ["x"]


def test_a_source_in_the_middle_of_a_graph_is_known_by_its_node() -> None:
    middle, other = leaf() * 2, leaf() * 2
    assert unreached_sources([middle.exp()], {"middle": middle, "other": other}) == ["other"]


def test_a_long_program_is_walked_without_recursion_and_without_mistaking_nodes() -> None:
    x, y = leaf(), leaf()
    total = x
    for _ in range(5000):
        total = total * 1.0 + y.round()
    assert unreached_sources([total], {"x": x, "y": y}) == ["y"]


def _layers() -> tuple[torch.nn.Linear, torch.nn.Linear]:
    return torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)


@pytest.mark.parametrize("held", ["module", "method", "partial", "closure"])
def test_what_a_reentrant_checkpoint_holds_is_behind_it(held: str) -> None:
    x, (layer, other) = leaf(), _layers()
    functions: dict[str, Any] = {
        "module": layer,
        "method": layer.forward,
        "partial": functools.partial(layer.__call__),
        "closure": lambda x: layer(x).relu(),
    }
    result = checkpoint(functions[held], x, use_reentrant=True)
    sources = {"x": x, "weight": layer.weight, "other": other.weight}
    assert unreached_sources([result], sources) == ["other"]
