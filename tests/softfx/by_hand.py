"""Softened programs beside versions of them written by hand in softtorch: the tests of the rules share this.

A `Pair` is a program and what a user of softtorch would write in its place. `agree` holds the softened program against
it in value and gradient under both executors, and the straight-through one in gradient as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import softfx
from tests.helpers import outcome

__all__ = ["SOFTNESS", "Pair", "agree", "policy"]

SOFTNESS = 0.1


@dataclass(frozen=True)
class Pair:
    """program(*inputs) and by_hand(*inputs), of inputs of these shapes.

    linear: all that follows the decisions is linear in each, so that the straight-through gradient is the soft one's.
    """

    program: Callable[..., Any]
    by_hand: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    linear: bool = True


def policy(action: str, *families: str, softness: float = SOFTNESS) -> dict[str, Any]:
    """A policy that does `action` to these families, the discrete one if none is named."""
    return {"default": {"action": action, "families": list(families or ("discrete",)), "softness": softness}}


def _inputs(pair: Pair) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in pair.shapes)


def _outcome(function: Callable[..., Any], inputs: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """Results and gradients, 0 where there is none."""
    found = outcome(function, inputs)
    whole = [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found.gradients, strict=True)]
    return found.results, whole


def _close(found: list[Tensor], wanted: list[Tensor]) -> bool:
    # float64 throughout: what differs is the order of a few additions.
    return all(torch.allclose(x.double(), y.double(), rtol=1e-9, atol=1e-9) for x, y in zip(found, wanted, strict=True))


def agree(pair: Pair) -> None:
    """The softened program has the value and the gradient of the one by hand; straight-through, the hard value."""
    inputs = _inputs(pair)
    values, gradients = _outcome(pair.by_hand, inputs)
    hard, _ = _outcome(pair.program, inputs)
    assert any(bool(gradient.any()) for gradient in gradients), "the test itself has no gradient"
    for executor in ("auto", "eager"):  # a graph where one holds the program
        soft = softfx.soften(pair.program, policy("soft"), example_inputs=inputs, executor=executor)
        found, derivatives = _outcome(soft, inputs)
        assert _close(found, values), f"{executor}: {found} for {values}"
        assert _close(derivatives, gradients), f"{executor}: gradient {derivatives} for {gradients}"
        straight = softfx.soften(pair.program, policy("straight_through"), example_inputs=inputs, executor=executor)
        found, derivatives = _outcome(straight, inputs)
        assert all(torch.equal(x, y) and x.dtype == y.dtype for x, y in zip(found, hard, strict=True))
        assert all(bool(torch.isfinite(gradient).all()) for gradient in derivatives)
        assert not pair.linear or _close(derivatives, gradients), f"{executor}: straight-through {derivatives}"
