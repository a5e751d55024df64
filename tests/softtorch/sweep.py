"""What the sweep list is made of: an operator with inputs to call it on, in one method and mode.

The list itself is in sweep_table.py, what is done with an entry of it in transforms.py. To add an operator, add its
line to the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

import softtorch
from softtorch.checks import NEEDS
from softtorch.errors import SoftTorchError
from softtorch.methods import METHODS
from softtorch.modes import MODES

KINDS = ("plain", "ties", "large", "small", "infinite")


@dataclass(frozen=True)
class Operator:
    """One operator. `call(function, *inputs, **options)` works along the last axis of its inputs.

    A letter of `roles` says what each input is, for a batch (...) and n entries:
    x, y: real numbers (..., n), only x with infinities; p: probabilities (..., n); i: two soft indices (..., 2, [n]);
    s: one soft index ([n]); v: real numbers (..., 2); w: a matrix (n, 3); b: boundaries (3,);
    g: weights of the sixteen gates (..., n, [16]).
    """

    name: str
    call: Callable[..., Any]
    roles: str = "x"
    needs: str | None = None
    """what it asks of a method, a key of NEEDS; None for an operator without methods"""
    takes: tuple[str, ...] = ("softness", "mode")
    modes: tuple[str, ...] = tuple(MODES)
    """the modes that it is defined in"""
    whole: bool = False
    """whether it takes all of its input as one, so that a batch is not a batch of results"""
    scalar: bool = True
    """whether torch allows a 0-dim input"""
    hard_slope: bool = True
    """whether mode="hard" has a derivative, torch's own"""
    floor: float = 0.0
    """how far the entries have to stay from 0, for what divides by them"""
    domain: float = torch.inf
    """how far they may be from 0, for functions that are defined on an interval"""
    random: bool = False
    """whether it draws random numbers: seeded before each call, and other ones in float32 than in float64"""
    continuity: float = torch.inf
    """how often it can be differentiated, unless its mode says less; mode smooth says always"""
    by_row: str = "entry"
    """what may have a softness of its own: each "entry", each "row", or "none" """
    rounding: float = 1e-9
    """what float64 is off by after a few thousand operations, amplified by the softness"""
    float32_error: float = 1e-5
    """what rounding to float32 does, relative to the largest entry"""

    def inputs(self, *shape: int, kind: str = "plain", seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs for rows of shape (..., n), or 0-dim ones; float64."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(self._bounded(_draw(role, shape, kind, generator)) for role in self.roles)

    def batched(self) -> tuple[int | None, ...]:
        """Which inputs have the batch's axes: 0 for those, else None."""
        return tuple(None if role in "swb" else 0 for role in self.roles)

    def function(self, straight: bool = False) -> Callable[..., Any]:
        """The public function, or its straight-through form. Further words of the name tell options apart."""
        function: Callable[..., Any] = getattr(softtorch, self.name.split()[0] + ("_st" if straight else ""))
        return function

    def shape(self, *shape: int) -> tuple[int, ...]:
        """A shape (..., n) without the batch where it is taken for one input."""
        return shape[-1:] if self.whole else shape

    @property
    def reference(self) -> torch.dtype:
        """The dtype to compare results of narrower ones with."""
        return torch.float32 if self.random else torch.float64

    def _bounded(self, x: Tensor) -> Tensor:
        x = x + self.floor * torch.where(x < 0, -1.0, 1.0)
        return x if self.domain == torch.inf else self.domain * torch.tanh(x)


def _draw(role: str, shape: tuple[int, ...], kind: str, generator: torch.Generator) -> Tensor:
    batch, n = shape[:-1], (shape[-1] if shape else 1)

    def normal(*size: int) -> Tensor:
        return torch.randn(torch.Size(size), generator=generator, dtype=torch.float64)

    if role in "is":
        rows = normal(*batch, 2, n) if role == "i" else normal(n)
        if kind == "infinite" and n > 1:
            rows[..., 0] = -torch.inf  # what has no probability is not to be seen
        return rows.softmax(dim=-1)
    if role == "b":
        return torch.tensor([-1.1, 0.15, 0.9], dtype=torch.float64)
    if role == "g":
        return normal(*shape, 16).softmax(dim=-1)
    size = {"w": (n, 3), "v": (*batch, 2)}.get(role, shape)
    x = normal(*size)
    if role == "p":
        p = torch.full_like(x, 0.5) if kind == "ties" else x.sigmoid()
        return _with_first(p, 0.0) if kind == "infinite" else p
    x = {"ties": torch.round(x), "large": x * 1e6, "small": x * 1e-6}.get(kind, x)
    if role == "x" and kind == "infinite":
        return _with_first(x, -torch.inf)
    return x


def _with_first(x: Tensor, value: float) -> Tensor:
    """x, (..., n) or 0-dim, with the first entry of every row replaced."""
    if x.ndim == 0:
        return torch.full_like(x, value)
    first = torch.arange(x.shape[-1]) == 0
    return torch.where(first, value, x)


@dataclass(frozen=True)
class Entry:
    """One operator in one method and mode; the method is "" for operators that have none, the mode likewise."""

    operator: Operator
    method: str
    mode: str
    straight: bool = False
    """whether it is the straight-through form that is called"""

    def __str__(self) -> str:
        return " ".join(part for part in (self.operator.name, self.method, self.mode) if part)

    def __call__(self, *inputs: Tensor, softness: Tensor | float = 0.3) -> tuple[Tensor, ...]:
        """Every tensor that the operator returns."""
        offered = {"softness": softness, "mode": self.mode, "method": self.method}
        options = {name: offered[name] for name in self.operator.takes}
        if self.operator.random and not torch.compiler.is_compiling():
            torch.manual_seed(11)
        result = self.operator.call(self.operator.function(self.straight), *inputs, **options)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(each for each in results if each is not None)

    @cached_property
    def refusal(self) -> str | None:
        """Why the library refuses this combination whatever the input; None where it does not."""
        try:
            self(*self.operator.inputs(*self.operator.shape(2, 5)))
        except SoftTorchError as error:
            return str(error)
        return None

    @property
    def supported(self) -> bool:
        """Whether the tables of the library say that this combination works."""
        if not self.method or self.mode == "hard":
            return self.mode in ("", *self.operator.modes)
        method = METHODS[self.method]
        return self.mode in method.modes and bool(getattr(method, NEEDS[self.operator.needs or ""][0]))

    @property
    def continuity(self) -> float:
        """How often the curves of the mode can be differentiated continuously."""
        curves = MODES[self.mode].continuity if self.mode else torch.inf
        return curves if self.mode and curves == torch.inf else min(curves, self.operator.continuity)

    @property
    def differentiable(self) -> bool:
        """Whether there is a derivative to look at: mode "hard" has one for values alone."""
        return self.mode != "hard" or self.operator.hard_slope
