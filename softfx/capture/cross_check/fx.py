"""The fx frontend: the call traced by a torch.fx.Tracer, with proxies in place of its tensors.

The light tracer. A proxy is a tensor with a shape, a dtype and a node, and without data, so that code which asks for
a tensor gets one, while nothing can compute with it out of the tracer's sight. Shapes are the example's, to which the
graph is specialised; every torch call is written down, those on constants and random draws too, and modules are
traced through. What a proxy will not do is give a value that depends on the inputs to Python: a branch, `.item()`, a
loop's bound are refused with their line. The graph is then carried out once and held against the original
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
from torch.fx.proxy import TraceError
from torch.overrides import TorchFunctionMode

from softfx import torch_private as private
from softfx.capture.cross_check import replay
from softfx.capture.preserve import Preserved, copied
from softfx.capture.program import Program, number, shares
from softfx.capture.recorder import METADATA, is_write
from softfx.locations import Location, Place, is_user_file, locate, module_paths
from softfx.values.domains import rebuilt, tensors_in

__all__ = ["capture"]

_CONTAINERS = (tuple, list, dict, slice, range)
_PLAIN = (str, int, float, bool, complex, torch.dtype, torch.device, torch.layout, torch.memory_format)
_DRAWS = ("rand", "normal", "bernoulli", "multinomial", "poisson")


def capture(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], place: Place) -> Program:
    """The calls of `target(*args, **kwargs)` in the graph that symbolic tracing makes of it."""
    original = replay.witness(target, args, kwargs, place)
    if original.keeps_state:
        raise replay.refusal(target, "fx", f"objects of the program would keep proxies, for {original.keeps_state}")
    traced = _traced(target, args, kwargs, place)
    program, difference = replay.carried(
        target, args, kwargs, place, original, lambda node: node.meta["location"], traced.callable
    )
    if difference:
        reason = f"the traced graph does not do what it does on its example inputs: {difference}"
        raise replay.refusal(target, "fx", reason)
    why = "symbolic tracing made one graph of the call, which gave the original's results bit for bit"
    return replace(program, seen=replace(program.seen, frontend="fx", why=why))


def _traced(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], place: Place) -> _Tracer:
    """One call, traced on copies of its arguments."""
    tracer = _Tracer(target, place)
    leaves, structure = private.flatten((args, kwargs))
    with Preserved(target) as preserved, torch.enable_grad():
        tracer.preserved = preserved
        own_args, own_kwargs = private.unflatten([tracer.input(leaf) for leaf in copied(leaves)], structure)
        try:
            tracer.output(_follow(tracer, replay.function_of(target), own_args, own_kwargs))
        except Exception as error:
            raise replay.refusal(target, "fx", _reason(error, place)) from error
    return tracer


def _follow(tracer: _Tracer, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The boundary: frames further out than this one are not the target's."""
    with _Calls(tracer):
        return function(*args, **kwargs)


