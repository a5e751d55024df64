"""The fx frontend: the call traced with torch.fx proxies that stand for its tensors.

The light tracer. Each proxy carries the tensor it stands for, so that shapes, dtypes and unpacking are as in the
example call, to which the graph is specialised; every torch call is written down, those on constants and random draws
too, and modules are traced through. What a proxy will not do is give a value that depends on the inputs to Python: a
branch, `.item()`, a loop's bound are refused with their line. The graph is then carried out once and held against the
original (softfx.capture.replay). Nothing is patched while it traces.
"""

from __future__ import annotations

import operator
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError
from torch.overrides import TorchFunctionMode

from softfx import _torch_private as private
from softfx.capture import replay
from softfx.capture.eager import METADATA
from softfx.capture.program import Program
from softfx.domains import rebuilt, tensors_in
from softfx.source import Location, Place, is_user_file, locate, module_paths
from softfx.state import Preserved, copied

__all__ = ["capture"]

_CONTAINERS = (tuple, list, dict, slice, range)
_PLAIN = (str, int, float, bool, complex, torch.dtype, torch.device, torch.layout, torch.memory_format)
_DRAWS = ("rand", "normal", "bernoulli", "multinomial", "poisson")
_IN_PLACE = ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul", "iand", "ior", "ixor")


def capture(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], place: Place) -> Program:
    """The calls of `target(*args, **kwargs)` in the graph that symbolic tracing makes of it."""
    original = replay.witness(target, args, kwargs, place)
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
        if self.tracer.computing:
            return func(*args, **(kwargs or {}))
        return self.tracer.create_proxy("call_function", func, args, kwargs or {})


class _Value(fx.Proxy):
    """A proxy of a tensor that knows the example's."""

    value: Tensor

    def __init__(self, node: fx.Node, tracer: _Tracer, value: Tensor) -> None:
        object.__setattr__(self, "tracer", tracer)
        object.__setattr__(self, "node", node)
        object.__setattr__(self, "value", value)

    def __getattr__(self, k: str) -> Any:
        if callable(getattr(Tensor, k, None)):
            return super().__getattr__(k)
        return self.tracer.create_proxy("call_function", getattr, (self, k), {})

    def __setattr__(self, k: str, v: Any) -> None:
        raise TraceError(f"the attribute {k} of a tensor is replaced")

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, key, value), {})

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.unbind(0))

    def _read(self, function: Callable[[Tensor], Any]) -> Any:
        return self.tracer.create_proxy("call_function", function, (self,), {})

    def __bool__(self) -> bool:
        return bool(self._read(bool))

    def __int__(self) -> int:
        return int(self._read(int))

    def __float__(self) -> float:
        return float(self._read(float))

    def __index__(self) -> int:
        return int(self._read(operator.index))


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: _Value, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _name in _IN_PLACE:  # torch.fx makes x += y into x = x + y
    setattr(_Value, f"__{_name}__", _in_place(getattr(operator, _name)))


class _Tracer(fx.Tracer):
    """A graph under construction, each of its calls computed on the example's tensors as it is written."""

    preserved: Preserved

    def __init__(self, target: Any, place: Place) -> None:
        super().__init__()
        self.root = nn.Module()  # holds what the graph refers to
        self.graph = fx.Graph()
        self.tensor_attrs = {}
        self.computing = False
        self.paths = module_paths(target)
        self.place = place
        self.dynamic: set[fx.Node] = set()  # what depends on an input, a parameter or a draw
        self._held: dict[int, str] = {}
        self._results: list[Any] = []
        self._structure: Any = None

    def input(self, leaf: Any) -> Any:
        """What stands for a leaf of the call's arguments."""
        if not isinstance(leaf, Tensor):
            return leaf
        node = self.graph.placeholder(f"input_{len(self.graph.nodes)}")
        self.dynamic.add(node)
        return _Value(node, self, leaf)

    def output(self, result: Any) -> None:
        """End the graph with the call's result."""
        self._results, self._structure = private.flatten(result)
        self.graph.output(tuple(self.create_arg(leaf) for leaf in self._results if _is_tensor(leaf)))

    def callable(self, run: Callable[[fx.GraphModule], Callable[..., Any]]) -> Callable[..., Any]:
        """The traced call as a function of the target's arguments."""
        graph = run(fx.GraphModule(self.root, self.graph))
        plain = [None if _is_tensor(leaf) else leaf for leaf in self._results]
        of_graph = [_is_tensor(leaf) for leaf in self._results]

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
        if isinstance(a, fx.Proxy):
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

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *_: Any, **__: Any) -> Any:
        """Compute a call and write it down; what is no tensor is given to Python as it is, or refused."""
        function = getattr(Tensor, target) if kind == "call_method" else target
        name = getattr(function, "__name__", "")
        if name == "__get__":  # a property of a tensor that is no proxy
            function, args, name = getattr, (args[0], target.__self__.__name__), "getattr"
        result = self._computed(function, args, kwargs)
        makes = isinstance(result, Tensor) or any(True for _ in tensors_in(result))
        written = self.create_arg(tuple(args)), self.create_arg(kwargs)
        dynamic = bool(self.dynamic.intersection(_nodes(written)))
        if not makes and result is not None:
            if dynamic and name not in METADATA and function is not getattr:
                raise TraceError(f"{name.strip('_')} reads a value that depends on the inputs into Python")
            return result
        node = self.create_node("call_function", function, *written)
        if dynamic or (name.startswith(_DRAWS) and not _nodes(written)):
            self.dynamic.add(node)
        return self._proxied(node, result)

    def _proxied(self, node: fx.Node, result: Any) -> Any:
        """`result` with a proxy for each tensor in it."""
        if isinstance(result, Tensor):
            return _Value(node, self, result)
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
        self.computing, before = True, self.computing
        try:
            return function(*args, **kwargs)
        finally:
            self.computing = before


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, fx.Proxy | Tensor)


def _nodes(written: Any) -> set[fx.Node]:
    found: set[fx.Node] = set()
    fx.node.map_arg(written, found.add)
    return found


def _unwrapped(tree: Any) -> Any:
    """`tree` with the example's tensors for proxies."""
    if isinstance(tree, _Value):
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
