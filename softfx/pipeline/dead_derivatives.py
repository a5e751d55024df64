"""Straight-through results whose derivative reaches no result of the program: what is left of them is a hard value.

A rewrite makes every result of a soft call straight-through, for it cannot know what will be done with it. Where each
consumer has a shadow of its own, the derivative goes from shadow to shadow and the program's own calls are only there
for their values. The pass is for graphs in which nothing is written in place: there a value and its copy are alike.
"""

from __future__ import annotations

from torch import Tensor, fx

import softtorch
from softfx.capture import effects

__all__ = ["remove_dead_derivatives"]


def remove_dead_derivatives(graph: fx.Graph) -> bool:
    """Replace each join by its hard value where nothing takes its derivative; True if there was one."""
    if any(node.op == "call_function" and _writes(node) for node in graph.nodes):
        return False
    alive, found = _differentiated(graph), False
    for node in reversed(list(graph.nodes)):
        if _is_join(node) and node not in alive:
            hard = node.args[0]
            assert isinstance(hard, fx.Node)
            if _type(hard) == _type(node):
                node.replace_all_uses_with(hard)
                graph.erase_node(node)
                found = True
    return found


def _differentiated(graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose derivative may reach a result, or a call that is made for what it does."""
    alive: set[fx.Node] = set()
    for node in reversed(list(graph.nodes)):
        if node in alive or not node.users:
            alive.update(node.all_input_nodes[1:] if _is_join(node) else node.all_input_nodes)
    return alive


def _is_join(node: fx.Node) -> bool:
    """Return True for the call that gives a hard value the derivative of a soft one."""
    return node.target is softtorch.straight_through and len(node.all_input_nodes) == 2


def _writes(node: fx.Node) -> bool:
    return effects.writes(effects.function_called(node), node.kwargs)


def _type(node: fx.Node) -> object:
    value = node.meta.get("val")
    return (value.dtype, value.shape) if isinstance(value, Tensor) else None
