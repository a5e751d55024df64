"""A captured call: a graph of torch-level calls with source locations, and what stood in the capture's way.

Every frontend produces a `Program`, so that planning and rewriting need not know where it came from. `GraphBuilder`
writes such graphs, those of programs and those of their rewrites.

Node metadata: "val" (fake tensors shaped like what was seen, or plain Python values), "location"
(softfx.locations.Location) and "blockage" (why no derivative comes back from it, where no rule knows the call). In a
rewrite, each call has "program_node", the name of the program's node that it is or was added for, and those that
softening added have "added" (True) and "stands_for" (see `GraphBuilder.note_meaning`).
"""

from __future__ import annotations

import keyword
import numbers
import operator
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, fx
from torch.fx.node import Argument, Target

from softfx import torch_private as private
from softfx.errors import CaptureError
from softfx.locations import Place
from softfx.report.record import Break
from softfx.values.domains import Kind

__all__ = ["GraphBuilder", "Meaning", "Program", "Seen", "identifier", "number", "shares"]

# What a tensor of a rewrite may stand for: a value that the program is given, real or hard, or a kind of shadow.
Meaning = Kind | Literal["hard"]

_PLAIN = (int, float, bool, complex, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)
_PLAIN_OR_NODE = (*_PLAIN, fx.Node, type(Ellipsis), torch.Size)
_NUMBERS: tuple[tuple[Any, Callable[[Any], object]], ...] = (
    (numbers.Integral, int),
    (numbers.Real, float),
    (numbers.Complex, complex),
)


def number(value: object) -> object:
    """A number of another library, or of a subclass, as Python's own, which generated code can write; else `value`.

    >>> import numpy
    >>> number(numpy.float64(0.5))
    0.5
    """
    if type(value) in (bool, int, float, complex):
        return value
    return next((own(value) for kind, own in _NUMBERS if isinstance(value, kind)), value)


def identifier(text: str) -> str:
    """A Python identifier that reads like `text`: torch.fx writes code with the names that a graph has.

    >>> identifier("layers.0 (x)"), identifier("lambda"), identifier("0"), identifier("self")  # its code has a self
    ('layers_0_x_', '_lambda', '_0', '_self')
    """
    name = re.sub(r"[^0-9a-zA-Z_]+", "_", text)
    usable = name.isidentifier() and not keyword.iskeyword(name) and name != "self"
    return name if usable else f"_{name}"


def shares(tensor: Tensor, other: Tensor) -> bool:
    """Return True if what is written into one tensor is seen in the other.

    >>> x = torch.zeros(3)
    >>> shares(x, x[1:]), shares(x, x.clone())
    (True, False)
    """
    if tensor is other or not (private.has_storage(tensor) and private.has_storage(other)):
        return tensor is other
    if private.storage_key(tensor) == private.storage_key(other):
        return True
    if private.has_no_values(tensor) or private.has_no_values(other):  # their memory has no address
        return False
    try:
        return bool(tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr())
    except RuntimeError:  # nor has that of a wrapper
        return False


@dataclass(frozen=True)
class Seen:
    """How a call was captured, for the report.

    frontend, why: the frontend that saw it, and the reason to trust what it saw.
    breaks: the places where a value is read into Python, or a shape depends on data.
    obstacles: why the graph does not hold the whole call for every value of its inputs; empty if it does.
    graphs: how many graphs it took.
    unreached: parameters and inputs that get no gradient at all in the original (the report calls them starved).
    upstream: for each of these the ids of the sites that cut it.
    gained: those of `unreached` that a gradient reaches as decided; None where nothing acts or it was not tried.
    not_tried: why it was not.
    """

    frontend: str
    why: str
    breaks: tuple[Break, ...] = ()
    obstacles: tuple[str, ...] = ()
    graphs: int = 1
    unreached: tuple[str, ...] = ()
    upstream: Mapping[str, Sequence[int]] = field(default_factory=dict)
    gained: tuple[str, ...] | None = None
    not_tried: str = ""


