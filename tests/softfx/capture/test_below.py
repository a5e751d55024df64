"""Tensors that are made out of sight of torch's function protocol are no constants: no graph holds such a call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.errors import CaptureError

X = torch.tensor([[0.2, 0.7, -1.4], [1.2, -0.4, 0.8]])


@torch.jit.script
def positive(x: Tensor) -> Tensor:
    return x > 0


class Tagged(Tensor):
    pass


def by_torchscript(x: Tensor) -> Tensor:
    return x.sign() * positive(x)


def without_protocol(x: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        tripled = x.detach() * 3
    return x.sign() + tripled


def of_a_subclass(x: Tensor) -> Tensor:
    return x.sign() * (x.as_subclass(Tagged) > 0)


@pytest.mark.parametrize("program", [by_torchscript, without_protocol, of_a_subclass])
def test_no_graph_holds_what_is_made_out_of_sight(program: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(CaptureError, match="a tensor made out of sight of torch's function protocol"):
        softfx.soften(program, example_inputs=(X,), executor="graph")
    soft = softfx.soften(program, example_inputs=(X,))
    torch.compiler.reset()
    compiled = torch.compile(soft, backend="eager")
    for x in (X, -2 * X):
        assert torch.equal(soft(x), program(x)) and torch.equal(compiled(x), program(x))


def test_a_table_that_was_there_before_is_a_constant() -> None:
    table = torch.tensor([1.0, 2.0, 4.0])
    soft = softfx.soften(lambda x: x.sign() * table, example_inputs=(X,), executor="graph")
    assert soft.report.executor == "graph" and torch.equal(soft(-X), (-X).sign() * table)
