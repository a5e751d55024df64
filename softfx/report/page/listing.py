"""The source around the lines of a report: the functions that hold them, with what lies between folded.

The text is read where the report says it is. Where the file is not there, or is another one by now, only the lines
that the report itself holds are shown.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from softfx.ops.operation import Infix
from softfx.rules import RULES
from softfx.visible import visible

__all__ = ["Function", "Line", "Stretch", "functions", "marked"]

_AROUND = 2  # lines that are shown before and after one of the report
_WORTH_FOLDING = 4  # fewer lines are shown, for the fold would take as much room
_HOLDING = (ast.stmt, ast.excepthandler)  # nodes that may hold a function
_LONGEST = 400  # characters of a line; minified files have lines of megabytes


@dataclass(frozen=True)
class Line:
    """A line of source: its number, and its text made visible, tabs as spaces."""

    number: int
    text: str


@dataclass(frozen=True)
class Stretch:
    """Lines that follow each other, shown or folded."""

    lines: tuple[Line, ...]
    folded: bool = False

    @property
    def numbers(self) -> str:
        """The numbers of its lines, one a line."""
        return "\n".join(str(line.number) for line in self.lines)

    @property
    def text(self) -> str:
        """Its lines as one text."""
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True)
class Function:
    """A function that holds lines of the report; without a name for lines outside of all functions."""

    name: str
    stretches: tuple[Stretch, ...]


def functions(file: str, found: Mapping[int, str]) -> list[Function]:
    """The functions of `file` that hold the lines in `found`, a line number and the text that the report has of it."""
    source = linecache.getlines(file)
    if not _is_the_same(source, found):
        alone = (Stretch((Line(number, clipped(found[number])),)) for number in sorted(found))
        return [Function("", tuple(alone))]
    spans = _spans("".join(source))
    inside: dict[tuple[int, int, str], list[int]] = {}
    for number in sorted(found):
        inside.setdefault(spans.get(number, (0, 0, "")), []).append(number)
    return [Function(name, tuple(_stretches(source, lines, (a, b)))) for (a, b, name), lines in inside.items()]


def _is_the_same(source: list[str], found: Mapping[int, str]) -> bool:
    """Return True if the file has each line as the report has it."""
    return bool(source) and all(
        1 <= number <= len(source) and (not text or visible(source[number - 1].strip()) == visible(text.strip()))
        for number, text in found.items()
    )


def _spans(text: str) -> dict[int, tuple[int, int, str]]:
    """For each line the first and last line and the qualified name of the outermost function around it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # a file of another Python version, or none at all
        return {}
    found: dict[int, tuple[int, int, str]] = {}
    pending: list[tuple[ast.AST, str]] = [(node, "") for node in tree.body]
    while pending:
        node, within = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            last = node.end_lineno or node.lineno
            found |= dict.fromkeys(range(first, last + 1), (first, last, f"{within}{node.name}"))
        else:
            name = f"{within}{node.name}." if isinstance(node, ast.ClassDef) else within
            children = (child for child in ast.iter_child_nodes(node) if isinstance(child, _HOLDING))
            pending += [(child, name) for child in children]
    return found


def _stretches(source: list[str], lines: list[int], span: tuple[int, int]) -> Iterator[Stretch]:
    """The lines of a function, or the surroundings of lines outside of all; what is far from the report is folded."""
    first, last = span if span[0] else (max(lines[0] - _AROUND, 1), min(lines[-1] + _AROUND, len(source)))
    near = {first} if span[0] else set()
    for line in lines:
        near.update(range(line - _AROUND, line + _AROUND + 1))
    numbers = list(range(first, last + 1))
    start = 0
    while start < len(numbers):
        is_near = numbers[start] in near
        end = start
        while end < len(numbers) and (numbers[end] in near) == is_near:
            end += 1
        part = tuple(Line(number, clipped(source[number - 1])) for number in numbers[start:end])
        yield Stretch(part, not is_near and len(part) >= _WORTH_FOLDING)
        start = end


def clipped(text: str) -> str:
    """A line as it is shown: without its end, tabs as spaces, cut where it is too long for a reader."""
    text = text.rstrip().expandtabs(4)
    return visible(text if len(text) <= _LONGEST else text[:_LONGEST] + " ...")


def marked(text: str, operations: Iterable[str]) -> tuple[tuple[str, bool], ...]:
    """The text in pieces, each with True if one of these operations is written there.

    >>> marked("index = scores.argmax(-1)", ["argmax"])
    (('index = scores.', False), ('argmax', True), ('(-1)', False))
    >>> marked("mask = x >= 0.5", ["gt", "ge"])
    (('mask = x ', False), ('>=', True), (' 0.5', False))
    >>> marked("best = x.topk(self.topk)", ["topk"])
    (('best = x.', False), ('topk', True), ('(self.topk)', False))
    """
    pieces, end = [], 0
    for start, stop in sorted({place for name in operations for place in _places(text, name)}):
        if start >= end:
            pieces += [(text[end:start], False), (text[start:stop], True)]
            end = stop
    return tuple(piece for piece in (*pieces, (text[end:], False)) if piece[0])


def _places(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Where an operation is called by one of its names, or else named, or else written by its symbol."""
    rule = RULES.get(name)
    names = {name} if rule is None else {rule.name, *rule.aliases}
    words = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    written = list(re.finditer(rf"(?<!\w)(?:{words})_?(?!\w)", text))
    called = [match for match in written if text[match.end() :].lstrip().startswith("(")]
    found = [match.span() for match in called or written]
    if not found and rule is not None and isinstance(python := rule.operation.python, Infix):
        symbol = rf"(?<![<>=!/*|&^-]){re.escape(python.symbol)}(?![<>=/*|&^])"
        found = [match.span() for match in re.finditer(symbol, text)]
    yield from found