@dataclass
class Program:
    """A captured call.

    seen: how it was captured.
    graph: placeholders are the tensors among the call's inputs, in order, then the module's `attributes`; constants
        are fetched by get_attr.
    inputs: the placeholders of the call's inputs.
    attributes: dotted names of the module's own parameters and buffers, by placeholder name.
    constants: other objects the graph refers to, by get_attr name.
    result: the structure that the graph's flat outputs unflatten to.
    touched: tensors that the call writes and generators that it draws from, but for what it makes itself.
    written: containers among the module's attributes that it writes.
    input_names: the names of `inputs` in a report, as `softfx.capture.unreached.sources_of` gives them.
    finite: whether none of its tensors was seen to hold an infinity or a NaN.
    changed_buffers: the buffers that it changes and that have no derivative in the original.
    changed_attributes: the other attributes of which this is so, and what else a function holds.
    """

    seen: Seen
    graph: fx.Graph
    inputs: list[fx.Node]
    attributes: dict[str, str]
    constants: dict[str, object]
    result: private.TreeSpec
    touched: list[Tensor | torch.Generator] = field(default_factory=list)
    written: list[object] = field(default_factory=list)
    input_names: list[str] = field(default_factory=list)
    finite: bool = True
    changed_buffers: frozenset[str] = frozenset()
    changed_attributes: frozenset[str] = frozenset()

    @staticmethod
    def unseen(reason: str, place: Place) -> Program:
        """A program of which nothing could be seen, and why."""
        seen = Seen("eager", "", (Break(reason, place.file, place.line),), (reason,))
        return Program(seen, fx.Graph(), [], {}, {}, private.flatten(None)[1])

    def add_obstacle(self, reason: str) -> None:
        """Note one more reason why the graph does not hold the call; it is then run as the original Python."""
        self.seen = replace(self.seen, obstacles=(*self.seen.obstacles, reason))

    def add_notes(self, notes: Sequence[str]) -> None:
        """Say more of how the call was seen."""
        self.seen = replace(self.seen, why="; ".join((self.seen.why, *notes)))


