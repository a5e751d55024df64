"""A captured program under decisions, as a new graph: the only place that writes one.

The engine walks the program's calls; each call it makes becomes a node, the program's own as they were, the added
ones (softtorch.topk(...), distributions.expectation(...)) in between. Parameters, buffers and softness are inputs of
the result, fetched at each call, so that it holds no state of its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from softfx import torch_private as private
from softfx.capture.program import GraphBuilder, Program
from softfx.decisions.sites import SiteRecord, Sites
from softfx.interpreter.interpreter import Engine
from softfx.locations import Location
from softfx.pipeline import serialize as packing
from softfx.pipeline.shape_memory import ShapeMemory
from softfx.rules import RULES, SPELLING
from softfx.values.domains import map_tensors

__all__ = ["Rewritten", "rewrite"]


# These give nothing back; at a 0-dimensional index torch would ask a fake tensor for its value.
_WRITES = (operator.setitem, Tensor.__setitem__)


@dataclass
class Rewritten:
    """A softened graph: tensors of the call, then `lifted` parameters and buffers, then `softness` of sites."""

    module: fx.GraphModule
    lifted: list[str]
    softness: list[int]
    result: Any  # the structure its flat outputs unflatten to
    lifted_blocks: list[str] = field(default_factory=list)  # the program's grad mode switches that were left out

    def __getstate__(self) -> dict[str, Any]:
        packed = {"module": packing.pack(self.module), "result": packing.pack_structure(self.result)}
        return {**self.__dict__, **packed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        module, result = packing.unpack(state["module"]), packing.unpack_structure(state["result"])
        self.__dict__.update(state, module=module, result=result)


class _Writer:
    """The backend whose calls are nodes and whose values are fake tensors."""

    def __init__(self, fake: Any) -> None:
        self.builder = GraphBuilder()
        self.fake = fake
        self.node: fx.Node | None = None  # the program's node being carried out
        self._last: fx.Node | None = None  # the last that was
        self._shapes = ShapeMemory()
        self.lifted_blocks: list[str] = []
        self.softness_nodes: dict[int, tuple[Tensor, fx.Node]] = {}

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert self.node is not None
        target, arguments = self.node.target, args
        if target is getattr:  # the engine was given the property's getter
            arguments = (args[0], self.node.args[1])
        value = self.node.meta["val"]
        self._last = self.node
        if func is private.set_grad_enabled:
            func(*args)
        self.builder.call(target, arguments, kwargs, value, self.node.name, location=self.node.meta["location"])
        return value

    def again(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], like: Any = None) -> Any:
        node = self.node
        assert node is not None
        if getattr(func, "__name__", "") == "__get__":
            descriptor: Any = getattr(func, "__self__", None)
            func, args = getattr, (args[0], descriptor.__name__)
        with self.fake:
            value = map_tensors(torch.empty_like, node.meta["val"] if like is None else like)
        if like is None:
            self._last = node
        self.builder.call(func, args, kwargs, value, location=node.meta.get("location"), added=True)
        return value

    def template(self, result: Any) -> Any:
        return result

    def carried_out(self, node: fx.Node) -> bool:
        """Whether the program's node has its call in the new graph."""
        return self._last == node

    def emit(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self.fake:
            value = None if func in _WRITES else self._shapes.of(func, args, kwargs)
        location = None if self.node is None else self.node.meta.get("location")
        name = "soft_" + getattr(func, "__name__", "call").strip("_").removeprefix("soft_")
        self.builder.call(func, args, kwargs, value, name, location=location, added=True)
        return value

    def softness(self, record: SiteRecord) -> Any:
        if record.id not in self.softness_nodes:
            with self.fake:
                value = torch.empty(())
            self.softness_nodes[record.id] = (value, self.builder.placeholder(f"softness_{record.id}", value))
        return self.softness_nodes[record.id][0]


def rewrite(program: Program, sites: Sites, *, planning: bool = False) -> Rewritten:
    """`program` with every site treated as `sites` decides."""
    writer = _Writer(_fake_mode(program))
    engine = Engine(sites, writer, planning=planning)
    values: dict[fx.Node, Any] = {}
    with torch.enable_grad():
        engine.gradients.ambient = True
        for node in program.graph.nodes:
            writer.node = node
            values[node] = _step(node, values, program, engine, writer)
    outputs = [engine.result(value) for value in values[program.graph.output_node()]]
    writer.builder.output(outputs)
    _remove_dead(writer.builder.graph)
    module = packing.graph_module(writer.builder.graph, writer.builder.constants)
    softness = list(writer.softness_nodes)
    return Rewritten(module, list(program.lifted.values()), softness, program.result, writer.lifted_blocks)


def _fake_mode(program: Program) -> Any:
    for node in program.graph.nodes:
        mode = getattr(node.meta.get("val"), "fake_mode", None)
        if mode is not None:
            return mode
    return private.FakeTensorMode(allow_non_fake_inputs=True)


def _step(node: fx.Node, values: dict[fx.Node, Any], program: Program, engine: Engine, writer: _Writer) -> Any:
    """The value of one of the program's nodes in the new graph."""
    value: Any = node.meta.get("val")
    if node.op == "placeholder":
        writer.builder.placeholder(node.name, value)
        if node in program.inputs or (isinstance(value, Tensor) and value.requires_grad):
            engine.source(value)
        return value
    if node.op == "get_attr":
        held = program.constants[str(node.target)]
        if not isinstance(held, Tensor):
            return held
        new = writer.builder.constant(held)
        writer.builder.bind(value, new)
        return value

    def value_of(argument: Any) -> Any:
        return values[argument] if isinstance(argument, fx.Node) else argument

    args: Any = fx.node.map_aggregate(node.args, value_of)
    kwargs: Any = fx.node.map_aggregate(node.kwargs, value_of)
    if node.op == "output":
        return args[0]
    if node.target is operator.getitem and isinstance(args[0], tuple | list):
        return args[0][args[1]]
    return _call(node, args, dict(kwargs), engine, writer)


def _call(node: fx.Node, args: Any, kwargs: dict[str, Any], engine: Engine, writer: _Writer) -> Any:
    func: Any = node.target
    if func is getattr:  # a property such as x.T: the function protocol knows it by its getter
        func, args = getattr(Tensor, args[1]).__get__, (args[0],)
    location: Location = node.meta["location"]
    with writer.fake:
        result = engine.call(func, args, kwargs, lambda: location)
    if func is private.set_grad_enabled and not writer.carried_out(node):
        writer.lifted_blocks.append(node.name)
    return result


def _remove_dead(graph: fx.Graph) -> None:
    """Remove what nothing uses: added calls, and the program's own where they are known to write nothing."""
    for node in reversed(list(graph.nodes)):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)
        if node.op == "call_function" and not node.users and _removable(node):
            graph.erase_node(node)


def _removable(node: fx.Node) -> bool:
    if node.target is operator.getitem:
        return True
    if node.kwargs.get("out") is not None:
        return False
    target: Any = node.target
    spelled = SPELLING.find(target) if target is not getattr else None
    if node.meta.get("added"):
        writes = (spelled is not None and spelled.in_place) or node.kwargs.get("inplace")
        return not writes and node.target is not Tensor.copy_
    known = spelled is not None and not spelled.in_place and RULES[spelled.op].family != "random"
    return known and not node.kwargs.get("inplace")
