"""Graphs as Python that a person would write: x - y, x.topk(2), softtorch.argmax(x, softness=softness_0).

Each call is one statement, under a comment with the user's line that it comes from. `softfx diff` compares this text
and `softfx soften --out` writes it; run with what it imports it computes the same as the graph. `literals` writes
values, `names` variables and functions.
"""

from __future__ import annotations

import inspect
import keyword
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from torch import Tensor, fx
from torch.fx.node import Argument

from softfx import torch_private as private
from softfx.code.literals import comment, literal, operand, tensor_literal
from softfx.code.names import Names, name_of
from softfx.locations import Location, short_path, source_line
from softfx.ops.python_form import IN_PLACE, INFIX, PREFIX

__all__ = ["Writer", "constant_text", "place_text"]


def place_text(file: str, line: int) -> str:
    """The file and line as written code names them: without the folders of the machine that it was written on."""
    path = Path(short_path(file))
    if path.is_absolute():  # neither installed nor below the current folder: from its package on
        folder = path.parent
        while (folder / "__init__.py").is_file() and folder != folder.parent:
            folder = folder.parent
        path = path.relative_to(folder)
    return f"{path}:{line}"


class Writer:
    """Writes the calls of graphs that belong together.

    missing: the variables of functions that no import reaches, with the function of each.
    """

    def __init__(self, *graphs: fx.Graph) -> None:
        self.names = Names(*graphs)
        self.missing: dict[str, object] = {}

    def statements(self, graph: fx.Graph) -> Iterator[str]:
        """The calls of a graph, one on each line, with a comment wherever the user's line changes."""
        return (text for text, _ in self.lines(graph))

    def lines(self, graph: fx.Graph) -> Iterator[tuple[str, object]]:
        """Each line with what tells it from others of the same text: the call's name, or a comment's number."""
        last: tuple[str, int] | None = None
        comments: Counter[str] = Counter()
        for node in graph.nodes:
            if node.op != "call_function":
                continue
            location: Location | None = node.meta.get("location")
            if location is not None and (location.file, location.line) != last:
                last = (location.file, location.line)
                module = f" ({location.module})" if location.module else ""
                text = comment(f"{place_text(*last)}{module}: {source_line(*last)}")
                comments[text] += 1
                yield text, comments[text]
            yield self._statement(node), node.name

    def text(self, value: object) -> str:
        """The expression for an argument."""
        return literal(value, self.names)

    def _statement(self, node: fx.Node) -> str:
        func, args, name = node.target, node.args, self.names(node)
        if func is operator.setitem:
            return f"{self._operand(args[0])}[{self._key(args[1])}] = {self.text(args[2])}"
        if func is private.set_grad_enabled:
            return f"torch.set_grad_enabled({self.text(args[0])})"
        written = args[0] if args else None
        if func in IN_PLACE and isinstance(written, fx.Node) and written.op != "get_attr":  # no name of the module's
            return f"{self.text(written)} {IN_PLACE[func]} {self.text(args[1])}; {name} = {self.text(written)}"
        call = self._call(func, args, node.kwargs)  # type: ignore[arg-type]  # a call_function node's target is callable
        return f"{name} = {call}" if node.users else call

    def _call(self, func: Callable[..., object], args: tuple[Argument, ...], kwargs: Mapping[str, Argument]) -> str:
        if func in INFIX:
            left = self._operand(args[0]) if func is operator.pow else self.text(args[0])
            return f"{left} {INFIX[func]} {self.text(args[1])}"
        if func in PREFIX:
            return f"{PREFIX[func]}{self._operand(args[0])}"
        if func is operator.getitem:
            return f"{self._operand(args[0])}[{self._key(args[1])}]"
        if func is getattr:
            return f"{self._operand(args[0])}.{args[1]}"
        if args and isinstance(args[0], fx.Node) and getattr(Tensor, getattr(func, "__name__", ""), None) is func:
            return f"{self.text(args[0])}.{func.__name__}({self._arguments(args[1:], kwargs)})"
        return f"{self._function(func)}({self._arguments(args, kwargs)})"

    def _operand(self, value: Argument) -> str:
        return operand(value, self.names)

    def _function(self, func: object) -> str:
        """The name of a function; one that no import reaches becomes a variable to be set."""
        if (name := name_of(func)) is not None:
            return name
        for variable, known in self.missing.items():
            if known is func:
                return variable
        variable = self.names.new(f"function_{len(self.missing)}")
        self.missing[variable] = func
        return variable

    def _arguments(self, args: Iterable[Argument], kwargs: Mapping[str, Argument]) -> str:
        return ", ".join([*map(self.text, args), *(self._keyword(key, value) for key, value in kwargs.items())])

    def _keyword(self, key: str, value: Argument) -> str:
        usable = key.isidentifier() and not keyword.iskeyword(key)  # x.random_(**{"from": 1})
        return f"{key}={self.text(value)}" if usable else f"**{{{self.text(key)}: {self.text(value)}}}"

    def _key(self, key: Argument) -> str:
        """The text between the brackets of x[...]."""
        if isinstance(key, tuple) and key:
            return ", ".join(self._slice(part) for part in key) + ("," if len(key) == 1 else "")
        return self._slice(key)

    def _slice(self, part: Argument) -> str:
        if not isinstance(part, slice):
            return self.text(part)
        start, stop, step = ("" if bound is None else self.text(bound) for bound in (part.start, part.stop, part.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")


def constant_text(value: object) -> str | None:
    """An expression for a constant of a graph, or None if there is none."""
    if isinstance(value, Tensor):
        return tensor_literal(value)
    if isinstance(value, range):
        return repr(value)
    return name_of(value) if inspect.isroutine(value) else None
