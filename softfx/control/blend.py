"""torch.cond with estimator = "blend": both branches are run once, and their results weighted by the probability.

It takes one more branch and no further run of the call. What follows sees the mean of two results instead of one or the
other: the derivative is exact where what follows is affine, and biased where it is not.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx import torch_private as private
from softfx.control.choices import Yes
from softfx.control.path import Path
from softfx.decisions.site import Decision
from softfx.ops.calls import Args, Function, Result

__all__ = ["BLEND", "blended"]

BLEND = "blend"


def blended(path: Path, mode: AbstractContextManager[Any], decision: Decision, condition: Args) -> Result:
    """The result of torch.cond: the program's own branch, with the derivative of the weighted mean of both.

    mode: that the branches are run under.
    condition: its arguments: the condition, the two branches, their operands.
    """
    pred, true_fn, false_fn, *rest = condition
    operands = rest[0] if rest else ()
    holds = path.read("branch", pred, bool(pred))
    ways = (true_fn, false_fn) if holds else (false_fn, true_fn)
    with mode:
        own = ways[0](*operands)
    if not (path.looks if decision.action == "soft" else path.keeps):
        return own
    choice = path.conditions.condition(pred, decision)
    if not isinstance(choice, Yes) or choice.is_certain:
        path.conditions.unknown(decision, choice is None)
        return own
    p = choice.probability()
    path.conditions.seen(decision).meets(choice.probabilities())
    other = _other(path, mode, decision, ways[1], operands)
    if other is None:
        return own
    return _mean(own, other, p if holds else 1.0 - p, is_value=decision.action == "soft")


def _other(
    path: Path, mode: AbstractContextManager[Any], decision: Decision, way: Function, operands: Args
) -> Result | None:
    """The result of the branch that is not taken, whose own decisions are as they are; None where it has none."""
    seen = path.conditions.seen(decision)
    seen.made += 1
    try:
        with path.paused(), mode:
            result = way(*operands)
    except Exception as error:  # told in the report, as every run that gives no result is
        seen.dropped[type(error).__name__] += 1
        return None
    if all(leaf.isfinite().all() for leaf in private.leaves(result) if _carries(leaf)):
        return result
    seen.dropped["a number that is not finite"] += 1
    return None


def _mean(own: Result, other: Result, p: Tensor, is_value: bool) -> Result:
    """p of one result and 1 - p of the other; the value of the first, unless the mean is asked for."""
    leaves, structure = private.flatten(own)
    made = []
    for mine, its in zip(leaves, private.leaves(other), strict=True):  # torch.cond has them alike
        if _carries(mine):
            mean = torch.lerp(its, mine, p.to(mine.dtype))
            made.append(mean if is_value else softtorch.straight_through(mine.detach(), mean))
        else:
            made.append(mine)
    return private.unflatten(made, structure)


def _carries(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()