class GraphBuilder:
    """A graph under construction over values that are tensors: remembers which node each tensor is."""

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.constants: dict[str, object] = {}
        self._nodes: dict[int, tuple[Callable[[], object], fx.Node]] = {}
        self._last_placeholder: fx.Node | None = None

    def node_of(self, value: object) -> fx.Node | None:
        """The node that computes this very object, or None."""
        entry = self._nodes.get(id(value))
        return entry[1] if entry is not None and entry[0]() is value else None

    def bind(self, value: object, node: fx.Node) -> None:
        """Remember that `node` computes `value`; tensors are not kept alive by it, other objects are."""
        self._nodes[id(value)] = (weakref.ref(value) if isinstance(value, Tensor) else lambda: value, node)

    def alive(self) -> list[fx.Node]:
        """The nodes whose tensors somebody still holds."""
        return [node for reference, node in self._nodes.values() if isinstance(reference(), Tensor)]

    def sharing(self, tensor: Tensor) -> list[fx.Node]:
        """The nodes whose tensors lie in the storage of `tensor`."""
        known = [(reference(), node) for reference, node in self._nodes.values()]
        return [node for other, node in known if isinstance(other, Tensor) and shares(tensor, other)]

    def note_meaning(self, tensor: Tensor, meaning: Meaning) -> None:
        """Note what the tensor of an added node stands for; it may stand for several things.

        The weights of a soft index are the value of its one-hot, too. A tensor without a note is a step on the way.
        """
        if (node := self.node_of(tensor)) is not None and node.meta.get("added"):
            node.meta["stands_for"] = tuple(dict.fromkeys((*node.meta.get("stands_for", ()), meaning)))

    def placeholder(self, name: str, value: object) -> fx.Node:
        """Add an input, after the inputs there are and before everything else."""
        name = identifier(name)
        if self._last_placeholder is None:
            with self.graph.inserting_before(next(iter(self.graph.nodes))) if len(self.graph.nodes) else nullcontext():
                node = self.graph.placeholder(name)
        else:
            with self.graph.inserting_after(self._last_placeholder):
                node = self.graph.placeholder(name)
        node.target = node.name  # torch.fx writes the target as it is, and two parameters may have come to one name
        self._last_placeholder = node
        node.meta["val"] = value
        self.bind(value, node)
        return node

    def constant(self, value: object) -> fx.Node:
        """The node of an object that is no input: a closed-over tensor, a generator, a function."""
        node = self.node_of(value)
        if node is None:
            base = str(getattr(value, "__name__", ""))
            usable = base not in self.constants and base == identifier(base)
            name = base if usable else f"constant_{len(self.constants)}"
            self.constants[name] = value
            # Calls have the names of functions: with one here, those of a rewrite would be other than the program's.
            node = self.graph.create_node("get_attr", name, name=f"constant_{base}" if usable else name)
            node.meta["val"] = value
            self.bind(value, node)
        return node

    def argument(self, value: object) -> Argument:
        """`value` with tensors and other objects replaced by their nodes."""
        value = number(value)
        if isinstance(value, slice):
            return slice(*(self.argument(part) for part in (value.start, value.stop, value.step)))
        if isinstance(value, str):  # of a subclass, such as a member of a StrEnum, the text alone
            return str.__str__(value)
        if isinstance(value, _PLAIN_OR_NODE):
            return cast(Argument, value)  # an Ellipsis, which torch.fx takes and its type leaves out
        if isinstance(value, tuple | list):
            items = [self.argument(item) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        if isinstance(value, dict):
            return {key: self.argument(item) for key, item in value.items()}
        node = self.node_of(value)
        return self.constant(value) if node is None else node

    def call(
        self,
        func: Target,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        result: object,
        name: str | None = None,
        **meta: object,
    ) -> fx.Node:
        """Append a call whose value is `result`; each tensor in it becomes known by its node."""
        if wrong := next((key for key in kwargs if not key.isidentifier() or keyword.iskeyword(key)), None):
            raise CaptureError(
                f"an argument of {getattr(func, '__name__', func)} is named {wrong!r}, which is no name in Python: "
                "a graph is written as Python code. Give it another name, or hand the values over in a dict."
            )
        arguments = tuple(self.argument(arg) for arg in args)
        keywords = {key: self.argument(value) for key, value in kwargs.items()}
        hint = None if name is None else identifier(name)
        node = self.graph.create_node("call_function", func, arguments, keywords, hint)
        node.meta.update(meta, val=result)
        self._register(node, result)
        return node

    def _register(self, node: fx.Node, result: object) -> None:
        if isinstance(result, Tensor):
            if self.node_of(result) is None:
                self.bind(result, node)
        elif isinstance(result, tuple | list):
            for position, item in enumerate(result):
                if isinstance(item, Tensor | tuple | list) and self.node_of(item) is None:
                    name = f"{node.name}_item{position}"  # the same in a program and in its rewrite
                    part = self.graph.create_node("call_function", operator.getitem, (node, position), name=name)
                    part.meta["val"] = item
                    if node.meta.get("added"):
                        part.meta["added"] = True
                    self._register(part, item)

    def last_call(self) -> fx.Node:
        """The call that was appended last."""
        node: fx.Node = next(node for node in reversed(self.graph.nodes) if node.op == "call_function")
        return node

    def output(self, leaves: Sequence[object]) -> None:
        """Return `leaves`, the call's result flattened."""
        returned = tuple(self.argument(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves)
        self.graph.output(cast(Argument, returned))  # a leaf that is no tensor may be anything
