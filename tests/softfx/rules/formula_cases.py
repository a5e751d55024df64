"""For each operation of the rule table a program that calls it, and the symbols of its formula in that call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.softfx.rules.formula_language import AXES, on_axis

S = 0.1  # the softness by default


@dataclass(frozen=True)
class Call:
    """A program of one operation; its inputs; and the values, sequences and indices that its formula speaks of.

    case: the label of the formula's case, the first by default. names: of the results that the program returns, in
    order. fields: what the policy's entry sets beside the action.
    """

    program: Callable[..., Any]
    inputs: tuple[Tensor, ...]
    values: Mapping[str, Tensor | float] = field(default_factory=dict)
    sequences: Mapping[str, tuple[Tensor, int]] = field(default_factory=dict)
    indices: Mapping[str, Tensor] = field(default_factory=dict)
    case: str | None = None
    names: tuple[str, ...] = ("",)
    fields: Mapping[str, Any] = field(default_factory=dict)


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, Y = numbers(0, 40), numbers(1, 40)
ROW = numbers(2, 7)
GRID = on_axis(torch.arange(-60, 61), AXES["k"])


def elementwise(program: Callable[..., Any], *inputs: Tensor, **values: float) -> Call:
    """An operation on elements x (and y), k the integers."""
    named = {name: on_axis(value, 0) for name, value in zip("xy", inputs, strict=False)}
    return Call(program, inputs, {**named, **values}, indices={"k": GRID})


def of_row(
    program: Callable[..., Any], *names: str, x: Tensor = ROW, case: str | None = None, **symbols: float
) -> Call:
    """An operation along a row x; symbols that are indices have one value."""
    indices = {name: torch.tensor(value).double() for name, value in symbols.items() if name in "ikm"}
    values = {name: value for name, value in symbols.items() if name not in "ikm"} | {"n": len(x)}
    return Call(program, (x,), values, {"x": (x, 1)}, indices, case, names or ("",))


def pair(program: Callable[..., Any], **symbols: float) -> Call:
    return of_row(program, "values", "indices", **symbols)


def pooled(program: Callable[..., Any], dims: int) -> Call:
    """One window of a plane."""
    x = numbers(3, *(1, 1, *(3 for _ in range(dims))))
    return Call(program, (x,), {"n": x.numel()}, {"x": (x.flatten(), 1)})


def grouped(reduce: str) -> Call:
    """One group, the number that was there included."""

    def program(base: Tensor, x: Tensor) -> Tensor:
        return base.scatter_reduce(0, torch.zeros(6, dtype=torch.int64), x, reduce)

    base, x = ROW[:1], ROW[1:]
    return Call(program, (base, x), {"n": 7}, {"x": (ROW, 1)}, case=f"{reduce}, in each group")


EDGES = torch.tensor([-1.0, 0.0, 0.5, 2.0], dtype=torch.float64)
OPEN = torch.tensor([-torch.inf, *EDGES, torch.inf], dtype=torch.float64)
PROBABILITIES = torch.rand(7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def located(program: Callable[..., Any]) -> Call:
    """The gaps 0 .. 4 between four boundaries, beyond which lies infinity."""
    gaps = on_axis(torch.arange(5), AXES["k"])
    return Call(program, (X, EDGES), {"x": on_axis(X, 0)}, {"b": (OPEN, -1)}, {"k": gaps})


def counted(low: float, high: float) -> Call:
    """Four bins of a row."""
    inner = torch.linspace(low, high, 5, dtype=torch.float64) if low < high else None
    if inner is None:
        inner = torch.lerp(ROW.min(), ROW.max(), torch.arange(5.0, dtype=torch.float64) / 4)
        inner[0], inner[-1] = -torch.inf, torch.inf
    bins = on_axis(torch.arange(4), AXES["k"])
    return Call(lambda x: x.histc(4, low, high), (ROW,), {"n": 7}, {"x": (ROW, 1), "b": (inner, 0)}, {"k": bins})


def compared(program: Callable[..., Any]) -> list[Call]:
    """A comparison, with the epsilon by default and with one that counts."""
    return [elementwise(program, X, Y), replace(elementwise(program, X, Y, epsilon=0.05), fields={"epsilon": 0.05})]


CALLS: dict[str, list[Call]] = {
    **{
        name: [elementwise(getattr(torch, name), X)]
        for name in ("round", "floor", "ceil", "trunc", "frac", "sign", "abs", "relu", "signbit")
    },
    "heaviside": [elementwise(lambda x: torch.heaviside(x, torch.tensor(0.5, dtype=x.dtype)), X)],
    "copysign": [elementwise(torch.copysign, X, Y)],
    "clamp": [elementwise(lambda x: x.clamp(-0.5, 0.7), X, low=-0.5, high=0.7)],
    "clamp_min": [elementwise(lambda x: torch.clamp_min(x, -0.5), X, low=-0.5)],
    "clamp_max": [elementwise(lambda x: torch.clamp_max(x, 0.7), X, high=0.7)],
    "hardtanh": [elementwise(F.hardtanh, X, min_val=-1.0, max_val=1.0)],
    "relu6": [elementwise(F.relu6, 4 * X)],
    "leaky_relu": [elementwise(lambda x: F.leaky_relu(x, 0.2), X, a=0.2)],
    "hardsigmoid": [elementwise(F.hardsigmoid, 4 * X)],
    "hardswish": [elementwise(F.hardswish, 4 * X)],
    "threshold": [elementwise(lambda x: F.threshold(x, 0.3, -1.0), X, threshold=0.3, value=-1.0)],
    "hardshrink": [elementwise(lambda x: F.hardshrink(x, 0.4), X, lambd=0.4)],
    "softshrink": [elementwise(lambda x: F.softshrink(x, 0.4), X, lambd=0.4)],
    "prelu": [elementwise(lambda x: F.prelu(x, torch.full((1,), 0.2, dtype=x.dtype)), X, w=0.2)],
    "l1_loss": [elementwise(lambda x, y: F.l1_loss(x, y, reduction="none"), X, Y)],
    "rrelu": [elementwise(lambda x: F.rrelu(x, 0.1, 0.3), X, a=0.2)],
    "minimum": [elementwise(torch.minimum, X, Y)],
    "maximum": [elementwise(torch.maximum, X, Y)],
    "softmax": [
        of_row(lambda x: x.softmax(-1)),
        replace(
            of_row(lambda x: x.softmax(-1), case="variant = 'rectified'"),
            fields={"variant": "rectified"},
        ),
    ],
    "argmax": [of_row(torch.argmax)],
    "argmin": [of_row(torch.argmin)],
    "max": [of_row(torch.max), replace(elementwise(torch.max, X, Y), case="of two tensors")],
    "min": [of_row(torch.min), replace(elementwise(torch.min, X, Y), case="of two tensors")],
    "sort": [pair(torch.sort)],
    "msort": [of_row(torch.msort)],
    "argsort": [of_row(torch.argsort)],
    "topk": [replace(pair(lambda x: x.topk(3)), indices={"i": on_axis(torch.arange(1, 4), AXES["i"])})],
    "kthvalue": [pair(lambda x: x.kthvalue(2), k=2)],
    "median": [pair(lambda x: x.median(0), m=4), pair(lambda x: x.median(0), x=ROW[:6], m=3)],
    "quantile": [of_row(lambda x: x.quantile(0.4), m=3, w=0.4)],
    "cummax": [pair(lambda x: x.cummax(0))],
    "cummin": [pair(lambda x: x.cummin(0))],
    "unique": [of_row(lambda x: torch.unique(x, return_inverse=True)[1], "inverse", x=ROW.sort().values)],
    "amax": [of_row(torch.amax)],
    "aminmax": [
        of_row(lambda x: torch.aminmax(x).max, case="max"),
        of_row(lambda x: torch.aminmax(x).min, case="min"),
    ],
    "amin": [of_row(torch.amin)],
    "max_pool1d": [pooled(lambda x: F.max_pool1d(x, 3), 1)],
    "max_pool2d": [pooled(lambda x: F.max_pool2d(x, 3), 2)],
    "max_pool3d": [pooled(lambda x: F.max_pool3d(x, 3), 3)],
    "adaptive_max_pool1d": [pooled(lambda x: F.adaptive_max_pool1d(x, 1), 1)],
    "adaptive_max_pool2d": [pooled(lambda x: F.adaptive_max_pool2d(x, 1), 2)],
    "adaptive_max_pool3d": [pooled(lambda x: F.adaptive_max_pool3d(x, 1), 3)],
    "scatter_extremum": [grouped("amax"), grouped("amin")],
    "searchsorted": [located(lambda x, edges: torch.searchsorted(edges, x))],
    "bucketize": [located(torch.bucketize)],
    "histc": [counted(-1.0, 1.0), counted(0.0, 0.0)],
    **{name: compared(getattr(torch, name)) for name in ("gt", "ge", "lt", "le", "eq", "ne")},
    "isclose": [elementwise(lambda x, y: x.isclose(y, 0.1, 0.2), X, Y, rtol=0.1, atol=0.2)],
    **{name: [elementwise(getattr(torch, name), X, Y)] for name in ("logical_and", "logical_or", "logical_xor")},
    "logical_not": [elementwise(torch.logical_not, X)],
    "any": [of_row(torch.any, x=ROW / 10)],
    "all": [of_row(torch.all)],
    "count_nonzero": [of_row(torch.count_nonzero)],
    "cast": [
        Call(lambda x: x.long(), (X,), {"x": on_axis(X, 0)}, indices={"k": GRID}, case="to integers"),
        Call(lambda x: x.bool(), (X,), {"x": on_axis(X, 0)}, indices={"k": GRID}, case="to bools"),
    ],
    "floor_divide": [elementwise(torch.floor_divide, X, 2 + Y.abs())],
    "trunc_divide": [elementwise(lambda x, y: torch.div(x, y, rounding_mode="trunc"), X, 2 + Y.abs())],
    "remainder": [elementwise(torch.remainder, X, 2 + Y.abs())],
    "fmod": [elementwise(torch.fmod, X, 2 + Y.abs())],
}
