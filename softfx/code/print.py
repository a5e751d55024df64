"""Graphs as Python that a person would write: x - y, x.topk(2), softtorch.argmax(x, softness=softness_0).

Each call is one statement, under a comment with the user's line that it comes from. `softfx diff` compares this text
and `softfx soften --out` writes it; run with the names in `HEADER` it computes the same as the graph.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch.fx.node import Argument

import softtorch
from softfx import torch_private as private
from softfx.locations import Location, source_line
from softfx.report.words import short_path
from softfx.runtime import distributions, draws, guards, normalized, places, selections
from softfx.torch_private import OpOverload, OpOverloadPacket

__all__ = ["HEADER", "constant_text", "statements"]

HEADER = """import torch
import torch.nn.functional as F

import softtorch
from softfx.runtime import distributions, draws, guards, normalized, places, selections
"""

_INFIX = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**", operator.matmul: "@", operator.and_: "&", operator.or_: "|",
    operator.xor: "^", operator.gt: ">", operator.ge: ">=", operator.lt: "<", operator.le: "<=",
    operator.eq: "==", operator.ne: "!=", operator.lshift: "<<", operator.rshift: ">>",
}  # fmt: skip
_PREFIX = {operator.neg: "-", operator.invert: "~"}
_IN_PLACE = {operator.iadd: "+=", operator.isub: "-=", operator.imul: "*=", operator.itruediv: "/="}
_NAMESPACES: tuple[tuple[str, object], ...] = (
    ("softtorch", softtorch),
    ("distributions", distributions),
    ("draws", draws),
    ("guards", guards),
    ("normalized", normalized),
    ("places", places),
    ("selections", selections),
    ("F", F),
    ("torch", torch),
    ("torch.special", torch.special),
    ("torch.linalg", torch.linalg),
    ("torch.fft", torch.fft),
    ("operator", operator),
)


def statements(graph: fx.Graph) -> Iterator[str]:
    """The calls of a graph, one on each line, with a comment wherever the user's line changes."""
    last: tuple[str, int] | None = None
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        location: Location | None = node.meta.get("location")
        if location is not None and (location.file, location.line) != last:
            last = (location.file, location.line)
            module = f" ({location.module})" if location.module else ""
            yield f"# {short_path(location.file)}:{location.line}{module}: {source_line(location.file, location.line)}"
        yield _statement(node)


def _statement(node: fx.Node) -> str:
    func, args = node.target, node.args
    if func is operator.setitem:
        return f"{_text(args[0])}[{_key(args[1])}] = {_text(args[2])}"
    if func is private.set_grad_enabled:
        return f"torch.set_grad_enabled({args[0]})"
    if func in _IN_PLACE:
        return f"{_text(args[0])} {_IN_PLACE[func]} {_text(args[1])}; {node.name} = {_text(args[0])}"
    call = _call(func, args, node.kwargs)  # type: ignore[arg-type]  # a call_function node's target is callable
    return f"{node.name} = {call}" if node.users else call


def _call(func: Callable[..., object], args: tuple[Argument, ...], kwargs: Mapping[str, Argument]) -> str:
    if func in _INFIX:
        return f"{_text(args[0])} {_INFIX[func]} {_text(args[1])}"
    if func in _PREFIX:
        return f"{_PREFIX[func]}{_text(args[0])}"
    if func is operator.getitem:
        return f"{_text(args[0])}[{_key(args[1])}]"
    if func is getattr:
        return f"{_text(args[0])}.{args[1]}"
    if getattr(Tensor, getattr(func, "__name__", ""), None) is func:
        return f"{_text(args[0])}.{func.__name__}({_arguments(args[1:], kwargs)})"
    return f"{name_of(func)}({_arguments(args, kwargs)})"


def name_of(func: object) -> str:
    """The name by which the written code reaches a function."""
    name = getattr(func, "__name__", "")
    for prefix, namespace in _NAMESPACES:
        if name and getattr(namespace, name, None) is func:
            return f"{prefix}.{name}"
    if isinstance(func, OpOverload | OpOverloadPacket):
        return f"torch.ops.{func}"
    if name and getattr(Tensor, name, None) is func:
        return f"torch.Tensor.{name}"
    module = getattr(func, "__module__", None) or type(func).__module__
    return f"{module}.{getattr(func, '__qualname__', name or type(func).__name__)}"


def _arguments(args: Iterable[Argument], kwargs: Mapping[str, Argument]) -> str:
    return ", ".join([*(_text(arg) for arg in args), *(f"{key}={_text(value)}" for key, value in kwargs.items())])


def _key(key: Argument) -> str:
    """The text between the brackets of x[...]."""
    if isinstance(key, tuple) and key:
        return ", ".join(_slice(part) for part in key) + ("," if len(key) == 1 else "")
    return _slice(key)


def _slice(part: Argument) -> str:
    if not isinstance(part, slice):
        return _text(part)
    start, stop, step = ("" if bound is None else _text(bound) for bound in (part.start, part.stop, part.step))
    return f"{start}:{stop}" + (f":{step}" if step else "")


def _text(value: object) -> str:
    if isinstance(value, fx.Node):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    if value is Ellipsis:
        return "..."
    if isinstance(value, slice):
        return f"slice({_text(value.start)}, {_text(value.stop)}, {_text(value.step)})"
    if isinstance(value, tuple):
        return "(" + ", ".join(_text(item) for item in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_text(item)}" for key, item in value.items()) + "}"
    return repr(value)


def constant_text(value: object) -> str | None:
    """An expression for a constant of a graph, or None if there is none."""
    if isinstance(value, Tensor):
        return f"torch.tensor({value.detach().tolist()}, dtype={value.dtype})"
    if inspect.isroutine(value):
        return name_of(value)
    return None
