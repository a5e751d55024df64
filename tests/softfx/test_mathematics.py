"""What `softfx explain` says of the mathematics: there for every operation that is relaxed, and true."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

import softtorch
from softfx.report.mathematics import FORMULAS, formula
from softfx.rules import RULES

S = 0.3
X = torch.linspace(-3.0, 3.0, 25, dtype=torch.float64) + 0.01
sigma = torch.sigmoid


def relu(x: Tensor) -> Tensor:
    return S * softplus(x / S)


def places(p: Tensor) -> Tensor:
    return (torch.arange(1, len(X) + 1, dtype=X.dtype) @ p) / p.sum(0)


rows = softtorch.argsort(X, softness=S, method="neuralsort")
STATED: dict[str, tuple[Tensor, Callable[[], Tensor]]] = {
    "sign": (2 * sigma(X / S) - 1, lambda: softtorch.sign(X, S)),
    "heaviside": (sigma(X / S), lambda: softtorch.heaviside(X, S)),
    "abs": (X * (2 * sigma(X / S) - 1), lambda: softtorch.abs(X, S)),
    "relu": (relu(X), lambda: softtorch.relu(X, S)),
    "clamp": (-1 + relu(X + 1) - relu(X - 2), lambda: softtorch.clamp(X, -1.0, 2.0, S)),
    "leaky_relu": (0.1 * X + 0.9 * relu(X), lambda: softtorch.leaky_relu(X, 0.1, S)),
    "hardsigmoid": (softtorch.clamp(X / 6 + 0.5, 0.0, 1.0, S / 6), lambda: softtorch.hardsigmoid(X, S)),
    "hardswish": (X * softtorch.hardsigmoid(X, S), lambda: softtorch.hardswish(X, S)),
    "threshold": (-1 + (X + 1) * sigma((X - 0.5) / S), lambda: softtorch.threshold(X, 0.5, -1.0, S)),
    "hardshrink": (X * (sigma((X - 0.5) / S) + sigma((-X - 0.5) / S)), lambda: softtorch.hardshrink(X, 0.5, S)),
    "softshrink": (relu(X - 0.5) - relu(-X - 0.5), lambda: softtorch.softshrink(X, 0.5, S)),
    "prelu": (0.2 * X + 0.8 * relu(X), lambda: softtorch.prelu(X, torch.full((1,), 0.2, dtype=X.dtype), S)),
    "maximum": (0.3 + relu(X - 0.3), lambda: softtorch.maximum(X, torch.full_like(X, 0.3), S)),
    "minimum": (0.3 - relu(0.3 - X), lambda: softtorch.minimum(X, torch.full_like(X, 0.3), S)),
    "floor": (softtorch.round(X - 0.5, S), lambda: softtorch.floor(X, S)),
    "ceil": (softtorch.round(X + 0.5, S), lambda: softtorch.ceil(X, S)),
    "trunc": (softtorch.floor(X, S) + sigma(-X / S), lambda: softtorch.trunc(X, S)),
    "frac": (X - softtorch.trunc(X, S), lambda: softtorch.frac(X, S)),
    "remainder": (X - 0.7 * softtorch.floor(X / 0.7, S), lambda: softtorch.remainder(X, torch.full_like(X, 0.7), S)),
    "gt": (sigma((X - 0.2) / S), lambda: softtorch.greater(X, 0.2, S)),
    "eq": (2 * sigma(-softtorch.abs(X - 0.2, S) / S), lambda: softtorch.eq(X, 0.2, S)),
    "argmax": (torch.softmax(X / S, -1), lambda: softtorch.argmax(X, softness=S, standardize=False)),
    "any": (1 - (1 - sigma(X)).prod(), lambda: softtorch.any(sigma(X))),
    "unique": (places(rows), lambda: softtorch.rank(X, softness=S, descending=False)),
    "softmax": (X / (1 + X.abs().sum()), lambda: softtorch.softpick(X)),
}


@pytest.mark.parametrize("op", STATED)
def test_the_formula_is_what_softtorch_computes(op: str) -> None:
    stated, computed = STATED[op]
    # Of the staircases the sum stops where the steps are 0 to float32, as the values do.
    assert torch.allclose(computed(), stated, atol=1e-6)


def test_every_relaxed_operation_has_a_formula_and_no_other() -> None:
    relaxed = {rule.op for rule in RULES.values() if rule.relax is not None and rule.code >= "SX1"}
    assert {op for op in relaxed if not formula(RULES[op])} == set()
    assert set(FORMULAS) <= relaxed
