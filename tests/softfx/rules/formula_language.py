"""The little language of the formulas in `softfx explain`, evaluated in float64.

A formula is cases joined by "; ", each with a label and clauses joined by ", ": an expression (the result), a
definition `u_j = ...`, a named result `values ...`, or prose. Letters i, j, k, l and m after an underscore are
indices from 1 on; each has an axis of its own, elements of an elementwise operation have another. `relu soft` says
that relu stands for its own formula. To let formulas say more, add a node to `_Parser` and `Evaluation`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy
import torch
from torch import Tensor

Node = tuple[Any, ...]

AXES = {letter: axis for axis, letter in enumerate("ijkl", 1)}  # axis 0 is for elements
_NAMES = {
    *"xysnabcdhpqwegijklmuvP", "low", "high", "min_val", "max_val", "value", "threshold", "lambd", "atol", "rtol",
    "epsilon",
    "mean", "var", "sigma", "sigmoid", "log", "sqrt", "max", "min", "sum", "prod", "softmax",
}  # fmt: skip
# The functions that may be called soft, with the names of their operands in their own formulas.
OPERANDS = {
    "abs": "x", "relu": "x", "clamp": "x low high", "round": "x", "floor": "x", "trunc": "x", "eq": "x y", "ne": "x y",
    "lt": "x y", "maximum": "x y", "minimum": "x y", "hardsigmoid": "x",
}  # fmt: skip
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)|(?P<name>[A-Za-z]+(?:_[a-z]{3,})?)"
    r"(?:_(?P<letters>[ijklm]{1,2})(?![a-z])|_\((?P<shift>[^()]*)\))?(?P<call>\(?)|(?P<sign>[-+/^|(),]))"
)


class NotAFormula(Exception):
    """The clause is prose."""


@dataclass(frozen=True)
class Case:
    """One labelled part of a formula: its results by name, its definitions by symbol, and the prose in it."""

    label: str
    results: dict[str, Node] = field(default_factory=dict)
    definitions: dict[str, tuple[str, Node]] = field(default_factory=dict)
    prose: list[str] = field(default_factory=list)


def parse(formula: str) -> list[Case]:
    """The cases of a formula, in order."""
    return [_case(text) for text in formula.split("; ")]


def _case(text: str) -> Case:
    label, colon, body = text.partition(": ")
    case = Case(label if colon else "")
    for clause in re.split(r", (?![^()]*\))", body if colon else text):
        try:
            _read(case, clause)
        except NotAFormula:
            case.prose.append(clause)
    return case


def _read(case: Case, clause: str) -> None:
    """Add a result or a definition to the case; the first definition is a result too where it comes first."""
    if found := re.fullmatch(r"(\w+?)(?:_([ijklm]{1,2}))? = (.*)", clause):
        name, letters, text = found[1], found[2] or "", found[3]
        case.definitions[name] = (letters, _Parser(text).whole())
        if not case.results and not case.prose:
            case.results[""] = ("name", name, tuple(("name", letter, ()) for letter in letters))
        return
    if found := re.fullmatch(r"(.*) times the integral of sigma up to (.*)", clause):
        case.results[""] = ("integral", _Parser(found[1]).whole(), _Parser(found[2]).whole())
        return
    found = re.fullmatch(r"(?:(values|indices|inverse|the derivative of) )?(.*)", clause)
    assert found is not None  # anything matches
    case.results[found[1] or ""] = _Parser(found[2]).whole()


class _Parser:
    """expression = term (+ or - term)*; term = factor (factor or / factor)*; factor = -factor or atom (^ atom)?."""

    def __init__(self, text: str) -> None:
        self.tokens: list[re.Match[str]] = []
        place = 0
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None or (token["name"] and token["name"] not in _NAMES | OPERANDS.keys()):
                raise NotAFormula(text)
            self.tokens.append(token)
            place = token.end()
        self.at, self.inside_bars = 0, False

    def whole(self) -> Node:
        node = self.expression()
        if self.at < len(self.tokens):
            raise NotAFormula
        return node

    def sign(self, *signs: str) -> str | None:
        """The next token, taken, if it is one of these signs."""
        if self.at < len(self.tokens) and self.tokens[self.at]["sign"] in signs:
            self.at += 1
            return self.tokens[self.at - 1]["sign"]
        return None

    def needed(self, sign: str) -> None:
        if self.sign(sign) is None:
            raise NotAFormula

    def expression(self) -> Node:
        node = self.term()
        while sign := self.sign("+", "-"):
            node = (sign, node, self.term())
        return node

    def term(self) -> Node:
        node = self.factor()
        while self.starts() or self.sign("/"):
            sign = "/" if self.tokens[self.at - 1]["sign"] == "/" else "*"
            node = (sign, node, self.factor())
        return node

    def product(self) -> Node:
        node = self.factor()
        while self.starts():
            node = ("*", node, self.factor())
        return node

    def starts(self) -> bool:
        """Return True if the next token begins another factor."""
        if self.at >= len(self.tokens):
            return False
        token = self.tokens[self.at]
        return token["sign"] is None or token["sign"] == "(" or (token["sign"] == "|" and not self.inside_bars)

    def factor(self) -> Node:
        if self.sign("-"):
            return ("neg", self.factor())
        node = self.atom()
        return ("^", node, self.atom()) if self.sign("^") else node

    def atom(self) -> Node:
        if self.sign("("):
            bars, self.inside_bars = self.inside_bars, False
            node = self.expression()
            self.needed(")")
            self.inside_bars = bars
            return node
        if not self.inside_bars and self.sign("|"):
            self.inside_bars = True
            node = self.expression()
            self.needed("|")
            self.inside_bars = False
            return ("abs", node)
        if self.at >= len(self.tokens) or self.tokens[self.at]["sign"]:
            raise NotAFormula
        token = self.tokens[self.at]
        self.at += 1
        if token["number"]:
            return ("number", float(token["number"]))
        return self.named(token)

    def named(self, token: re.Match[str]) -> Node:
        name, letters, shift = token["name"], token["letters"], token["shift"]
        if name in ("sum", "prod"):
            return (name, letters, self.product() if not token["call"] else self.arguments()[0])
        if name == "softmax":
            return ("softmax", letters or (shift or "")[:1], shift is not None, self.arguments()[0])
        if token["call"]:
            return ("call", name, self.arguments())
        if shift is not None:
            return ("name", name, (_Parser(shift).whole(),))
        return ("name", name, tuple(("name", letter, ()) for letter in letters or ""))

    def arguments(self) -> list[Node]:
        bars, self.inside_bars = self.inside_bars, False
        found = [self.expression()]
        while self.sign(","):
            found.append(self.expression())
        self.needed(")")
        self.inside_bars = bars
        return found


def on_axis(values: Tensor, axis: int) -> Tensor:
    """Numbers (n) as a tensor with one axis for elements and one for each index letter."""
    shape = [1] * (1 + len(AXES))
    shape[axis] = -1
    return values.double().reshape(shape)


@dataclass(frozen=True)
class Evaluation:
    """The values of the symbols in a formula, and the formulas of the functions that are called soft.

    sigma, project: the step of the mode and its projection onto distributions, along the last dim. values: numbers and
    elements. sequences: x_1 .. x_n, with the index of the first. indices: the
    values of a letter.
    """

    formulas: Mapping[str, str]
    sigma: Callable[[Tensor], Tensor]
    project: Callable[[Tensor], Tensor]
    values: Mapping[str, Tensor | float]
    sequences: Mapping[str, tuple[Tensor, int]] = field(default_factory=dict)
    indices: Mapping[str, Tensor] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()

    def results(self, formula: str, label: str | None = None) -> dict[str, Tensor]:
        """The results of the case with this label (of the first one by default), without axes of size 1."""
        cases = parse(formula)
        chosen = cases[0] if label is None else next(case for case in cases if case.label == label)
        inner = replace(self, cases=(chosen, *cases))
        return {name: inner.bounded(node).squeeze() for name, node in chosen.results.items()}

    def bounded(self, node: Node) -> Tensor:
        """The value of a result of the first case."""
        value = self.value(node)
        return value.clamp(max=1.0) if "at most 1" in self.cases[0].prose else value

    def value(self, node: Node) -> Tensor:
        return getattr(self, f"_{_METHODS.get(node[0], node[0])}")(*node[1:])

    def _number(self, number: float) -> Tensor:
        return torch.tensor(number, dtype=torch.float64)

    def _plus(self, x: Node, y: Node) -> Tensor:
        return self.value(x) + self.value(y)

    def _minus(self, x: Node, y: Node) -> Tensor:
        return self.value(x) - self.value(y)

    def _times(self, x: Node, y: Node) -> Tensor:
        return self.value(x) * self.value(y)

    def _over(self, x: Node, y: Node) -> Tensor:
        return self.value(x) / self.value(y)

    def _power(self, x: Node, y: Node) -> Tensor:
        return self.value(x) ** self.value(y)

    def _neg(self, x: Node) -> Tensor:
        return -self.value(x)

    def _abs(self, x: Node) -> Tensor:
        return self._soft("abs", [x]) if self._is_soft("|.|") else self.value(x).abs()

    def _is_soft(self, name: str) -> bool:
        return any(f"{name} soft" in case.prose for case in self.cases)

    def _soft(self, name: str, arguments: list[Node]) -> Tensor:
        operands = dict(zip(OPERANDS[name].split(), map(self.value, arguments), strict=True))
        inner = replace(self, values={**self.values, **operands}, cases=tuple(parse(self.formulas[name])))
        return inner.bounded(inner.cases[0].results[""])

    def _call(self, name: str, arguments: list[Node]) -> Tensor:
        if self._is_soft(name):
            return self._soft(name, arguments)
        if name in ("mean", "var"):  # of a whole sequence
            x = self.sequences[arguments[0][1]][0].double()
            return x.mean() if name == "mean" else (x - x.mean()).square().mean()
        functions = {"sigma": self.sigma, "sigmoid": torch.sigmoid, "log": torch.log, "sqrt": torch.sqrt}
        functions |= {"max": torch.maximum, "min": torch.minimum}
        return functions[name](*map(self.value, arguments))

    def _name(self, name: str, subscripts: tuple[Node, ...]) -> Tensor:
        definitions = [case.definitions[name] for case in self.cases if name in case.definitions]
        if definitions:
            letters, node = definitions[0]
            found = dict(zip(letters, map(self.value, subscripts), strict=True))
            return replace(self, indices={**self.indices, **found}).value(node)
        if subscripts:
            numbers, first = self.sequences[name]
            return numbers.double()[self.value(subscripts[0]).long() - first]
        if name == "e":
            return self._number(math.e)
        if name in self.values:
            return torch.as_tensor(self.values[name], dtype=torch.float64)
        return self.indices[name] if name in self.indices else self._range(name)

    def _range(self, letter: str) -> Tensor:
        return on_axis(torch.arange(1, int(self.values["n"]) + 1), AXES[letter])

    def _over_all(self, letter: str) -> tuple[int, Evaluation]:
        """The axis of a letter, and the symbols with all values of it."""
        whole = self.indices.get(letter)
        whole = whole if whole is not None and whole.numel() > 1 else self._range(letter)
        return AXES[letter], replace(self, indices={**self.indices, letter: whole})

    def _sum(self, letter: str, body: Node) -> Tensor:
        axis, inner = self._over_all(letter)
        return inner.value(body).sum(axis, keepdim=True)

    def _prod(self, letter: str, body: Node) -> Tensor:
        axis, inner = self._over_all(letter)
        return inner.value(body).prod(axis, keepdim=True)

    def _softmax(self, letter: str, up_to_i: bool, body: Node) -> Tensor:
        axis, inner = self._over_all(letter)
        scores = inner.value(body)
        if up_to_i:
            scores = torch.where(inner.value(("name", letter, ())) <= self._name("i", ()), scores, -torch.inf)
        return self.project(scores.movedim(axis, -1)).movedim(-1, axis)

    def _integral(self, factor: Node, bound: Node) -> Tensor:
        """By Gauss and Legendre on panels that end at the corners of the piecewise polynomials."""
        ends = self.value(bound)
        nodes, weights = (torch.from_numpy(part) for part in numpy.polynomial.legendre.leggauss(20))
        total = torch.zeros_like(ends)
        for left in torch.arange(-60.0, 60.0, 1.0, dtype=torch.float64):
            width = (ends - left).clamp(0.0, 1.0)
            points = left + width.unsqueeze(-1) * (nodes + 1.0) / 2.0
            total = total + width / 2.0 * (self.sigma(points) * weights).sum(-1)
        return self.value(factor) * (total + (ends - 60.0).clamp(min=0.0))  # where sigma is 1


_METHODS = {"+": "plus", "-": "minus", "*": "times", "/": "over", "^": "power"}
