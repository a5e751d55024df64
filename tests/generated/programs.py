"""Random small torch programs as Python text, each made by its seed alone.

A program is a list of statements over a few random inputs, put together from the templates of elementwise.py,
axiswise.py and statements.py. While it is made, each statement is run once: one that torch refuses is thrown away, so
programs are accepted by torch and mean nothing. A new kind of operation is a line among the templates.
"""

from __future__ import annotations

import random
import re
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.generated import axiswise, elementwise, statements

__all__ = ["Program", "make"]

PRELUDE = '''import torch
import torch.nn as nn
import torch.nn.functional as F


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return (x * 2).round()

    @staticmethod
    def backward(ctx, g):
        return g * 2


class Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.sign(x) * (x.abs() > 0.3)

    @staticmethod
    def backward(ctx, g):
        return g.clamp(-1, 1)


def helper(a, b=0.5):
    return torch.where(a > b, a, a * 0.1)


def spoiled(x):
    """Some entries are no ordinary numbers."""
    x = x.clone()
    y = x.reshape(-1)
    for k, value in enumerate([float("nan"), -0.0, float("inf"), float("-inf"), 0.0]):
        if k * 3 < y.numel():
            y[k * 3] = value
    return y.reshape(x.shape)


'''

MODULE = """class Target(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.w = nn.Parameter(torch.randn(4))
        self.w2 = nn.Parameter(torch.randn(4, 4))
        self.thr = nn.Parameter(torch.tensor(0.1))
        self.register_buffer("buf", torch.tensor(0.2))
        self.lin = nn.Linear(4, 4)
        self.act = nn.ReLU()
        self.norm = nn.LayerNorm(4)
        self.drop = nn.Dropout(0.3)
        self.emb = nn.Embedding(8, 4)
        self.pool = nn.MaxPool1d(2)
        self.bn = nn.BatchNorm1d(4)
        self.seq = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Hardtanh())
        self.calls = 0
        self.last = None

    def forward(self, {names}):
"""

# How often a statement is made of each kind of template.
_EXPRESSIONS = (
    (elementwise.ARITHMETIC, 5), (elementwise.STAIRCASES, 4), (elementwise.KINKS, 3), (elementwise.COMPARISONS, 5),
    (elementwise.LOGIC, 4), (axiswise.SELECTIONS, 5), (axiswise.ORDERING, 5), (axiswise.REDUCTIONS, 4),
)  # fmt: skip
_STATEMENTS = ((statements.WRITES, 4), (statements.BLOCKS, 5))
_OF_MODULES = ((statements.LAYERS, 5),)
_STATE_OF_MODULES = ((statements.MODULE_STATE, 2),)

_MOST_ELEMENTS = 400
# Integers beyond it may become a size: of one_hot, of bincount, of a repetition.
_LARGEST_INTEGER = 100
_PLACEHOLDER = re.compile(r"\{(\w)\}")


@dataclass(frozen=True)
class Program:
    """A program as text.

    inputs: names of the inputs, and the expression that makes each of a generator `g`.
    statements: the body, a statement or a block each.
    result: the expression that is returned.
    is_module: it is the forward of a module, and a function otherwise.
    is_special: some of its inputs hold NaN and infinities.
    """

    seed: int
    inputs: tuple[tuple[str, str], ...]
    statements: tuple[str, ...]
    result: str
    is_module: bool = False
    is_special: bool = False

    @property
    def source(self) -> str:
        """A Python module with `Target` or `target`, and `make_inputs()`."""
        names = ", ".join(name for name, _ in self.inputs)
        body = "\n".join((*self.statements, f"return {self.result}"))
        head, indent = (MODULE.replace("{names}", names), 8) if self.is_module else (f"def target({names}):\n", 4)
        made = "".join(f"    {name} = {expression}\n" for name, expression in self.inputs)
        generator = f"    g = torch.Generator().manual_seed({self.seed})\n"
        inputs = f"\n\n\ndef make_inputs():\n{generator}{made}    return ({names},)\n"
        return PRELUDE + head + textwrap.indent(body, " " * indent) + inputs


def make(seed: int) -> Program:
    """The program of a seed: one to eight statements that torch accepts, and results that depend on some of them."""
    return _Maker(seed).program()


