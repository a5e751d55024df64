"""The code of graphs for plain calls: the same numbers, without the checks of softtorch's public boundary."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx

import softfx
import softtorch
from softfx.pipeline.prepared import prepared
from softtorch.errors import OptionError

X = torch.tensor([[0.2, 0.7, -1.4], [1.2, -0.3, 0.4]])


def program(x: Tensor) -> Tensor:
    return (x > 0.1).float() * x + x.round() + x.max(-1, keepdim=True).values


def test_it_gives_what_the_graph_gives() -> None:
    soft = softfx.soften(program, example_inputs=(X,), executor="graph")
    graph = soft._softfx.graph
    tensors = (X.clone().requires_grad_(), *graph.rewritten.softness_of(graph.sites))
    (one,), (other,) = prepared(graph.rewritten.module)(*tensors), graph.rewritten.module(*tensors)
    assert torch.equal(one, other)
    (of_one,), (of_other,) = (torch.autograd.grad(result.sum(), tensors[0]) for result in (one, other))
    assert torch.equal(of_one, of_other)


def test_checks_of_arguments_are_left_out_and_the_graph_keeps_them() -> None:
    graph = fx.Graph()
    graph.output(graph.call_function(softtorch.round, (graph.placeholder("x"),), {"softness": 0.1}))
    module = fx.GraphModule({}, graph)
    with pytest.raises(OptionError):
        module(X.to(torch.complex64))
    with pytest.warns(UserWarning, match="imaginary"):  # torch's own
        prepared(module)(X.to(torch.complex64))
    assert torch.equal(prepared(module)(X), module(X))


class Kind(Tensor):
    """Of which nothing is known."""


def test_tensors_of_other_kinds_get_the_graph_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = softfx.soften(program, example_inputs=(X,), executor="graph")
    calls: list[int] = []
    monkeypatch.setattr(soft._softfx.graph, "_prepared", lambda *_: calls.append(0))
    soft(X.as_subclass(Kind))
    assert not calls
    with pytest.raises(TypeError):  # nothing came back
        soft(X)
    assert calls
