"""What a rewritten graph does without: copies of what is never written, and derivatives that arrive nowhere.

A rewrite goes call by call and cannot know what comes later. It copies an operand that a backward pass may keep, where
the program writes in place; and it makes every result of a soft call straight-through. In the whole graph it is seen
which memory is written, and to which results a derivative leads. Where each consumer of a value has a shadow of its
own, the derivative goes from shadow to shadow, and the program's own calls are there for their values alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, fx

import softtorch
from softfx import torch_private
from softfx.capture import effects
from softfx.ops.spelling import INDEX
from softfx.pipeline import nodes

__all__ = ["simplify"]

_SOFT_FORMS = ("softtorch", "softfx.runtime")


def simplify(graph: fx.Graph) -> bool:
    """Replace copies and straight-through results that are of no use by what they were made of; True if there were."""
    writing = [node for node in graph.nodes if node.op == "call_function" and nodes.writes(node)]
    written = {key for node in writing for key in _memory(_written(node))}
    alive = _differentiated(graph, writing)
    found = False
    for node in reversed(list(graph.nodes)):
        if _is_idle_join(node, alive) or _is_copy_for_soft_forms(node):
            source = node.args[0]
            assert isinstance(source, fx.Node)
            if _type(source) == _type(node) and written.isdisjoint(_memory((source, node))):
                node.replace_all_uses_with(source)
                graph.erase_node(node)
                found = True
    return found


def _differentiated(graph: fx.Graph, writing: list[fx.Node]) -> set[fx.Node]:
    """The nodes whose derivative may reach a result, or a call that is made for something else than its result."""
    alive: set[fx.Node] = set()
    writes = set(writing)
    while True:
        before, places = len(alive), _memory(alive)
        for node in reversed(list(graph.nodes)):
            if node in writes:
                counts = node in alive or not places.isdisjoint(_memory(_written(node)))
            else:
                counts = node in alive or not node.users
            if counts and (operands := _passed_on(node)):
                alive.update(operands)
                places |= _memory(operands)
        if len(alive) == before:
            return alive


def _passed_on(node: fx.Node) -> list[fx.Node]:
    """The operands that get a derivative of a node which has one."""
    if node.op != "call_function":
        return node.all_input_nodes
    value = node.meta.get("val")
    is_discrete = isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex())
    if is_discrete or INDEX.of(effects.function_called(node)).operation.stops_gradient:
        return []
    return node.all_input_nodes[1:] if _is_join(node) else node.all_input_nodes


def _is_join(node: fx.Node) -> bool:
    """Return True for the call that gives a hard value the derivative of a soft one."""
    return node.target is softtorch.straight_through and len(node.all_input_nodes) == 2


def _is_idle_join(node: fx.Node, alive: set[fx.Node]) -> bool:
    return _is_join(node) and node not in alive


def _is_copy_for_soft_forms(node: fx.Node) -> bool:
    """Return True for a copy that softening made and that soft forms alone read."""
    return (
        node.target is torch.clone
        and bool(node.meta.get("added"))
        and bool(node.users)
        and all(getattr(user.target, "__module__", "").startswith(_SOFT_FORMS) for user in node.users)
    )


def _written(node: fx.Node) -> list[fx.Node]:
    """The nodes that a call writes."""
    written = nodes.written(node)
    return [item for item in (written if isinstance(written, tuple | list) else [written]) if isinstance(item, fx.Node)]


def _memory(among: Iterable[fx.Node]) -> set[int | None]:
    """The memory that nodes lie in."""
    values = [node.meta.get("val") for node in among]
    return {torch_private.storage_key(value) for value in values if isinstance(value, Tensor)}


def _type(node: fx.Node) -> object:
    value = node.meta.get("val")
    return (value.dtype, value.shape) if isinstance(value, Tensor) else None