class _Maker:
    """One program while it is made: what was decided so far, and the values of all variables."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random(seed)
        self._is_module = self._random.random() < 0.3
        self._is_special = self._random.random() < 0.12
        self._inputs = self._make_inputs()
        self._statements: list[str] = []
        self._namespace: dict[str, Any] = {}
        self._values: dict[str, Tensor] = {}

    def program(self) -> Program:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            self._start()
            wanted, tries = self._random.choice([1, 2, 2, 3, 3, 4, 5, 6, 8]), 0
            while len(self._statements) < wanted and tries < 60:
                tries += 1
                self._add_statement()
        body = tuple(self._statements)
        return Program(self._seed, self._inputs, body, self._result(), self._is_module, self._is_special)

    def _make_inputs(self) -> tuple[tuple[str, str], ...]:
        chance = self._random
        base, on_halves = "(3, 4)", chance.random() < 0.15
        shapes = [base] * 6 + ["(4,)", "(4,)", "(3, 2, 4)", "()", "(4, 4)", "(3, 1)"]
        if chance.random() < 0.04:
            shapes = ["(0, 4)", "(3, 0)", "(0,)", "(1, 1)"]
        dtypes = ["torch.float32"] * 8 + ["torch.float64"] * 4 + ["torch.bfloat16", "torch.float16"]
        main = "torch.float32" if self._is_module else chance.choice(dtypes)
        inputs = []
        for number in range(chance.choice([1, 2, 2, 3])):
            shape = base if number == 0 and chance.random() < 0.8 else chance.choice(shapes)
            dtype = main if chance.random() < 0.9 else chance.choice(dtypes[6:])
            inputs.append((f"x{number}", self._float_input(shape, dtype, on_halves)))
        if chance.random() < 0.5:
            shape = chance.choice(["(3,)", base, "(4,)", "(2,)", "(3, 1)", "()"])
            inputs.append(("n0", f"torch.randint(0, {chance.choice([2, 3, 3, 4])}, {shape}, generator=g)"))
        if chance.random() < 0.4:
            shape = chance.choice([base, base, "(4,)", "(3,)", "(3, 1)"])
            inputs.append(("b0", f"torch.rand({shape}, generator=g) > 0.5"))
        return tuple(inputs)

    def _float_input(self, shape: str, dtype: str, on_halves: bool) -> str:
        made = f"torch.randn({shape}, generator=g, dtype=torch.float64)"
        if on_halves:  # many ties
            made = f"(({made} * 2).round() / 2)"
        made = f"{made}.to({dtype})"
        layout = self._random.random()
        if layout < 0.06 and shape.count(",") > 1:
            made = f"{made}.mT.contiguous().mT"
        elif layout < 0.12:
            made = f"torch.stack([{made}] * 2, -1)[..., 0]"
        if self._is_special and self._random.random() < 0.6:
            made = f"spoiled({made})"
        return made

    def _start(self) -> None:
        """Give every input its value, and a module its `self`."""
        empty = Program(self._seed, self._inputs, (), "None", self._is_module)
        exec(compile(empty.source, "<generated>", "exec"), self._namespace)
        if self._is_module:
            self._namespace["self"] = self._namespace["Target"]()
        for (name, _), value in zip(self._inputs, self._namespace["make_inputs"](), strict=True):
            self._values[name] = value.requires_grad_() if value.is_floating_point() else value

    def _add_statement(self) -> None:
        kinds = _EXPRESSIONS + _STATEMENTS + ((_OF_MODULES + _STATE_OF_MODULES) if self._is_module else ())
        templates, _ = self._random.choices(kinds, [weight for _, weight in kinds])[0]
        variable = f"v{len(self._statements)}"
        text = self._filled(self._random.choice(list(templates)), variable)
        if text is None:
            return
        if all(templates is not kind for kind, _ in _STATEMENTS + _STATE_OF_MODULES):
            text = f"{variable} = {text}"
        names = {**self._namespace, **self._values}
        try:
            exec(text, names)
        except Exception:  # torch refuses it
            return
        value = names.get(variable)
        if isinstance(value, Tensor) and value.numel() > 1.5 * _MOST_ELEMENTS:
            return
        self._statements.append(text)
        if isinstance(value, Tensor):
            self._values[variable] = value
        if isinstance(value, tuple | list) and 0 < len(value) <= 6 and all(isinstance(item, Tensor) for item in value):
            items = [f"{variable}_{number}" for number in range(len(value))]
            self._statements.append(f"{', '.join(items)}{',' if len(items) == 1 else ''} = {variable}")
            self._values |= dict(zip(items, value, strict=True))

    def _filled(self, template: str, variable: str) -> str | None:
        """A template with its placeholders filled, or None where there is no value for one of them."""
        found, first = {"v": variable}, None
        for placeholder in _PLACEHOLDER.findall(template):
            if placeholder not in found:
                text = self._argument(placeholder, first)
                if text is None:
                    return None
                found[placeholder] = text
                first = self._values.get(text) if first is None else first
        return _PLACEHOLDER.sub(lambda match: found[match[1]], template)

    def _argument(self, placeholder: str, first: Tensor | None) -> str | None:
        chance = self._random
        if placeholder in "fgh":
            return self._pick("float", first)
        if placeholder in "ij":
            near = first if chance.random() < 0.6 else None
            constants = ["torch.tensor([0, 1])", "torch.arange(2)", "torch.tensor([0, 1, 1])", "torch.tensor(1)"]
            return self._pick("integer", near) or (None if first is None else chance.choice(constants))
        if placeholder in "bc":
            compared = self._pick("float", first)
            made = None if compared is None else f"({compared} > {chance.choice(['0', '0.2', '-0.3'])})"
            return self._pick("bool", first) or made
        if placeholder == "m":
            matrices = [name for name, value in self._values.items() if _kind(value) == "float" and value.dim() == 2]
            return chance.choice(matrices) if matrices else None
        if placeholder == "d":
            dimensions = max(1, 1 if first is None else first.dim())
            return str(chance.choice([-1, -1, -1, 0, 0, chance.randrange(-dimensions, dimensions)]))
        return chance.choice({"k": ["0", "1", "1", "2"], "s": ["0.5", "0.3", "-0.7", "1.2", "0"]}[placeholder])

    def _pick(self, kind: str, like: Tensor | None) -> str | None:
        """A variable of a kind: one like `like` for preference, then a late one."""
        names = [name for name, value in self._values.items() if _kind(value) == kind and _is_handy(value)]
        if not names:
            return None
        if like is not None and self._random.random() < 0.75:
            shaped = [name for name in names if self._values[name].shape == like.shape]
            alike = [name for name in shaped if kind != "float" or self._values[name].dtype == like.dtype]
            if alike:
                return self._random.choice(alike)
        if self._random.random() < 0.5:
            return names[-1 - min(len(names) - 1, int(self._random.expovariate(0.8)))]
        return self._random.choice(names)

    def _result(self) -> str:
        chance, given = self._random, {name for name, _ in self._inputs}
        made = [name for name in self._values if name not in given] or list(self._values)
        chosen = chance.choice([made[-3:], made, chance.sample(made, min(len(made), chance.choice([1, 2, 3])))])
        floats = [name for name in made if _kind(self._values[name]) == "float"]
        if floats and not any(name in floats for name in chosen):
            chosen = [*chosen, chance.choice(floats)]
        form = chance.random()
        if len(chosen) == 1 and form < 0.6:
            return chosen[0]
        if form < 0.75:
            return f"({', '.join(chosen)},)"
        if form < 0.9:
            return "{" + ", ".join(f'"{name}": {name}' for name in chosen) + "}"
        return f"[{', '.join(chosen)}, 3]"


def _kind(value: Tensor) -> str:
    kinds: Mapping[bool, str] = {value.dtype is torch.bool: "bool", value.is_floating_point(): "float"}
    return kinds.get(True, "complex" if value.is_complex() else "integer")


def _is_handy(value: Tensor) -> bool:
    """Return True for a value that is small, and no size if it is an integer."""
    if value.numel() > _MOST_ELEMENTS:
        return False
    whole = _kind(value) == "integer" and value.numel() > 0
    return not whole or int(value.abs().max()) <= _LARGEST_INTEGER
