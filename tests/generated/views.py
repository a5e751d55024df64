"""Random programs of views, aliases and writes in place, each made by its seed alone.

A program makes tensors that carry a decision or none, looks at them through views and views of views, and writes
through any of them; all of its tensors are its result, so that a write which one of them misses is seen. A new kind of
view or write is a line among the templates. Placeholders: {f} a float tensor, {g} another, {b} a tensor of bools, {c}
another, {i} one of integers, {x} an input, {v} the variable that is made.
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.generated.programs import Program

__all__ = ["by_hand", "make", "make_linear"]

# Each with the same by softtorch's own straight-through, where one is compared with it.
ORIGINS = {
    "{x}.round()": "straight_through({x}.round(), softtorch.round({x}))",
    "{x}.ceil() * 1": "straight_through({x}.ceil(), softtorch.ceil({x})) * 1",
    "torch.floor({x}) + 0.5": "straight_through({x}.floor(), softtorch.floor({x})) + 0.5",
    "{x}.sign()": "straight_through({x}.sign(), softtorch.sign({x}))",
    "{x} * 1": "{x} * 1",
    "{x}.sin()": "{x}.sin()",
    "torch.zeros_like({x})": "torch.zeros_like({x})",
}
FURTHER_ORIGINS = """
({x} > 0.2).to({x}.dtype)
torch.zeros_like({x}).scatter_(-1, {x}.argmax(-1, keepdim=True), 1.0)
{x}.sort(-1).values
{x}.trunc().t()
torch.where({x} > 0, {x}, 0.5)
({x} > 0).to({x}.dtype) * 0.5 - 0.25
{x}.detach().clone()
torch.ones(3, 4, dtype={x}.dtype)
{x}.round()[:, :1]
{x}.round().unsqueeze(0)
{x} > 0.1
{x} <= {x}.mean()
({x} > 0) & ({x} < 1)
torch.zeros(3, 4, dtype=torch.bool)
{x}.argsort(-1)
({x} > 0).long()
{x}.round().long().clamp(0, 3)
torch.arange(12).view(3, 4) % 4
""".strip().splitlines()

VIEWS = """
{a}.transpose(0, -1)
{a}.view(-1)
{a}.reshape(-1)
{a}.reshape(2, -1)
{a}[0]
{a}[-1]
{a}[{x}[0].argmax() % {a}.shape[0]]
{a}[..., {x}[:, 0].argmin() % {a}.shape[-1]]
{a}[({x} > 0).sum() % {a}.shape[0], 1:]
{a}[..., 0]
{a}[..., :2]
{a}[1:]
{a}[..., ::2]
{a}[None]
{a}[:, 1:, None]
{a}.select(-1, 1)
{a}.narrow(-1, 0, 2)
{a}.diagonal()
{a}.unfold(-1, 2, 2)
{a}.squeeze()
{a}.squeeze(-1)
{a}.unsqueeze(0)
{a}.chunk(2, -1)[0]
{a}.split(1)[-1]
{a}.unbind(0)[0]
{a}.unbind(-1)[1]
torch.tensor_split({a}, 2, -1)[1]
{a}.T
{a}.mT
{a}.flatten()
{a}.ravel()
{a}.unflatten(-1, (2, -1))
{a}.permute(*range({a}.dim())[::-1])
{a}.movedim(0, -1)
{a}.swapaxes(0, 1)
{a}.view_as({a})
{a}.contiguous()
{a}.real
{a}.to({a}.dtype)
{a}.expand(2, *{a}.shape)
{a}.expand_as({a})
{a}.hsplit(2)[0]
{a}.vsplit({a}.shape[0])[0]
{a}.as_strided((2, 2), (2, 1))
torch.atleast_2d({a})
{a}.adjoint()
{a}.alias() if hasattr({a}, "alias") else {a}.view({a}.shape)
{a}.detach()
{a}.data
""".strip().splitlines()
LINEAR_VIEWS = [view for view in VIEWS if not any(part in view for part in ("detach", "data", "{x}"))]

LINEAR_WRITES = """
{f}.mul_(1.25)
{f}.mul_(-0.5)
{f}.add_(0.5)
{f}.neg_()
{f}.zero_()
{f}.fill_(0.75)
{f}.add_({g})
{f}.sub_({g}, alpha=2)
{f}.copy_({g})
{f} += 1.5
{f} -= {g}
{f} *= 3
{f} /= 4
{f}[0] = 1.5
{f}[..., 0] = {g}[..., 0]
{f}[..., 1:] *= 2
{f}[0] += {g}[0]
for row in {f}:\n    row.mul_(0.5)
"""
WRITES = """
{f}.clamp_(-0.5, 0.75)
{f}.round_()
{f}.relu_()
{f}.abs_()
{f}.sigmoid_()
{f}.mul_({g})
{f}.copy_({b})
{f}.copy_({i})
{f}.masked_fill_({b}, 0.3)
{f}.masked_fill_({f} > 0, 0.3)
{f}[{b}] = 0.5
{f}[{f} > 0.5] = 0.5
{f}[{b}] *= 2
{f}.index_fill_(0, torch.tensor([0]), 2.0)
{f}.index_add_(0, torch.tensor([0]), {g}[:1])
{f}.index_copy_(0, torch.tensor([0]), {g}[1:2])
{f}.scatter_(-1, {i}, 0.25)
{f}.scatter_add_(-1, {i}, {g})
{f}[{i}[0]] = 1.0
{f}[{g}.argmax() % {f}.shape[0]] = 1.0
{f}[{g}.argmax() % {f}.shape[0]] += 0.5
{f}[..., {g}.argmax() % {f}.shape[-1]].mul_(2)
{f}.expand(2, *{f}.shape).index_fill_(0, torch.tensor([0]), 2.0)
{f}.addcmul_({g}, {g}, value=0.5)
{f}.lerp_({g}, 0.25)
{f}.fill_diagonal_(0.5)
{f}.tril_()
{f}.unsqueeze_(0)
{f}.squeeze_()
{f}.transpose_(0, -1)
{f}.t_()
{f}.swapaxes_(0, 1)
{b}.logical_not_()
{b}.fill_(True)
{b}.zero_()
{b}.copy_({c})
{b}.copy_({g} > 0)
{b} &= {c}
{b} |= {g} > 0.4
{b}[0] = {c}[0]
{b}[..., 0] = True
{b}.masked_fill_({c}, False)
{b}.unsqueeze_(0)
{i}.add_(1)
{i}.clamp_(0, 2)
{i}.fill_(1)
{i}.copy_({i}.flip(-1))
{i}[..., 0] = 0
{i}[{b}] = 2
{i}.mul_({b})
for row in {f}:\n    row /= row.sum() + 3
for part in {f}.split(1, -1):\n    part.add_(0.25)
with torch.no_grad():\n    {f}.mul_(1.5)
with torch.no_grad():\n    {f}[0].copy_({g}[0])
torch.round({g}.detach(), out={f})
torch.add(({g} > 0).to({g}.dtype), 1, out={f})
torch.gt({g}.detach(), 0, out={b})
torch.mul({b}, 2.0, out={f})
{f}.detach().mul_(2)
{f}.requires_grad_(False) if not {f}.requires_grad else None
"""
READS = """
{f} * {g}
{f} * 0.5 + {g}
{f}.sum()
{f} + 1
torch.where({b}, {f}, {g})
{g} * {b}
{f}.mean(-1)
{f}.clone()
{f} > 0
{f} > {g}
{b} & {c}
{b}.to(torch.float32)
{b}.sum(-1) * {g}.mean()
{f}.gather(-1, {i})
{i} + 1
{i} * {b}
{f}.cumsum(-1)
torch.cat([{f}, {g}])
torch.stack([{f}, {f}])
""".strip().splitlines()

_PLACEHOLDER = re.compile(r"\{(\w)\}")


def _blocks(text: str) -> list[str]:
    """Statements of one line or more."""
    found: list[str] = []
    for line in text.strip().splitlines():
        if line.startswith("    "):
            found[-1] += "\n" + line
        else:
            found.append(line)
    return found


def make(seed: int) -> Program:
    """The program of a seed."""
    return _Maker(
        seed, [*ORIGINS, *FURTHER_ORIGINS], VIEWS, [*_blocks(LINEAR_WRITES), *_blocks(WRITES)], READS
    ).program()


def make_linear(seed: int) -> Program:
    """A program in which what is decided is not decided upon, nor multiplied: its gradient can be written by hand."""
    return _Maker(
        seed, list(ORIGINS), LINEAR_VIEWS, _blocks(LINEAR_WRITES), ["{f} * 0.5 + {g}", "{f}.clone()"]
    ).program()


def by_hand(program: Program) -> Program:
    """A linear program with each rounding replaced by softtorch's straight-through form of it."""
    replaced = []
    for statement in program.statements:
        for origin, hand in ORIGINS.items():
            for name, _ in program.inputs:
                if statement.endswith(" = " + origin.replace("{x}", name)):
                    statement = statement.split(" = ")[0] + " = " + hand.replace("{x}", name)
                    break
        replaced.append(statement)
    imports = ("import softtorch", "from softtorch import straight_through")
    return Program(program.seed, program.inputs, (*imports, *replaced), program.result)


