"""The agreement of a gradient with a reference that was measured by random perturbation: a cosine with its interval.

The reference comes in blocks, each the mean of some antithetic pairs, and each a noisy copy of the same gradient. The
square of its length is estimated by products of different blocks, whose noises are independent, so that neither the
length nor the cosine is biased by the noise. The interval is the jackknife's, one block left out at a time, and wider
towards 0: near a cosine of 1 the estimate hardly moves with the reference's direction, so its error where it happens to
lie is less than where the truth may lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Agreement", "agreement", "better", "cosines", "interval_of", "predicted"]

_WIDTH = 2.05  # 97.5 % point of Student's distribution for the 31 degrees of freedom of 32 blocks
_TOLD = 3.0  # standard errors from which the sign of an entry is told from noise: 1 of 700 wrong


@dataclass(frozen=True)
class Agreement:
    """How a gradient compares with the reference.

    cosine: with its 95 % interval `low` to `high`; None where the gradient or the reference has no direction.
    ratio: the gradient's length over the reference's; None where the reference has none that can be told from noise.
    signal: the reference's squared length in its own standard errors.
    responds: whether the perturbations changed the loss at all.
    sign: of the entries whose sign in the reference is told from noise, the share with the same sign; None where there
        is none.
    """

    cosine: float | None
    low: float | None
    high: float | None
    ratio: float | None
    signal: float
    responds: bool
    sign: float | None = None


def agreement(gradient: Tensor, blocks: Tensor) -> Agreement:
    """Compare a gradient (n,) with the reference's blocks (blocks, n). At least three blocks.

    Source: the jackknife, Efron and Stein 1981, doi 10.1214/aos/1176345462.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> blocks = torch.tensor([1.0, 0.0]) + 0.1 * torch.randn(32, 2)
    >>> round(agreement(torch.tensor([1.0, 1.0]), blocks).cosine, 1)
    0.7
    """
    gradient, blocks = gradient.double(), blocks.double()
    if not bool(blocks.isfinite().all() & gradient.isfinite().all()):
        return Agreement(None, None, None, None, math.nan, True)
    count, length = len(blocks), float(gradient.norm())
    products = blocks @ blocks.T
    cross = products.sum(1) - products.diagonal()
    square = float(cross.sum()) / (count * (count - 1))
    left_out = (cross.sum() - 2 * cross) / ((count - 1) * (count - 2))
    error = _error(left_out)
    signal = square / error if error > 0 else (math.inf if square > 0 else 0.0)
    responds, sign = bool(products.diagonal().any()), _sign(gradient, blocks)
    if square <= 0 or signal < 1:
        return Agreement(None, None, None, None, signal, responds, sign)
    ratio = length / math.sqrt(square)
    if length == 0:
        return Agreement(None, None, None, ratio, signal, responds, sign)
    cosine = max(-1.0, min(1.0, float((blocks @ gradient).mean()) / length / math.sqrt(square)))
    each = cosines(gradient, blocks)
    if each is None:
        return Agreement(cosine, -1.0, 1.0, ratio, signal, responds, sign)
    low, high = _interval(cosine, _WIDTH * _error(each), _turn(gradient / length, blocks, square))
    return Agreement(cosine, low, high, ratio, signal, responds, sign)


def cosines(gradient: Tensor, blocks: Tensor) -> Tensor | None:
    """The cosine with each block of the reference left out in turn, (blocks,): what its noise is told by.

    None where the reference without one block has no direction, or the gradient has none.
    """
    gradient, blocks = gradient.double(), blocks.double()
    count, length = len(blocks), float(gradient.norm())
    products = blocks @ blocks.T
    cross = products.sum(1) - products.diagonal()
    left_out = (cross.sum() - 2 * cross) / ((count - 1) * (count - 2))
    if length == 0 or not bool((left_out > 0).all()):
        return None
    along = blocks @ gradient / length
    return (along.sum() - along) / (count - 1) / left_out.sqrt()


def predicted(gradient: Tensor, blocks: Tensor, size: float) -> Tensor | None:
    """The correlation of the answers with what the gradient predicts, each block left out in turn, (blocks,).

    It is the cosine times a number below 1 that is the same for all gradients: the reference's length over the size of
    the answers. So it compares gradients, and bounds the cosine, where the reference's own length is lost in noise.

    size: the root mean square of the answers.
    """
    gradient, blocks = gradient.double(), blocks.double()
    length = float(gradient.norm())
    if not 0 < length < math.inf or not 0 < size < math.inf:
        return None
    along = blocks @ gradient / length
    return (along.sum() - along) / (len(blocks) - 1) / size


def interval_of(each: Tensor) -> tuple[float, float]:
    """The 95 % interval of an estimate, from its values with each block left out in turn, (blocks,)."""
    mean, half = float(each.mean()), _WIDTH * _error(each)
    return mean - half, mean + half


def better(one: Tensor, other: Tensor) -> float:
    """How many standard errors the first cosine is above the second: both (blocks,), as `cosines` gives them."""
    difference = one - other
    error = _error(difference)
    mean = float(difference.mean())
    return mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0


def _turn(direction: Tensor, blocks: Tensor, square: float) -> float:
    """The variance of the angle by which noise turns the reference away from a gradient, both in their plane.

    square: the reference's squared length.
    """
    mean = blocks.mean(0)
    across = mean - (mean @ direction) * direction
    length = float(across.norm())
    return float((blocks @ (across / length)).var()) / len(blocks) / square if length > 0 else 0.0


def _interval(cosine: float, half: float, turn: float) -> tuple[float, float]:
    """The interval of a cosine whose own error gives `half` to either side.

    Turning moves a cosine c by sqrt(1 - c^2) times the angle: more at a cosine nearer 0, where the truth may be.
    The end at which the estimate would be `_WIDTH` errors off solves (cosine - c)^2 = half^2 + a (cosine^2 - c^2), a =
    `turn` _WIDTH^2. Half of a is taken, for errors of second order lie on that side alone: intervals of random programs
    of 1 to 200 numbers then miss the truth as often above as below.
    """
    a, size = 0.5 * turn * _WIDTH**2, abs(cosine)
    inner = (size - math.sqrt((a * size) ** 2 + (1.0 + a) * half**2)) / (1.0 + a)
    inner, outer = max(-1.0, inner), min(1.0, size + half)
    return (inner, outer) if cosine >= 0 else (-outer, -inner)


def _sign(gradient: Tensor, blocks: Tensor) -> float | None:
    mean, error = blocks.mean(0), blocks.std(0) / math.sqrt(len(blocks))
    told = mean.abs() > _TOLD * error
    return float((gradient.sign() == mean.sign())[told].double().mean()) if bool(told.any()) else None


def _error(left_out: Tensor) -> float:
    """The standard error of an estimate, from its values with one block left out at a time."""
    return math.sqrt((len(left_out) - 1) * float((left_out - left_out.mean()).square().mean()))
