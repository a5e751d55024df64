"""The elementwise operators as a table: each with torch's own function, for the tests that all of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

import softtorch

MODES = ["smooth", "c0", "c1", "c2", "tailed"]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INF, NAN = float("inf"), float("nan")
EDGES = [0.0, -0.0, 0.5, -0.5, 1.0, -1.5, 2.5, 3.0, -3.0, 6.0, 1e-30, -1e30, 1e30, INF, -INF, NAN]


@dataclass(frozen=True)
class Case:
    """An operator of one or two operands: soft(x[, y], softness=, mode=) relaxes hard(x[, y])."""

    name: str
    soft: Callable[..., Tensor]
    hard: Callable[..., Tensor]
    arity: int = 1
    at_infinity: bool = True
    """Whether the hard values at infinity are also the soft ones."""

    def __str__(self) -> str:
        return self.name


def _number(comparison: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, y: comparison(x, y).to(x.dtype if x.is_floating_point() else torch.float32)


def _half_step(x: Tensor) -> Tensor:
    return torch.heaviside(x, torch.full((), 0.5, dtype=x.dtype))


CASES = [
    Case("sigmoidal", softtorch.sigmoidal, _half_step),
    Case("heaviside", softtorch.heaviside, _half_step),
    Case("softrelu", softtorch.softrelu, torch.relu),
    Case("relu", softtorch.relu, torch.relu),
    Case("relu gated", partial(softtorch.relu, gated=True), torch.relu),
    Case("sign", softtorch.sign, torch.sign),
    Case("abs", softtorch.abs, torch.abs),
    Case("clamp", lambda x, **k: softtorch.clamp(x, -1.0, 2.0, **k), lambda x: torch.clamp(x, -1.0, 2.0)),
    Case(
        "clamp gated",
        lambda x, **k: softtorch.clamp(x, -1.0, 2.0, gated=True, **k),
        lambda x: torch.clamp(x, -1.0, 2.0),
    ),
    Case("clamp below", lambda x, **k: softtorch.clamp(x, a=-1.0, **k), lambda x: torch.clamp(x, min=-1.0)),
    Case("clamp above", lambda x, **k: softtorch.clamp(x, b=-1.0, **k), lambda x: torch.clamp(x, max=-1.0)),
    Case("round", softtorch.round, torch.round),
    Case("floor", softtorch.floor, torch.floor),
    Case("ceil", softtorch.ceil, torch.ceil),
    Case("trunc", softtorch.trunc, torch.trunc),
    Case("frac", softtorch.frac, torch.frac, at_infinity=False),
    Case("hardtanh", softtorch.hardtanh, functional.hardtanh),
    Case("relu6", softtorch.relu6, functional.relu6),
    Case("leaky_relu", softtorch.leaky_relu, functional.leaky_relu),
    Case("hardsigmoid", softtorch.hardsigmoid, functional.hardsigmoid),
    Case("hardswish", softtorch.hardswish, functional.hardswish, at_infinity=False),  # torch: NaN at -inf
    Case(
        "threshold",
        lambda x, **k: softtorch.threshold(x, 0.7, -2.0, **k),
        lambda x: functional.threshold(x, 0.7, -2.0),
    ),
    Case("maximum", softtorch.maximum, torch.maximum, 2),
    Case("minimum", softtorch.minimum, torch.minimum, 2),
    Case("fmod", softtorch.fmod, torch.fmod, 2, at_infinity=False),
    Case("remainder", softtorch.remainder, torch.remainder, 2, at_infinity=False),
    Case("greater", softtorch.greater, _number(torch.greater), 2),
    Case("greater_equal", softtorch.greater_equal, _number(torch.greater_equal), 2),
    Case("less", softtorch.less, _number(torch.less), 2),
    Case("less_equal", softtorch.less_equal, _number(torch.less_equal), 2),
    Case("eq", softtorch.eq, _number(torch.eq), 2),
    Case("not_equal", softtorch.not_equal, _number(torch.not_equal), 2),
    Case("isclose", softtorch.isclose, _number(torch.isclose), 2, at_infinity=False),
]


def edges(arity: int, dtype: torch.dtype) -> list[Tensor]:
    """Every combination of the edge values, one tensor for each operand."""
    x = torch.tensor(EDGES).to(dtype)
    return [x] if arity == 1 else [x.repeat_interleave(len(EDGES)), x.repeat(len(EDGES))]


def operands(arity: int, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Random operands of scale 2; the second away from 0, so that it may divide."""
    generator = torch.Generator().manual_seed(seed)
    xs = [2.0 * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(arity)]
    return [x.to(dtype) if place == 0 else (x + 0.5 * x.sign()).to(dtype) for place, x in enumerate(xs)]
