"""The agreement of a gradient with a reference that was measured by random perturbation: a cosine with its interval.

The reference comes in blocks, each the mean of some antithetic pairs, and each a noisy copy of the same gradient. The
square of its length is estimated by products of different blocks, whose noises are independent, so that neither the
length nor the cosine is biased by the noise. The interval is the jackknife's, one block left out at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Agreement", "agreement"]

_WIDTH = 2.05  # 97.5 % point of Student's distribution for the 31 degrees of freedom of 32 blocks


@dataclass(frozen=True)
class Agreement:
    """How a gradient compares with the reference.

    cosine: with its 95 % interval `low` to `high`; None where the gradient or the reference has no direction.
    ratio: the gradient's length over the reference's; None where the reference has none that can be told from noise.
    signal: the reference's squared length in its own standard errors.
    responds: whether the perturbations changed the loss at all.
    """

    cosine: float | None
    low: float | None
    high: float | None
    ratio: float | None
    signal: float
    responds: bool


def agreement(gradient: Tensor, blocks: Tensor) -> Agreement:
    """Compare a gradient (n,) with the reference's blocks (blocks, n). At least three blocks.

    Source: the jackknife, Efron and Stein 1981, doi 10.1214/aos/1176345462.

    >>> _ = torch.manual_seed(0)
    >>> blocks = torch.tensor([1.0, 0.0]) + 0.1 * torch.randn(32, 2)
    >>> round(agreement(torch.tensor([1.0, 1.0]), blocks).cosine, 1)
    0.7
    """
    gradient, blocks = gradient.double(), blocks.double()
    count, length = len(blocks), float(gradient.norm())
    products = blocks @ blocks.T
    along = blocks @ gradient / length if length > 0 else torch.zeros(count, dtype=torch.float64)
    cross = products.sum(1) - products.diagonal()
    total = float(cross.sum())
    square = total / (count * (count - 1))
    left_out = (total - 2 * cross) / ((count - 1) * (count - 2))
    error = _error(left_out)
    signal = square / error if error > 0 else (math.inf if square > 0 else 0.0)
    responds = bool(products.diagonal().any())
    if square <= 0 or signal < 1:
        return Agreement(None, None, None, None, signal, responds)
    ratio = length / math.sqrt(square)
    if length == 0:
        return Agreement(None, None, None, ratio, signal, responds)
    cosine = float(along.mean()) / math.sqrt(square)
    if not bool((left_out > 0).all()):
        return Agreement(max(-1.0, min(1.0, cosine)), -1.0, 1.0, ratio, signal, responds)
    each = (along.sum() - along) / (count - 1) / left_out.sqrt()
    half = _WIDTH * _error(each)
    low, high = max(-1.0, cosine - half), min(1.0, cosine + half)
    return Agreement(max(-1.0, min(1.0, cosine)), min(low, 1.0), max(high, -1.0), ratio, signal, responds)


def _error(left_out: Tensor) -> float:
    """The standard error of an estimate, from its values with one block left out at a time."""
    return math.sqrt((len(left_out) - 1) * float((left_out - left_out.mean()).square().mean()))
