"""What the specification of a rewrite asks of the nodes of a graph (softfx.pipeline.verify)."""

from __future__ import annotations

import operator
from typing import Any

from torch import Tensor, fx

from softfx.capture import effects

__all__ = [
    "constants",
    "form",
    "has_effect",
    "is_call",
    "lacks_value",
    "nodes_in",
    "operands",
    "origin",
    "outputs",
    "writes",
    "written",
]


def is_call(node: fx.Node) -> bool:
    """Return True for a call, and not for the item of another's result."""
    if node.op != "call_function" or node.target is not operator.getitem:
        return node.op == "call_function"
    source = node.args[0]
    return not (isinstance(source, fx.Node) and isinstance(source.meta.get("val"), tuple | list))


def origin(node: fx.Node) -> str:
    """The name of the program's node that a node of the rewrite is, or was added for."""
    return str(node.meta.get("program_node") or node.name)


def has_effect(node: fx.Node) -> bool:
    """Return True for a call that is made for what it does, besides its result."""
    return effects.has_effect(effects.function_called(node), node.kwargs)


def writes(node: fx.Node) -> bool:
    """Return True for a call that writes one of its operands."""
    return effects.writes(effects.function_called(node), node.kwargs)


def written(node: fx.Node) -> object:
    """The operand that a writing call writes: its `out`, or its first one."""
    return node.kwargs.get("out") or next(iter(node.args), None)


def lacks_value(node: fx.Node) -> bool:
    """Return True for a node without the example value that it has to have."""
    return node.op not in ("output", "get_attr") and "val" not in node.meta


def operands(old: fx.Node, new: fx.Node) -> list[tuple[fx.Node, fx.Node]]:
    """The operands of a call in the program, each with that in the rewrite."""
    return list(zip(nodes_in(old), nodes_in(new), strict=False))


def nodes_in(node: fx.Node) -> list[fx.Node]:
    """The nodes among a call's arguments in order; one that stands there twice is there twice."""
    found: list[fx.Node] = []

    def note(operand: fx.Node) -> fx.Node:
        found.append(operand)
        return operand

    fx.node.map_arg((node.args, node.kwargs), note)
    return found


def constants(node: fx.Node) -> str:
    """The arguments of a call as text, without saying which nodes are among them."""
    return repr(fx.node.map_arg((node.args, node.kwargs), lambda _: "..."))


def form(node: fx.Node) -> str:
    """The shape and dtype of a node's tensor, for messages too; "no tensor" of anything else."""
    value = node.meta.get("val")
    return f"a tensor {tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else "no tensor"


def outputs(graph: fx.Graph) -> list[Any]:
    """What a graph returns, in order."""
    returned: Any = graph.output_node().args[0]
    return list(returned)
