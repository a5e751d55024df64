"""A program of one number as a curve, hard and with its control flow smoothed: `softfx plot TARGET --objective`.

The smoothed value is the mean over drawn paths, by the same numbers at every point, so that neighbours differ by the
program alone. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from softfx.api import Capture, soften
from softfx.errors import TargetError
from softfx.plots.curves import Curve

__all__ = ["objectives"]

_POINTS = 49
_FINER = 8  # times as many points of the program itself, whose steps are sharp
_PATHS = 24  # of each point: the curve is within a fifth of the spread of its paths


def objectives(
    target: Any,
    *,
    softnesses: Sequence[float],
    span: tuple[float, float],
    capture: Capture = "auto",
) -> list[Curve]:
    """The curve of the program itself and one for each softness, in spreads of what its conditions are decided by.

    Args:
        target: takes one number () and returns one.
        softnesses, span: what is drawn, and between which numbers.
        capture: as of `softfx.soften`.

    Raises:
        TargetError: the result is not one number, or no condition in the target depends on the number.

    >>> hard, soft = objectives(lambda x: x * 0 + (1 if x > 0.5 else 0), softnesses=[0.5], span=(0.0, 1.0))
    >>> hard.value[0].item(), hard.value[-1].item(), (soft.value.diff() >= 0.0).all().item()
    (0.0, 1.0, True)
    """
    x = torch.linspace(*span, _POINTS)
    found = [_curve(target, torch.linspace(*span, _FINER * (_POINTS - 1) + 1), None)]
    for softness in softnesses:
        draws = torch.Generator()
        rule = {"op": "@control", "action": "soft", "samples": _PATHS, "softness": softness}
        middle = x[_POINTS // 2].clone().requires_grad_()
        soft = soften(
            target, {"rule": [rule]}, example_inputs=(middle,), generator=draws, capture=capture, allow_unused=True
        )
        if not any(site.family == "control" and site.action == "soft" for site in soft.report.sites):
            raise TargetError(
                "plot: no condition and no number that Python reads in the target depends on its input, so there is "
                "nothing to smooth. Name a program with a branch, or leave out --objective."
            )
        found.append(_curve(soft, x, softness, partial(draws.manual_seed, 0)))
    return found


def _curve(function: Any, x: Tensor, softness: float | None, before: Callable[[], object] = lambda: None) -> Curve:
    """The value at each point, without gradients. before: is called before each."""
    values = []
    with torch.no_grad():
        for number in x:
            before()
            value = function(number.clone())
            if not isinstance(value, Tensor) or value.numel() != 1:
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise TargetError(
                    f"plot: --objective draws a program that returns one number, and this one returns {shape}. "
                    "Let it return its cost."
                )
            values.append(value.reshape(()).double())
    found = torch.stack(values)
    return Curve("objective", softness, x, found, torch.zeros_like(found))
