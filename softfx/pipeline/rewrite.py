"""A captured program under decisions, as a new graph: the only place that writes one.

The interpreter walks the program's calls; each call that it makes becomes a node, the program's own as they were, the
added ones (softtorch.topk(...), distributions.expectation(...)) in between. Parameters, buffers and softness are inputs
of the result, fetched at each call, so that it holds no state of its own. Node metadata beside that of a captured
program: "added" (softening made the call), "stands_for" (what its value stands for, see GraphBuilder.note_meaning).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from softfx import ops, torch_private
from softfx.capture.program import GraphBuilder, Program
from softfx.decisions.evidence import Evidence
from softfx.decisions.site import Decision, Softness
from softfx.decisions.sites import Sites
from softfx.interpreter import shared_storage
from softfx.interpreter.backends import has_whole_elements
from softfx.interpreter.derivatives import Blockage
from softfx.interpreter.interpreter import Interpreter
from softfx.interpreter.state import RunState
from softfx.interpreter.view_reads import note_results
from softfx.locations import Location
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.operation import Effect
from softfx.ops.spelling import INDEX, Spelled, attribute_of
from softfx.ops.trees import map_tensors, tensors_in
from softfx.pipeline import nodes, serialize
from softfx.pipeline.shape_memory import ShapeMemory
from softfx.pipeline.simplify import simplify
from softfx.rules import rule_of
from softfx.rules.refusals import is_discrete
from softfx.values import ValueFacts
from softtorch.straight_through import finite

__all__ = ["Rewritten", "rewrite"]


@dataclass
class Rewritten:
    """A softened graph, which takes the tensors of the call, then its attributes, then the softness of sites.

    attributes: dotted names of the module's parameters and buffers.
    softness: the sites whose softness it takes.
    turns: of sites each of whose turns in a loop has a softness of its own, how many turns there are.
    idle: the sites whose soft values lead to no result: they are not computed.
    result: the structure that its flat outputs unflatten to.
    lifted_blocks: the program's grad mode switches, and detachments in place, that were left out.
    """

    module: fx.GraphModule
    attributes: list[str]
    softness: list[int]
    result: torch_private.TreeSpec
    lifted_blocks: list[str] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    turns: dict[int, int] = field(default_factory=dict)

    def softness_of(self, sites: Sites) -> list[Softness]:
        """The softness that the graph takes."""
        return [
            _in_turns(sites[site], self.turns[site]) if site in self.turns else sites[site].softness
            for site in self.softness
        ]

    def __getstate__(self) -> dict[str, object]:
        packed = {"module": serialize.pack(self.module), "result": serialize.pack_structure(self.result)}
        return {**self.__dict__, **packed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        module, result = serialize.unpack(state["module"]), serialize.unpack_structure(state["result"])
        self.__dict__.update(state, module=module, result=result)


class _GraphWriter:
    """The backend whose calls are nodes and whose values are fake tensors."""

    def __init__(self, fake: torch_private.FakeTensorMode) -> None:
        self.builder = GraphBuilder()
        self.fake = fake
        self.node: fx.Node | None = None  # the program's node being carried out
        self._last: fx.Node | None = None  # the last that was
        self._shapes = ShapeMemory()
        self.turns: dict[int, int] = {}
        self.softness_nodes: dict[int, tuple[Tensor, fx.Node]] = {}
        self._asked: dict[int, set[str]] = {}  # the program's nodes that the softness of a site was asked for

    def run(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        assert self.node is not None
        target, arguments = self.node.target, args
        if target is getattr:  # the interpreter was given the property's getter
            arguments = (args[0], self.node.args[1])
        value = self.node.meta["val"]
        self._last = self.node
        if func is torch_private.set_grad_enabled:
            func(*args)
        name, location = self.node.name, self.node.meta["location"]
        whole = self.node.meta.get("whole", False)
        self.builder.call(target, arguments, kwargs, value, name, location=location, program_node=name, whole=whole)
        return value

    def repeat(self, func: Function, args: Args, kwargs: Kwargs, like: Any = None) -> Result:
        node = self.node
        assert node is not None
        if (attribute := attribute_of(func)) is not None:
            func, args = getattr, (args[0], attribute.name)
        with self.fake:
            value = map_tensors(torch.empty_like, node.meta["val"] if like is None else like)
        if like is None:
            self._last = node
        name = f"{node.name}_{'again' if like is None else 'hard'}"
        self.builder.call(
            func, args, kwargs, value, name, location=node.meta.get("location"), added=True, program_node=node.name
        )
        return value

    def template(self, result: Result) -> Result:
        return result

    def carried_out(self, node: fx.Node) -> bool:
        """Return True if the program's node has its call in the new graph."""
        return self._last == node

    def emit(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        # At a 0-dimensional index torch would ask a fake tensor for its value. An assignment gives nothing back, and
        # what is read has the shape that it has at another index.
        operation = INDEX.of(func).operation
        read = (args[0], map_tensors(_any_index, args[1])) if operation is ops.getitem else args
        with self.fake:
            value = None if operation is ops.setitem else self._shapes.of(func, read, kwargs)
        location = None if self.node is None else self.node.meta.get("location")
        name = "soft_" + getattr(func, "__name__", "call").strip("_").removeprefix("soft_")
        origin = None if self.node is None else self.node.name
        self.builder.call(func, args, kwargs, value, name, location=location, added=True, program_node=origin)
        return value

    def relaxed(self) -> set[int]:
        """The sites each of whose calls has a soft form of its own, where others hand the shadows of operands on."""
        users = {site: node.users for site, (_, node) in self.softness_nodes.items()}
        return {site for site, asked in self._asked.items() if asked <= {nodes.origin(user) for user in users[site]}}

    def blockage(self, func: Function, spelled: Spelled, args: Args, kwargs: Kwargs) -> Blockage | None:
        assert self.node is not None
        found: Blockage | None = self.node.meta.get("blockage")  # judged on what the program was captured with
        return found

    def softness(self, decision: Decision) -> Result:
        if decision.id not in self.softness_nodes:
            shape: tuple[int, ...] = ()
            if decision.turn is not None and decision.spread is not None:
                shape = (len(decision.spread.turns),)
                self.turns[decision.id] = shape[0]
            elif isinstance(decision.softness, Tensor):
                shape = tuple(decision.softness.shape)
            with self.fake:
                value = torch.empty(shape)
            node = self.builder.placeholder(f"softness_{decision.id}", value)
            self.softness_nodes[decision.id] = (value, node)
        if self.node is not None:
            self._asked.setdefault(decision.id, set()).add(self.node.name)
        value = self.softness_nodes[decision.id][0]
        if decision.id not in self.turns:
            return value
        last = self.turns[decision.id] - 1  # a call makes as many turns as the one that was measured
        return self.emit(torch.select, (value, 0, min(decision.turn or 0, last)), {})

    @property
    def knows_writes(self) -> bool:
        return True

    def lying(self, result: Result) -> Result:
        assert self.node is not None
        return self.node.meta["val"]  # on which the result is laid when the call is through

    def is_whole(self, constant: Tensor) -> bool:
        node = self.builder.node_of(constant)  # of constants that the program holds the facts say so
        return node is not None and node.meta.get("whole", False)

    def is_finite(self, tensor: Tensor) -> bool:
        return finite(tensor)


class _Walk:
    """One walk of the interpreter through the nodes of a captured program."""

    def __init__(self, program: Program, sites: Sites, evidence: Evidence, planning: bool) -> None:
        self.program = program
        self.writer = _GraphWriter(_fake_mode(program))
        self.state = RunState(sites, evidence, self.writer, planning=planning)
        self.state.grad_mode.ambient = True
        self.interpreter = Interpreter(self.state)
        self.values: dict[fx.Node, Any] = {}
        self.lifted_blocks: list[str] = []

    def outputs(self) -> list[Any]:
        """Carry out all nodes; the results as the caller gets them."""
        with torch.enable_grad():
            for node in self.program.graph.nodes:
                self.writer.node = node
                self.values[node] = self._step(node)
        results = [self.interpreter.result(value) for value in self.values[self.program.graph.output_node()]]
        note_results(self.state, self._outside())
        return results

    def _outside(self) -> list[Tensor]:
        """The tensors that outlive the call: its inputs, the module's, and constants."""
        nodes = [node for node in self.program.graph.nodes if node.op in ("placeholder", "get_attr")]
        return tensors_in([self.values[node] for node in nodes])

    def _step(self, node: fx.Node) -> Result:
        """The value of one of the program's nodes in the new graph."""
        if node.op == "placeholder":
            return self._placeholder(node)
        if node.op == "get_attr":
            return self._constant(node)
        args: Any = fx.node.map_aggregate(node.args, self._value_of)
        kwargs: Any = fx.node.map_aggregate(node.kwargs, self._value_of)
        if node.op == "output":
            return args[0]
        if node.target is operator.getitem and isinstance(args[0], tuple | list):
            return args[0][args[1]]
        return self._call(node, args, dict(kwargs))

    def _value_of(self, argument: Any) -> Any:
        return self.values[argument] if isinstance(argument, fx.Node) else argument

    def _placeholder(self, node: fx.Node) -> Any:
        value: Any = node.meta.get("val")
        self.writer.builder.placeholder(node.name, value)
        if node in self.program.inputs or (isinstance(value, Tensor) and value.requires_grad):
            self.interpreter.source(value)
        return value

    def _constant(self, node: fx.Node) -> Any:
        held = self.program.constants[str(node.target)]
        if not isinstance(held, Tensor):
            return held
        value: Any = node.meta.get("val")
        self.writer.builder.bind(value, self.writer.builder.constant(held))
        if has_whole_elements(held):
            self.state.environment.set(value, ValueFacts(False, integral=True))
        return value

    def _call(self, node: fx.Node, args: Any, kwargs: Kwargs) -> Result:
        func: Any = node.target
        if func is getattr:  # a property such as x.T: the function protocol knows it by its getter
            func, args = getattr(Tensor, args[1]).__get__, (args[0],)
        location: Location = node.meta["location"]
        with self.writer.fake:
            result = self.interpreter.call(func, args, kwargs, lambda: location)
            self._lay(result, node.meta["val"])
        shared_storage.note_results(self.state, result)  # they are newer than what was written there
        switches = func is torch_private.set_grad_enabled or INDEX.of(func).operation is ops.detach
        if switches and not self.writer.carried_out(node):
            self.lifted_blocks.append(node.name)
        self._note_meanings(result)
        return result

    def _lay(self, result: Result, seen: Result) -> None:
        """Let the tensors of a result share memory with those that its likes in the program share it with."""
        for tensor, like in zip(tensors_in(result), tensors_in(seen), strict=False):
            if tensor is not like and tensor.shape == like.shape and tensor.dtype == like.dtype:
                torch_private.lay_on(tensor, like)

    def _note_meanings(self, result: Result) -> None:
        """Note what the tensors of a result stand for: to the program values, and beside them their shadows."""
        builder = self.writer.builder
        for tensor in tensors_in(result):
            builder.note_meaning(tensor, "hard" if is_discrete(tensor) else "real")
            if (soft := self.state.environment.facts(tensor).soft) is not None:
                builder.note_meaning(soft.tensor, soft.kind)


def rewrite(program: Program, sites: Sites, evidence: Evidence, *, planning: bool = False) -> Rewritten:
    """`program` with every site treated as `sites` decides."""
    walk = _Walk(program, sites, evidence, planning)
    builder = walk.writer.builder
    builder.output(walk.outputs())
    relaxed = walk.writer.relaxed()
    _remove_dead(builder.graph)
    if simplify(builder.graph):
        _remove_dead(builder.graph)
    unasked = _remove_unasked(builder.graph, walk.writer.softness_nodes)
    module = serialize.graph_module(builder.graph, builder.constants)
    softness = [site for site in walk.writer.softness_nodes if site not in unasked]
    idle = sorted(relaxed.intersection(unasked))
    turns = {site: turns for site, turns in walk.writer.turns.items() if site in softness}
    return Rewritten(
        module, list(program.attributes.values()), softness, program.result, walk.lifted_blocks, idle, turns
    )


def _in_turns(decision: Decision, turns: int) -> Tensor:
    """The softness of each turn."""
    each = [decision.at(turn).softness for turn in range(turns)]
    if all(isinstance(softness, float) for softness in each):
        return torch.tensor(each, dtype=torch.float64)  # as exact as the numbers themselves
    return torch.stack([torch.as_tensor(softness) for softness in each])


def _any_index(index: Tensor) -> Tensor | int:
    """An index for the shape of what is read there: a number in the place of one without axes."""
    return index if index.dim() or index.dtype is torch.bool or index.is_floating_point() else 0


def _fake_mode(program: Program) -> torch_private.FakeTensorMode:
    for node in program.graph.nodes:
        if (mode := torch_private.fake_mode_of(node.meta.get("val"))) is not None:
            return mode
    return torch_private.FakeTensorMode(allow_non_fake_inputs=True)


def _remove_dead(graph: fx.Graph) -> None:
    """Remove what nothing uses: added calls, and the program's own where they are known to write nothing."""
    for node in reversed(list(graph.nodes)):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)
        if node.op == "call_function" and not node.users and _is_removable(node):
            graph.erase_node(node)


def _remove_unasked(graph: fx.Graph, softness: dict[int, tuple[Tensor, fx.Node]]) -> list[int]:
    """Remove the softness that nothing asks for; the sites that it is of."""
    unasked = [site for site, (_, node) in softness.items() if not node.users]
    for site in unasked:
        graph.erase_node(softness[site][1])
    return unasked


def _is_removable(node: fx.Node) -> bool:
    target: Any = node.target
    if node.meta["val"] is None and node.meta.get("added"):  # a call without a result is made for what it does
        return False
    if target is operator.getitem:
        return True
    if node.kwargs.get("out") is not None or node.kwargs.get("inplace"):
        return False
    if target is getattr:
        return bool(node.meta.get("added"))
    spelled = INDEX.of(target)
    if spelled.writes(node.kwargs) or spelled.operation.effect & Effect.DRAWS:
        return bool(node.meta.get("added")) and not spelled.writes(node.kwargs)
    return rule_of(spelled.operation) is not None or bool(node.meta.get("added"))