class _Maker:
    """One program while it is made."""

    def __init__(self, seed: int, origins: list[str], views: list[str], writes: list[str], reads: list[str]) -> None:
        self._seed = seed
        self._random = random.Random(seed)
        self._templates = {"origin": origins, "view": views, "write": writes, "read": reads}
        dtype = self._random.choice(["torch.float32"] * 4 + ["torch.float64"])
        made = f"(torch.randn((3, 4), generator=g, dtype=torch.float64) * 1.5).to({dtype})"
        layouts = [made] * 3 + [f"torch.stack([{made}] * 2, -1)[..., 0]", f"{made}.mT.contiguous().mT"]
        self._inputs = tuple((f"x{n}", self._random.choice(layouts)) for n in range(self._random.choice([1, 2, 2])))
        self._statements: list[str] = []
        self._values: dict[str, Tensor] = {}
        self._namespace: dict[str, Any] = {}

    def program(self) -> Program:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            self._start()
            wanted, tries = self._random.randint(3, 9), 0
            self._add("origin")
            while len(self._statements) < wanted and tries < 80:
                tries += 1
                self._add(self._random.choices(["origin", "view", "write", "read"], [2, 5, 5, 2])[0])
        names = [name for name in self._values if name[0] == "v"]
        return Program(self._seed, self._inputs, tuple(self._statements), f"({', '.join(names)},)")

    def _start(self) -> None:
        exec(compile(Program(self._seed, self._inputs, (), "None").source, "<generated>", "exec"), self._namespace)
        self._values = self._fresh()

    def _fresh(self) -> dict[str, Tensor]:
        made = zip(self._inputs, self._namespace["make_inputs"](), strict=True)
        return {name: value.requires_grad_() for (name, _), value in made}

    def _add(self, kind: str) -> None:
        text = self._filled(self._random.choice(self._templates[kind]))
        if text is None:
            return
        name = f"v{len(self._statements)}"
        statement = text if kind == "write" else f"{name} = {text}"
        values = self._run((*self._statements, statement))
        if values is None or sum(value.numel() for value in values.values()) > 2000:
            return
        self._statements.append(statement)
        self._values = values

    def _run(self, statements: Sequence[str]) -> dict[str, Tensor] | None:
        """The variables after these statements; None if torch refuses one, or a derivative of the result."""
        names: dict[str, Any] = {**self._namespace, **self._fresh()}
        inputs = [name for name, _ in self._inputs]
        try:
            exec("\n".join(statements), names)
            values = {key: value for key, value in names.items() if isinstance(value, Tensor) and key[0] in "xv"}
            loss = [value.sum() for key, value in values.items() if value.requires_grad and key[0] == "v"]
            if loss:
                torch.autograd.grad(sum(loss[1:], loss[0]), [names[name] for name in inputs], allow_unused=True)
        except Exception:  # torch refuses it
            return None
        return values

    def _filled(self, template: str) -> str | None:
        chosen: dict[str, str] = {}
        for letter in dict.fromkeys(_PLACEHOLDER.findall(template)):
            names = [name for name, value in self._values.items() if _fits(letter, name, value)]
            if not names:
                return None
            chosen[letter] = self._random.choice(names)
        return _PLACEHOLDER.sub(lambda match: chosen[match[1]], template)


def _fits(letter: str, name: str, value: Tensor) -> bool:
    if letter == "x":
        return name[0] == "x"
    if letter == "g":
        return value.is_floating_point()
    if name[0] == "x":  # no program may write its inputs: they are leaves
        return False
    if letter in "bc":
        return value.dtype is torch.bool
    if letter == "i":
        return value.dtype is torch.int64
    return letter == "a" or value.is_floating_point()
