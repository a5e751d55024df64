"""Planted bad rewrites that verify must catch."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx

from softfx.capture import frontends as choose
from softfx.capture.program import Program
from softfx.decisions.policy import Policy
from softfx.locations import Place
from softfx.pipeline.plan import plan
from softfx.pipeline.rewrite import Rewritten, rewrite
from softfx.pipeline.verify import SpecError, check_spec, difference


def program(x: Tensor) -> tuple[Tensor, int]:
    with torch.no_grad():
        noise = torch.bernoulli(x.sigmoid())
    y = x.clone()
    y[x > 0] = 1.0
    return y.round() + noise, 3


def rewritten() -> tuple[Program, Rewritten]:
    captured = choose.capture(program, (torch.randn(4),), {}, "eager", Place(__file__, 1))
    sites = plan(captured, Policy.load("gradients"), lambda sites: None)
    return captured, rewrite(captured, sites)


def test_an_honest_rewrite_passes() -> None:
    captured, result = rewritten()
    check_spec(captured, result, exact=True)


def _node(graph: fx.Graph, matches: Callable[[fx.Node], bool]) -> fx.Node:
    return next(node for node in graph.nodes if matches(node))


def _lose_a_draw(graph: fx.Graph) -> None:
    draw = _node(graph, lambda node: "bernoulli" in node.name)
    draw.replace_all_uses_with(draw.args[0])
    graph.erase_node(draw)


def _lose_a_mode(graph: fx.Graph) -> None:
    graph.erase_node(_node(graph, lambda node: "set_grad" in node.name))


def _change_a_shape(graph: fx.Graph) -> None:
    output = graph.output_node()
    with graph.inserting_before(output):
        wrong = graph.call_function(operator.getitem, (output.args[0][0], 0))
    wrong.meta["val"] = output.args[0][0].meta["val"][0]
    output.args = ((wrong, 3),)


def _change_a_constant(graph: fx.Graph) -> None:
    output = graph.output_node()
    output.args = ((output.args[0][0], 4),)


def _drop_a_result(graph: fx.Graph) -> None:
    output = graph.output_node()
    output.args = ((output.args[0][0],),)


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (_lose_a_draw, "lost bernoulli"),
        (_lose_a_mode, "lost"),
        (_change_a_shape, "shape"),
        (_change_a_constant, "was 3 and is 4"),
        (_drop_a_result, "returns 2 values, the rewrite 1"),
    ],
)
def test_a_planted_mistake_is_caught(plant: Callable[[fx.Graph], None], says: str) -> None:
    captured, result = rewritten()
    plant(result.module.graph)
    with pytest.raises(SpecError, match=says):
        check_spec(captured, result, exact=True)


def test_a_graph_with_other_values_is_told_from_one_with_the_originals() -> None:
    def function(x: Tensor) -> Tensor:
        return x * 2

    def traced(wrong: Any) -> fx.GraphModule:
        graph = fx.Graph()
        x = graph.placeholder("x")
        graph.output((graph.call_function(wrong, (x, 2)),))
        return fx.GraphModule({}, graph)

    x = torch.tensor([1.0, -0.0, float("nan"), float("inf")])
    assert difference(function, traced(torch.mul), [], (x,), {}) == ""
    assert "other values" in difference(function, traced(torch.add), [], (x,), {})
