"""Graphs that can be copied and pickled: as a list of their nodes, with functions by name.

torch.fx pickles a GraphModule by tracing its code again, which would trace into softtorch; this keeps the nodes,
without their metadata, which is of use only while a graph is made.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import torch
import torch.nn.functional as F
from torch import fx

from softfx import torch_private as private

__all__ = ["PackedGraph", "graph_module", "pack", "pack_structure", "unpack", "unpack_structure"]


class PackedGraph(TypedDict):
    """A graph as plain data.

    rows: op, name, target, positional and keyword arguments of each node, in order.
    constants: the objects that the graph refers to by get_attr.
    """

    rows: list[tuple[Any, ...]]
    constants: dict[str, object]


class _Constants(torch.nn.Module):
    """Holds the objects that a graph refers to by get_attr, functions included."""

    def __init__(self, constants: Mapping[str, object]) -> None:
        super().__init__()
        for name, value in constants.items():
            if callable(value) and not isinstance(value, torch.nn.Module):
                self.__dict__[name] = value
            else:
                setattr(self, name, value)


class _Reference:
    """A node, by name."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Functional:
    """A function of torch.nn.functional, by name: those that dispatch on a bool have no importable one."""

    def __init__(self, name: str) -> None:
        self.name = name


class _LibraryOperator:
    """An operator of torch.ops, or one of its overloads, by its names: pickle cannot find the user's own."""

    def __init__(self, operator: private.OpOverload | private.OpOverloadPacket) -> None:
        self.path = str(operator)


def graph_module(graph: fx.Graph, constants: dict[str, object]) -> fx.GraphModule:
    """A module that runs `graph`, whose get_attr nodes name `constants`."""
    module = fx.GraphModule(_Constants(constants), graph)
    module.meta["constants"] = constants
    return module


def pack(module: fx.GraphModule) -> PackedGraph:
    """The module as plain data; it is one that `graph_module` made."""
    rows = [
        (node.op, node.name, _packed(node.target), _without_nodes(node.args), _without_nodes(node.kwargs))
        for node in module.graph.nodes
    ]
    constants = {name: _packed(value) for name, value in module.meta["constants"].items()}
    return {"rows": rows, "constants": constants}


def unpack(data: PackedGraph) -> fx.GraphModule:
    """The module of which `pack` made `data`."""
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}

    def node_of(value: object) -> object:
        return nodes[value.name] if isinstance(value, _Reference) else value

    for op, name, target, args, kwargs in data["rows"]:
        args, kwargs = _mapped(args, node_of), _mapped(kwargs, node_of)
        nodes[name] = graph.create_node(op, _unpacked(target), args, kwargs, name=name)
    return graph_module(graph, {name: _unpacked(value) for name, value in data["constants"].items()})


def pack_structure(structure: private.TreeSpec) -> Any:
    """A container's structure as the container itself, holding the numbers of its leaves."""
    return private.unflatten(list(range(structure.num_leaves)), structure)


def unpack_structure(tree: Any) -> private.TreeSpec:
    """The structure of which `pack_structure` made `tree`."""
    return private.flatten(tree)[1]


def _without_nodes(tree: object) -> Any:
    """Arguments with references for nodes, in ordinary containers for those of fx, which cannot be changed."""
    return _mapped(tree, lambda value: _Reference(value.name) if isinstance(value, fx.Node) else value)


def _mapped(tree: object, function: Callable[[object], object]) -> Any:
    """`tree` with `function` applied to each leaf."""
    if isinstance(tree, torch.Size):
        return tree
    if isinstance(tree, tuple):
        return tuple(_mapped(item, function) for item in tree)
    if isinstance(tree, list):
        return [_mapped(item, function) for item in tree]
    if isinstance(tree, dict):
        return {key: _mapped(item, function) for key, item in tree.items()}
    if isinstance(tree, slice):
        return slice(*(_mapped(part, function) for part in (tree.start, tree.stop, tree.step)))
    return function(tree)


def _packed(value: object) -> object:
    if isinstance(value, private.OpOverload | private.OpOverloadPacket):
        return _LibraryOperator(value)
    name = getattr(value, "__name__", "")
    return _Functional(name) if callable(value) and name and getattr(F, name, None) is value else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, _LibraryOperator):
        return operator.attrgetter(value.path)(torch.ops)
    return getattr(F, value.name) if isinstance(value, _Functional) else value
