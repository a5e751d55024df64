"""The fx cross-check: the call is traced by a torch.fx.Tracer, with proxies in place of its tensors.

A proxy is a tensor with a shape, a dtype and a node, and without data, so that code which asks for
a tensor gets one, while nothing can compute with it out of the tracer's sight. Shapes are the example's, to which the
graph is specialised; every torch call is written down, those on constants and random draws too, and modules are
traced through. A proxy gives no value that depends on the inputs to Python: a branch, `.item()`, a loop's bound are
refused with their line. The graph is then replayed and held against the original
(softfx.capture.cross_check.replay). Nothing is patched while it traces.
"""

from __future__ import annotations

import operator
import traceback
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import Argument
from torch.fx.proxy import TraceError
from torch.overrides import TorchFunctionMode

from softfx import torch_private as private
from softfx.capture import effects
from softfx.capture.cross_check import replay
from softfx.capture.example import ExampleCall
from softfx.capture.preserve import Preserved
from softfx.capture.program import Program, number, shares
from softfx.locations import Location, Place, is_user_file, locate, module_paths
from softfx.ops.calls import Function, Result
from softfx.ops.spelling import attribute_of
from softfx.ops.trees import rebuilt, tensors_in

__all__ = ["capture"]

_CONTAINERS = (tuple, list, dict, slice, range)
_PLAIN = (str, int, float, bool, complex, torch.dtype, torch.device, torch.layout, torch.memory_format)


def capture(call: ExampleCall) -> Program:
    """The torch calls of `call` in the graph that symbolic tracing makes of it."""
    baseline = replay.baseline_run(call)
    if baseline.keeps_state:
        raise replay.refusal(call, "fx", f"objects of the program would keep proxies, for {baseline.keeps_state}")
    program, difference = replay.replayed(call, baseline, _traced(call), lambda node: node.meta["location"])
    if difference:
        reason = f"the traced graph does not do what it does on its example inputs: {difference}"
        raise replay.refusal(call, "fx", reason)
    why = "symbolic tracing made one graph of the call, which gave the original's results bit for bit"
    return replace(program, seen=replace(program.seen, frontend="fx", why=why))


def _traced(call: ExampleCall) -> _Tracer:
    """The call, traced on copies of its arguments."""
    leaves, structure = private.flatten(call.copied_arguments())
    with Preserved(call.target) as preserved, torch.enable_grad():
        tracer = _Tracer(call, preserved)
        args, kwargs = private.unflatten([tracer.input(leaf) for leaf in leaves], structure)
        try:
            tracer.output(_follow(tracer, call.function, args, kwargs))
        except Exception as error:
            raise replay.refusal(call, "fx", _reason(error, call.place)) from error
    return tracer


