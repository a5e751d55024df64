"""What `audit`, `calibrate` and `lock` are given, checked before anything is run."""

from __future__ import annotations

import math
from numbers import Integral, Real

from softfx.auditing.bench import BLOCKS
from softfx.errors import TargetError, brief

__all__ = ["check_arguments"]

_LARGEST_SEED = 2**63 // BLOCKS - 1  # each block of pairs has a seed of its own, and torch takes 64 bits


def check_arguments(where: str, loss: object, seed: object, scale: object = 1.0, samples: object = 2 * BLOCKS) -> None:
    """Refuse what is no loss, no seed, or a scale or a number of pairs that is out of its range."""
    if loss is not None and not callable(loss):
        raise TargetError(
            f"{where}: loss = {brief(loss)} is no function. It takes the target's result and returns one number, "
            "a 0-dim tensor. Write loss=lambda result: result.mean()."
        )
    if isinstance(seed, bool) or not isinstance(seed, Integral) or abs(int(seed)) > _LARGEST_SEED:
        raise TargetError(f"{where}: seed = {brief(seed)}. It is a whole number of at most {_LARGEST_SEED}. Give one.")
    if isinstance(scale, bool) or not isinstance(scale, Real) or not 0 < float(scale) < math.inf:
        raise TargetError(f"{where}: scale = {brief(scale)}. It is a number above 0, in spreads: 0.3 is the default.")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2 * BLOCKS:
        raise TargetError(f"{where}: samples = {brief(samples)}. It is a whole number from {2 * BLOCKS} on.")
