"""Graphs as plain data: what is packed comes back, through a pickle and as a copy of its own."""

from __future__ import annotations

import operator
import pickle
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from softfx import torch_private as private
from softfx.pipeline.serialize import graph_module, pack, pack_structure, unpack, unpack_structure


class Pair(NamedTuple):
    first: object
    rest: tuple[object, ...]


def made() -> fx.GraphModule:
    """Functions of torch, of operator and of F, nested arguments, and a constant."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    weight = graph.get_attr("weight")
    both = graph.call_function(torch.cat, ([x, weight],), {"dim": 0})
    part = graph.call_function(operator.getitem, (both, (slice(0, 3), ...)))
    pooled = graph.call_function(F.max_pool1d, (graph.call_function(torch.reshape, (part, (1, 1, 3))), 3))
    graph.output((pooled, None, 3))
    return graph_module(graph, {"weight": torch.tensor([5.0, 7.0])})


def test_a_graph_comes_back_from_a_pickle_as_it_was() -> None:
    module = made()
    x = torch.tensor([1.0, 2.0])
    other = unpack(pickle.loads(pickle.dumps(pack(module))))
    assert [node.format_node() for node in other.graph.nodes] == [node.format_node() for node in module.graph.nodes]
    (value, *constants), (expected, *_) = other(x), module(x)
    assert torch.equal(value, expected) and constants == [None, 3] and value.flatten().tolist() == [5.0]


def test_a_copy_has_constants_of_its_own_where_it_went_through_a_pickle() -> None:
    module = made()
    other = unpack(pickle.loads(pickle.dumps(pack(module))))
    weight: Tensor = other.meta["constants"]["weight"]
    weight.zero_()
    assert module.meta["constants"]["weight"].tolist() == [5.0, 7.0]


@pytest.mark.parametrize("tree", [3, [1, (2, {"a": 3})], Pair(1, (2, 3)), {"b": [], "a": None}])
def test_the_structure_of_a_container_comes_back_from_a_pickle(tree: object) -> None:
    structure = private.flatten(tree)[1]
    packed = pickle.loads(pickle.dumps(pack_structure(structure)))
    assert unpack_structure(packed) == structure