def _follow(tracer: _Tracer, function: Function, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    """The boundary: frames further out than this one are not the target's."""
    with _Calls(tracer):
        return function(*args, **kwargs)


class _Calls(TorchFunctionMode):
    """Hands every torch call to the tracer, proxies among its operands or not."""

    def __init__(self, tracer: _Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(
        self, func: Function, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        return self.tracer.call(func, args, kwargs or {})


class _Proxy(Tensor):
    """A tensor without data that stands for one of the call's, and knows the example's."""

    node: fx.Node
    value: Tensor
    __torch_function__ = private.disabled_torch_function  # the mode sees each call

    @staticmethod
    def of(value: Tensor, node: fx.Node) -> _Proxy:
        proxy = private.wrapper_subclass(_Proxy, value)
        proxy.node, proxy.value = node, value
        return proxy

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # Tensor's own is declared without cls
        cls, func: Function, types: object, args: object = (), kwargs: object = None
    ) -> Result:
        raise TraceError(f"{func} is called out of sight of torch's function protocol")


class _Tracer(fx.Tracer):
    """A graph under construction, each of its calls computed on the example's tensors as it is written."""

    _structure: private.TreeSpec  # of the call's result

    def __init__(self, call: ExampleCall, preserved: Preserved) -> None:
        super().__init__()
        self.root = nn.Module()  # holds what the graph refers to
        self.graph = fx.Graph()
        self.tensor_attrs = {}
        self.preserved = preserved
        self.paths = module_paths(call.target)
        self.place = call.place
        self.dynamic: set[fx.Node] = set()  # what depends on an input, a parameter or a draw
        self._held: dict[int, str] = {}
        self._proxies: list[weakref.ref[_Proxy]] = []
        self._results: list[object] = []

    def input(self, leaf: object) -> object:
        """The proxy that stands for a tensor among the call's arguments; other leaves are what they are."""
        if not isinstance(leaf, Tensor):
            return leaf
        node = self.graph.placeholder(f"input_{len(self.graph.nodes)}")
        self.dynamic.add(node)
        return _Proxy.of(leaf, node)

    def output(self, result: object) -> None:
        """End the graph with the call's result."""
        self._results, self._structure = private.flatten(result)
        self.graph.output(tuple(self.create_arg(leaf) for leaf in self._results if isinstance(leaf, Tensor)))

    def callable(self, run: Callable[[fx.GraphModule], Function]) -> Function:
        """The traced call as a function of the target's arguments (softfx.capture.cross_check.replay.Traced)."""
        graph = run(fx.GraphModule(self.root, self.graph))
        plain = [None if isinstance(leaf, Tensor) else leaf for leaf in self._results]
        of_graph = [isinstance(leaf, Tensor) for leaf in self._results]

        def call(*args: object, **kwargs: object) -> object:
            tensors = iter(graph(*(leaf for leaf in private.leaves((args, kwargs)) if isinstance(leaf, Tensor))))
            leaves = [next(tensors) if made else leaf for made, leaf in zip(of_graph, plain, strict=True)]
            return private.unflatten(leaves, self._structure)

        return call

    def where(self) -> Location:
        """The user's call that is running now."""
        return locate(_follow.__code__, self.paths, self.place)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["location"] = self.where()
        return node

    def create_arg(self, a: object) -> Argument:
        """Proxies by their nodes; tensors, generators and other objects are held by the graph's module."""
        a = number(a)
        if isinstance(a, _Proxy):
            return a.node
        if a is None or a is ... or isinstance(a, (*_CONTAINERS, *_PLAIN)):
            return super().create_arg(a)
        name = self._held.get(id(a))
        if name is None:
            name = self._held[id(a)] = f"held_{len(self._held)}"
            self.root.__dict__[name] = a
        node = super().create_node("get_attr", name, (), {})
        if isinstance(a, nn.Parameter) or (isinstance(a, Tensor) and a.requires_grad):
            self.dynamic.add(node)
        return node

    def call(self, func: Function, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """Compute a call and write it down; what is no tensor is given to Python as it is, or refused."""
        attribute = attribute_of(func)
        if attribute is not None and attribute.is_set:
            raise TraceError("an attribute of a tensor is replaced")
        result = self._computed(func, args, kwargs)
        if result is NotImplemented:  # x == None: Python asks the other operand
            return result
        written: tuple[Any, Any] = self.create_arg(args), self.create_arg(kwargs)
        dynamic = bool(self.dynamic.intersection(_nodes(written)))
        makes = any(True for _ in tensors_in(result))
        if not makes and (result is not None or attribute is not None):
            if dynamic and not effects.is_metadata(func):
                name = str(getattr(func, "__name__", func)).strip("_")
                raise TraceError(f"{name} reads a value that depends on the inputs into Python")
            return result
        if attribute is not None:  # a property has no name of its own to call it by
            func, written = getattr, ((*written[0][:1], attribute.name), {})
        if dynamic and effects.writes(func, kwargs):
            self._mark_written(kwargs.get("out", args[0] if args else None))
        node = self.create_node("call_function", func, *written)
        if dynamic or (effects.draws(func) and not _nodes(written)):
            self.dynamic.add(node)
        return self._proxied(node, result)

    def _mark_written(self, written: object) -> None:
        """Note that `written`, and all that shares its storage, depends on the inputs from now on."""
        values = list(tensors_in(_unwrapped(written)))
        alive = [proxy for reference in self._proxies if (proxy := reference()) is not None]
        self.dynamic.update(proxy.node for proxy in alive if any(shares(value, proxy.value) for value in values))

    def _proxied(self, node: fx.Node, result: object) -> object:
        """`result` with a proxy for each tensor in it."""
        if isinstance(result, Tensor):
            proxy = _Proxy.of(result, node)
            self._proxies.append(weakref.ref(proxy))
            return proxy
        if not isinstance(result, tuple | list):
            return result
        items: list[object] = []
        for position, item in enumerate(result):
            part = self.create_node("call_function", operator.getitem, (node, position), {})
            if node in self.dynamic:
                self.dynamic.add(part)
            items.append(self._proxied(part, item))
        return rebuilt(result, items)

    def _computed(self, function: Function, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """The call on the example's tensors, those that it may write or draw from saved before."""
        args, kwargs = _unwrapped(args), _unwrapped(kwargs)
        for value in (*args, *kwargs.values()):  # it may be written, or drawn from
            if isinstance(value, Tensor | torch.Generator) and id(value) in self._held:
                self.preserved.save(value)
        return function(*args, **kwargs)


def _nodes(written: Argument) -> set[fx.Node]:
    found: set[fx.Node] = set()
    fx.node.map_arg(written, found.add)
    return found


def _unwrapped(tree: object) -> Any:
    """`tree` with the example's tensors for proxies."""
    if isinstance(tree, _Proxy):
        return tree.value
    if isinstance(tree, tuple | list) and not isinstance(tree, torch.Size):
        return rebuilt(tree, [_unwrapped(item) for item in tree])
    if isinstance(tree, dict):
        return {key: _unwrapped(item) for key, item in tree.items()}
    if isinstance(tree, slice):
        return slice(_unwrapped(tree.start), _unwrapped(tree.stop), _unwrapped(tree.step))
    return tree


def _reason(error: Exception, place: Place) -> str:
    """The refusal in one sentence, with the user's line."""
    frames = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    file, line = next((frame for frame in reversed(frames) if is_user_file(frame[0])), (place.file, place.line))
    said = (str(error).strip().splitlines() or [""])[0]
    if not isinstance(error, TraceError):
        said = f"{type(error).__name__} on a traced value{': ' + said if said else ''}"
    return f"symbolic tracing stops at {file}:{line}: {said.rstrip('.')}"
