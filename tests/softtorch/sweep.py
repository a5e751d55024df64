"""The sweep list: every operator in every method and mode, with inputs to call it on.

An operator here is one line of a table below: its name, how it is called on one row or on a batch of rows, and
the roles of its inputs. Methods and modes come from the library's own tables. What is done with an entry is in
transforms.py; to add an operator, add its line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

import softtorch
from softtorch.errors import SoftTorchError
from softtorch.methods import METHODS
from softtorch.modes import MODES
from softtorch.options import NEEDS

KINDS = ("plain", "ties", "large", "small", "infinite")


@dataclass(frozen=True)
class Operator:
    """One operator. `call(*inputs, **options)` works along the last axis of its inputs.

    A letter of `roles` says what each input is, for a batch (...) and n entries:
    x, y: real numbers (..., n), only x with infinities; p: probabilities (..., n); i: two soft indices (..., 2, [n]);
    s: one soft index ([n]); v: real numbers (..., 2); w: a matrix (n, 3); b: boundaries (3,).
    """

    name: str
    call: Callable[..., Any]
    roles: str = "x"
    needs: str | None = None
    """what it asks of a method, a key of NEEDS; None for an operator without methods"""
    takes: tuple[str, ...] = ("softness", "mode")
    whole: bool = False
    """whether it takes all of its input as one, so that a batch is not a batch of results"""
    scalar: bool = True
    """whether torch allows a 0-dim input"""
    hard_slope: bool = True
    """whether mode="hard" has a derivative, torch's own"""
    floor: float = 0.0
    """how far the entries have to stay from 0, for what divides by them"""

    def inputs(self, *shape: int, kind: str = "plain", seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs for rows of shape (..., n), or 0-dim ones; float64."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(_draw(role, shape, kind, generator, self.floor) for role in self.roles)

    def batched(self) -> tuple[int | None, ...]:
        """Which inputs have the batch's axes: 0 for those, else None."""
        return tuple(None if role in "swb" else 0 for role in self.roles)


def _draw(role: str, shape: tuple[int, ...], kind: str, generator: torch.Generator, floor: float) -> Tensor:
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
    size = {"w": (n, 3), "v": (*batch, 2)}.get(role, shape)
    x = normal(*size)
    if role == "p":
        p = torch.full_like(x, 0.5) if kind == "ties" else x.sigmoid()
        return _with_first(p, 0.0) if kind == "infinite" else p
    x = {"ties": torch.round(x), "large": x * 1e6, "small": x * 1e-6}.get(kind, x)
    if role == "x" and kind == "infinite":
        return _with_first(x, -torch.inf)
    return x + floor * torch.where(x < 0, -1.0, 1.0)


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

    def __str__(self) -> str:
        return " ".join(part for part in (self.operator.name, self.method, self.mode) if part)

    def __call__(self, *inputs: Tensor, softness: Tensor | float = 0.3) -> tuple[Tensor, ...]:
        """Every tensor that the operator returns."""
        offered = {"softness": softness, "mode": self.mode, "method": self.method}
        options = {name: offered[name] for name in self.operator.takes}
        result = self.operator.call(*inputs, **options)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(each for each in results if each is not None)

    @cached_property
    def refusal(self) -> str | None:
        """Why the library refuses this combination whatever the input; None where it does not."""
        try:
            self(*self.operator.inputs(2, 5))
        except SoftTorchError as error:
            return str(error)
        return None

    @property
    def supported(self) -> bool:
        """Whether the tables of the library say that this combination works."""
        if not self.method or self.mode == "hard":
            return True
        method = METHODS[self.method]
        return self.mode in method.modes and bool(getattr(method, NEEDS[self.operator.needs or ""][0]))

    @property
    def continuity(self) -> float:
        """How often the curves of the mode can be differentiated continuously."""
        return MODES[self.mode].continuity if self.mode else float("inf")

    @property
    def differentiable(self) -> bool:
        """Whether there is a derivative to look at: mode "hard" has one for values alone."""
        return self.mode != "hard" or self.operator.hard_slope


def _axiswise(name: str, needs: str, hard_slope: bool, *arguments: Any, **fixed: Any) -> Operator:
    function = getattr(softtorch, name)

    def call(x: Tensor, **options: Any) -> Any:
        return function(x, *arguments, dim=-1, **fixed, **options)

    return Operator(name, call, "x", needs, ("softness", "mode", "method"), hard_slope=hard_slope)


def _plain(name: str, roles: str = "x", *arguments: Any, **settings: Any) -> Operator:
    function = getattr(softtorch, name)

    def call(*inputs: Any, **options: Any) -> Any:
        return function(*inputs, *arguments, **options)

    return Operator(name, call, roles, **settings)


AXISWISE = [
    _axiswise("argmax", "rows", False),
    _axiswise("argmin", "rows", False),
    _axiswise("max", "values", True),
    _axiswise("min", "values", True),
    _axiswise("argsort", "rows", False),
    _axiswise("sort", "values", True),
    _axiswise("topk", "values", True, 1),
    _axiswise("kthvalue", "values", True, 1),
    _axiswise("argmedian", "rows", False),
    _axiswise("median", "values", True),
    _axiswise("argquantile", "rows", False, 0.35),
    _axiswise("quantile", "values", True, 0.35),
    _axiswise("argpercentile", "rows", False, 80.0),
    _axiswise("percentile", "values", True, 80.0),
    _axiswise("cummax", "rows", True),
    _axiswise("cummin", "rows", True),
    _axiswise("rank", "rank", False),
    _axiswise("topk_mask", "mask", False, 1),
]

STEPS = ["sigmoidal", "heaviside", "sign", "round", "floor", "ceil", "trunc"]
RAMPS = ["softrelu", "relu", "abs", "frac", "hardtanh", "relu6", "leaky_relu", "hardsigmoid", "hardswish"]
COMPARISONS = ["greater", "greater_equal", "less", "less_equal", "eq", "not_equal", "isclose"]

ELEMENTWISE = [
    *(_plain(name, hard_slope=False) for name in STEPS),
    *(_plain(name) for name in RAMPS),
    _plain("clamp", "x", -1.0, 0.7),
    _plain("threshold", "x", 0.3, -1.0),
    _plain("gaussian_relu", takes=("softness",)),
    *(_plain(name, "xy") for name in ("maximum", "minimum")),
    *(_plain(name, "xy", floor=0.5) for name in ("fmod", "remainder")),
    *(_plain(name, "xy", hard_slope=False) for name in COMPARISONS),
]

LOGIC = [
    _plain("logical_not", "p", takes=()),
    *(_plain(name, "pp", takes=()) for name in ("logical_and", "logical_or", "logical_xor")),
    *(_plain(name, "p", takes=()) for name in ("all", "any")),
]

SELECTION = [
    _plain("where", "pxy", takes=()),
    _plain("masked_fill", "xp", -0.7, takes=()),
    Operator("masked_sum", lambda x, p: softtorch.masked_sum(x, p, dim=-1), "xp", takes=()),
    Operator("masked_mean", lambda x, p: softtorch.masked_mean(x, p, dim=-1), "xp", takes=()),
    Operator("take_along_dim", lambda x, i: softtorch.take_along_dim(x, i, dim=-1), "xi", takes=()),
    Operator("gather", lambda x, i: softtorch.gather(x, -1, i), "xi", takes=()),
    Operator("take", lambda x, s: softtorch.take(x, s, dim=-1), "xs", takes=()),
    Operator("index_select", lambda x, s: softtorch.index_select(x, s, dim=-1), "xs", takes=()),
    Operator("narrow", lambda x, s: softtorch.narrow(x, s, 1, dim=-1), "xs", takes=()),
    Operator("scatter", lambda x, i, v: softtorch.scatter(x, -1, i, v), "yiv", takes=()),
    Operator("scatter_add", lambda x, i, v: softtorch.scatter_add(x, -1, i, v), "yiv", takes=()),
    Operator("embedding", softtorch.embedding, "iw", takes=()),
    Operator("choose", lambda i, w: softtorch.choose(i, w[:, :1].unbind(0)), "iw", takes=()),
    Operator("one_hot", lambda i: softtorch.one_hot(i, 9), "i", takes=()),
    Operator("bincount", lambda i: softtorch.bincount(i), "i", takes=(), whole=True),
    Operator("dynamic_slice", lambda x, s: softtorch.dynamic_slice(x, [s], [1]), "xs", takes=(), whole=True),
]

BINNING = [
    Operator("bucketize", softtorch.bucketize, "xb", hard_slope=False),
    Operator("searchsorted", lambda x, b, **options: softtorch.searchsorted(b, x, **options), "xb", hard_slope=False),
    Operator("histc", lambda x, **o: softtorch.histc(x, 4, -2.0, 2.0, **o), "x", whole=True, hard_slope=False),
]

FAMILIES = {
    "axiswise": AXISWISE,
    "elementwise and comparison": ELEMENTWISE,
    "binning": BINNING,
    "logic": LOGIC,
    "selection": SELECTION,
}


def _entries(operator: Operator) -> list[Entry]:
    """The operator in every mode, and every method where it takes one; mode "hard" once, for it ignores the method."""
    modes = list(MODES) if "mode" in operator.takes else [""]
    if operator.needs is None:
        return [Entry(operator, "", mode) for mode in modes]
    soft = [Entry(operator, method, mode) for method in METHODS for mode in modes if mode != "hard"]
    return [Entry(operator, next(iter(METHODS)), "hard"), *soft]


ENTRIES = [entry for operators in FAMILIES.values() for operator in operators for entry in _entries(operator)]
