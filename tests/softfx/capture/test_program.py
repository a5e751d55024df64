"""Programs as data, and the builder that writes their graphs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import fx

import softfx
from softfx.capture import frontends
from softfx.capture.program import GraphBuilder, Program
from softfx.locations import Place


def captured() -> Program:
    return frontends.capture(torch.round, (torch.ones(2),), {}, "auto", Place(__file__, 1))


def test_an_obstacle_is_added_to_the_program_and_not_to_what_was_seen() -> None:
    program = captured()
    before = program.seen
    program.add_obstacle("it is Monday")
    assert before.obstacles == () and program.seen.obstacles == ("it is Monday",)
    assert replace(before, obstacles=("it is Monday",)) == program.seen


def test_inputs_come_first_in_the_order_in_which_they_are_added() -> None:
    builder = GraphBuilder()
    x, y = torch.ones(2), torch.ones(2)
    builder.placeholder("x", x)
    builder.call(torch.neg, (x,), {}, torch.ones(2))
    builder.placeholder("y", y)
    assert [node.name for node in builder.graph.nodes] == ["x", "y", "neg"]


def test_a_tensor_is_known_by_identity_and_not_kept_alive() -> None:
    builder = GraphBuilder()
    x = torch.ones(2)
    node = builder.placeholder("x", x)
    assert builder.node_of(x) is node and builder.node_of(torch.ones(2)) is None and builder.alive() == [node]
    del x, node.meta["val"]
    assert builder.alive() == []


def test_each_result_of_a_call_is_known_and_what_was_added_says_so() -> None:
    builder = GraphBuilder()
    x, values, indices = torch.ones(2), torch.ones(1), torch.zeros(1)
    builder.placeholder("x", x)
    builder.call(torch.topk, (x, 1), {}, (values, indices), added=True)
    part = builder.node_of(indices)
    assert isinstance(part, fx.Node) and part.args[1] == 1 and part.meta["added"]


def test_a_tensor_may_stand_for_several_things_and_one_of_the_program_for_none() -> None:
    builder = GraphBuilder()
    x, weights = torch.ones(2), torch.ones(2)
    node = builder.placeholder("x", x)
    made = builder.call(torch.softmax, (x, 0), {}, weights, added=True)
    for meaning in ("soft_index", "soft_bool", "soft_index"):
        builder.note_meaning(weights, meaning)  # type: ignore[arg-type]
        builder.note_meaning(x, meaning)  # type: ignore[arg-type]
    assert made.meta["stands_for"] == ("soft_index", "soft_bool") and "stands_for" not in node.meta


def test_objects_that_are_no_inputs_are_constants_of_the_graph_once_each() -> None:
    builder = GraphBuilder()
    generator = torch.Generator()
    first, second = builder.argument(generator), builder.argument([generator, slice(0, 2), ...])
    assert isinstance(second, list) and second == [first, slice(0, 2), ...]
    assert list(builder.constants.values()) == [generator]


def test_the_report_keeps_its_name_for_what_no_gradient_reaches() -> None:
    report = softfx.check(torch.round, example_inputs=(torch.ones(2, requires_grad=True),))
    assert report.starved == ["input argument 0"] and report.to_dict()["starved"] == report.starved
