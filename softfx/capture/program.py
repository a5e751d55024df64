"""What capturing yields: a graph of torch-level calls with source locations, and what stood in its way.

Every frontend produces the same thing, so that planning and rewriting need not know where it came from. Node
metadata: "val" (fake tensors shaped like what was seen, or plain Python values), "location" (source.Location).
"""

from __future__ import annotations

import numbers
import operator
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from softfx import torch_private as private
from softfx.report.record import Break

__all__ = ["GraphBuilder", "Program", "Seen", "number", "shares"]

_PLAIN = (int, float, bool, complex, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)
_PLAIN_OR_NODE = (*_PLAIN, fx.Node, type(Ellipsis), slice, torch.Size)


def number(value: Any) -> Any:
    """A number of another library, or of a subclass, as Python's own: the one that generated code can write.

    >>> import numpy
    >>> number(numpy.float64(0.5))
    0.5
    """
    if type(value) in (bool, int, float, complex):
        return value
    kinds: tuple[tuple[Any, Any], ...] = ((numbers.Integral, int), (numbers.Real, float), (numbers.Complex, complex))
    for kind, own in kinds:
        if isinstance(value, kind):
            return own(value)
    return value


def shares(tensor: Tensor, other: Tensor) -> bool:
    """Whether what is written into one tensor is seen in the other.

    >>> x = torch.zeros(3)
    >>> shares(x, x[1:]), shares(x, x.clone())
    (True, False)
    """
    if tensor is other or not (private.has_storage(tensor) and private.has_storage(other)):
        return tensor is other
    return bool(tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr())


@dataclass(frozen=True)
class Seen:
    """How a call was captured, for the report.

    obstacles: why the graph does not hold the whole call for every value of its inputs; empty if it does.
    """

    frontend: str
    why: str
    breaks: list[Break] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    graphs: int = 1
    starved: list[str] = field(default_factory=list)  # parameters and inputs without any gradient in the original


@dataclass
class Program:
    """A captured call.

    graph: placeholders are the tensors among the call's inputs, in order, then get_attr-like `lifted` tensors.
    lifted: dotted names of the module's own parameters and buffers, by placeholder name.
    constants: other objects the graph refers to, by get_attr name.
    result: the tree the graph's flat outputs unflatten to.
    touched: tensors that the call writes and generators that it draws from, but for what it makes itself.
    """

    seen: Seen
    graph: fx.Graph
    inputs: list[fx.Node]
    lifted: dict[str, str]
    constants: dict[str, Any]
    result: Any
    touched: list[Any] = field(default_factory=list)


class GraphBuilder:
    """A graph under construction over values that are tensors: remembers which node each tensor is."""

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.constants: dict[str, Any] = {}
        self._nodes: dict[int, tuple[Callable[[], Any], fx.Node]] = {}
        self._last_placeholder: fx.Node | None = None

    def node_of(self, value: Any) -> fx.Node | None:
        entry = self._nodes.get(id(value))
        return entry[1] if entry is not None and entry[0]() is value else None

    def bind(self, value: Any, node: fx.Node) -> None:
        """Say that `value` is what `node` computes; tensors are not kept alive by it, other objects are."""
        self._nodes[id(value)] = (weakref.ref(value) if isinstance(value, Tensor) else lambda: value, node)

    def alive(self) -> list[fx.Node]:
        """The nodes whose tensors somebody still holds."""
        return [node for reference, node in self._nodes.values() if isinstance(reference(), Tensor)]

    def sharing(self, tensor: Tensor) -> list[fx.Node]:
        """The nodes whose tensors lie in the storage of `tensor`."""
        known = [(reference(), node) for reference, node in self._nodes.values()]
        return [node for other, node in known if isinstance(other, Tensor) and shares(tensor, other)]

    def placeholder(self, name: str, value: Any) -> fx.Node:
        """An input, after the inputs there are and before everything else."""
        if self._last_placeholder is None:
            with self.graph.inserting_before(next(iter(self.graph.nodes))) if len(self.graph.nodes) else nullcontext():
                node = self.graph.placeholder(name)
        else:
            with self.graph.inserting_after(self._last_placeholder):
                node = self.graph.placeholder(name)
        self._last_placeholder = node
        node.meta["val"] = value
        self.bind(value, node)
        return node

    def constant(self, value: Any) -> fx.Node:
        """A node for an object that is no input: a closed-over tensor, a generator, a function."""
        node = self.node_of(value)
        if node is None:
            base = getattr(value, "__name__", None) or f"constant_{len(self.constants)}"
            name = base if base not in self.constants and base.isidentifier() else f"constant_{len(self.constants)}"
            self.constants[name] = value
            node = self.graph.create_node("get_attr", name)
            node.meta["val"] = value
            self.bind(value, node)
        return node

    def argument(self, value: Any) -> Any:
        """`value` with tensors and other objects replaced by their nodes."""
        value = number(value)
        if isinstance(value, _PLAIN_OR_NODE):
            if isinstance(value, slice):
                return slice(*(self.argument(part) for part in (value.start, value.stop, value.step)))
            return value
        if isinstance(value, tuple | list):
            items = [self.argument(item) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        if isinstance(value, dict):
            return {key: self.argument(item) for key, item in value.items()}
        node = self.node_of(value)
        return self.constant(value) if node is None else node

    def call(
        self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any, name: str | None = None, **meta: Any
    ) -> fx.Node:
        """Append a call whose value is `result`; each tensor in it becomes known by its node."""
        arguments = tuple(self.argument(arg) for arg in args)
        node = self.graph.create_node("call_function", func, arguments, self.argument(kwargs), name)
        node.meta.update(meta, val=result)
        self._register(node, result)
        return node

    def _register(self, node: fx.Node, result: Any) -> None:
        if isinstance(result, Tensor):
            if self.node_of(result) is None:
                self.bind(result, node)
        elif isinstance(result, tuple | list):
            for position, item in enumerate(result):
                if isinstance(item, Tensor | tuple | list) and self.node_of(item) is None:
                    part = self.graph.create_node("call_function", operator.getitem, (node, position))
                    part.meta["val"] = item
                    self._register(part, item)

    def output(self, leaves: Sequence[Any]) -> None:
        """Return `leaves`, the call's result flattened."""
        self.graph.output(tuple(self.argument(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves))
