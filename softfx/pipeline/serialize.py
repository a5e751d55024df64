"""Graphs that can be copied and pickled: as a list of their nodes, with functions by name.

torch.fx pickles a GraphModule by tracing its code again, which would trace into softtorch; this keeps the nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from softfx import torch_private as private

__all__ = ["graph_module", "pack", "pack_structure", "unpack", "unpack_structure"]


class _Constants(torch.nn.Module):
    """Holds what a graph refers to by get_attr, functions included."""

    def __init__(self, constants: dict[str, Any]) -> None:
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


def graph_module(graph: fx.Graph, constants: dict[str, Any]) -> fx.GraphModule:
    """A module that runs `graph`."""
    module = fx.GraphModule(_Constants(constants), graph)
    module.meta["constants"] = constants
    return module


def pack(module: fx.GraphModule) -> dict[str, Any]:
    """The module as plain data."""
    rows = [
        (
            node.op,
            node.name,
            _packed(node.target),
            fx.node.map_aggregate(node.args, _named),
            fx.node.map_aggregate(node.kwargs, _named),
        )
        for node in module.graph.nodes
    ]
    constants = {name: _packed(value) for name, value in module.meta["constants"].items()}
    return {"rows": [tuple(_plain(part) for part in row) for row in rows], "constants": constants}


def unpack(data: dict[str, Any]) -> fx.GraphModule:
    """The module again."""
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}

    def node_of(value: Any) -> Any:
        return nodes[value.name] if isinstance(value, _Reference) else value

    for op, name, target, args, kwargs in data["rows"]:
        args, kwargs = _mapped(args, node_of), _mapped(kwargs, node_of)
        nodes[name] = graph.create_node(op, _unpacked(target), args, kwargs, name=name)
    return graph_module(graph, {name: _unpacked(value) for name, value in data["constants"].items()})


def pack_structure(structure: Any) -> Any:
    """A container's structure as the container itself, holding the numbers of its leaves."""
    return private.unflatten(list(range(structure.num_leaves)), structure)


def unpack_structure(tree: Any) -> Any:
    """The structure again."""
    return private.flatten(tree)[1]


def _named(value: Any) -> Any:
    return _Reference(value.name) if isinstance(value, fx.Node) else value


def _plain(tree: Any) -> Any:
    """fx's immutable containers as ordinary ones."""
    return _mapped(tree, lambda value: value)


def _mapped(tree: Any, function: Callable[[Any], Any]) -> Any:
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


def _packed(value: Any) -> Any:
    name = getattr(value, "__name__", "")
    return _Functional(name) if callable(value) and name and getattr(F, name, None) is value else value


def _unpacked(value: Any) -> Any:
    return getattr(F, value.name) if isinstance(value, _Functional) else value