class _Calls(TorchFunctionMode):
    """Hands every torch call to the tracer, proxies among its operands or not."""

    def __init__(self, tracer: _Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self.tracer.call(func, args, kwargs or {})


class _Proxy(Tensor):
    """A tensor without data that stands for one of the call's, and knows the example's."""

    node: fx.Node
    value: Tensor
    __torch_function__ = private.disabled_torch_function  # the mode sees each call

    @staticmethod
    def of(value: Tensor, node: fx.Node) -> _Proxy:
        proxy: _Proxy = Tensor._make_wrapper_subclass(
            _Proxy, value.shape, value.stride(), dtype=value.dtype, device=value.device
        )
        proxy.node, proxy.value = node, value
        return proxy

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # Tensor's own is declared without cls
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise TraceError(f"{func} is called out of sight of torch's function protocol")


class _Tracer(fx.Tracer):
    """A graph under construction, each of its calls computed on the example's tensors as it is written."""

    preserved: Preserved

    def __init__(self, target: Any, place: Place) -> None:
        super().__init__()
        self.root = nn.Module()  # holds what the graph refers to
        self.graph = fx.Graph()
        self.tensor_attrs = {}
        self.paths = module_paths(target)
        self.place = place
        self.dynamic: set[fx.Node] = set()  # what depends on an input, a parameter or a draw
        self._held: dict[int, str] = {}
        self._proxies: list[weakref.ref[_Proxy]] = []
        self._results: list[Any] = []
        self._structure: Any = None

    def input(self, leaf: Any) -> Any:
        """What stands for a leaf of the call's arguments."""
        if not isinstance(leaf, Tensor):
            return leaf
        node = self.graph.placeholder(f"input_{len(self.graph.nodes)}")
        self.dynamic.add(node)
        return _Proxy.of(leaf, node)

    def output(self, result: Any) -> None:
        """End the graph with the call's result."""
        self._results, self._structure = private.flatten(result)
        self.graph.output(tuple(self.create_arg(leaf) for leaf in self._results if isinstance(leaf, Tensor)))

    def callable(self, run: Callable[[fx.GraphModule], Callable[..., Any]]) -> Callable[..., Any]:
        """The traced call as a function of the target's arguments."""
        graph = run(fx.GraphModule(self.root, self.graph))
        plain = [None if isinstance(leaf, Tensor) else leaf for leaf in self._results]
        of_graph = [isinstance(leaf, Tensor) for leaf in self._results]

        def call(*args: Any, **kwargs: Any) -> Any:
            tensors = iter(graph(*(leaf for leaf in private.leaves((args, kwargs)) if isinstance(leaf, Tensor))))
            leaves = [next(tensors) if made else leaf for made, leaf in zip(of_graph, plain, strict=True)]
            return private.unflatten(leaves, self._structure)

        return call

    def where(self) -> Location:
        return locate(_follow.__code__, self.paths, self.place)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["location"] = self.where()
        return node

    def create_arg(self, a: Any) -> Any:
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

    def call(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Compute a call and write it down; what is no tensor is given to Python as it is, or refused."""
        name = getattr(func, "__name__", "")
        if name == "__set__":
            raise TraceError("an attribute of a tensor is replaced")
        result = self._computed(func, args, kwargs)
        if result is NotImplemented:  # x == None: Python asks the other operand
            return result
        written = self.create_arg(tuple(args)), self.create_arg(kwargs)
        dynamic = bool(self.dynamic.intersection(_nodes(written)))
        makes = any(True for _ in tensors_in(result))
        if not makes and (result is not None or name == "__get__"):
            if dynamic and name not in METADATA:
                raise TraceError(f"{name.strip('_')} reads a value that depends on the inputs into Python")
            return result
        if name == "__get__":  # a property has no name of its own to call it by
            func, written = getattr, ((*written[0][:1], func.__self__.__name__), {})  # type: ignore[attr-defined]
        if dynamic and is_write(func, name, kwargs):
            self._mark_written(kwargs.get("out", args[0] if args else None))
        node = self.create_node("call_function", func, *written)
        if dynamic or (name.startswith(_DRAWS) and not _nodes(written)):
            self.dynamic.add(node)
        return self._proxied(node, result)

    def _mark_written(self, written: Any) -> None:
        """What depends on the inputs once it is written, and all that shares its storage."""
        values = list(tensors_in(_unwrapped(written)))
        alive = [proxy for reference in self._proxies if (proxy := reference()) is not None]
        self.dynamic.update(proxy.node for proxy in alive if any(shares(value, proxy.value) for value in values))

    def _proxied(self, node: fx.Node, result: Any) -> Any:
        """`result` with a proxy for each tensor in it."""
        if isinstance(result, Tensor):
            proxy = _Proxy.of(result, node)
            self._proxies.append(weakref.ref(proxy))
            return proxy
        if not isinstance(result, tuple | list):
            return result
        items = []
        for position, item in enumerate(result):
            part = self.create_node("call_function", operator.getitem, (node, position), {})
            if node in self.dynamic:
                self.dynamic.add(part)
            items.append(self._proxied(part, item))
        return rebuilt(result, items)

    def _computed(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        args, kwargs = _unwrapped(args), _unwrapped(kwargs)
        for value in (*args, *kwargs.values()):  # it may be written, or drawn from
            if isinstance(value, Tensor | torch.Generator) and id(value) in self._held:
                self.preserved.save(value)
        return function(*args, **kwargs)


def _nodes(written: Any) -> set[fx.Node]:
    found: set[fx.Node] = set()
    fx.node.map_arg(written, found.add)
    return found


def _unwrapped(tree: Any) -> Any:
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
