"""Sums of soft distances along a sorted line for the piecewise modes: A_i = sum_j K(y_i - y_j), in near-linear time.

K(u) = u sign(u / 5) is |u| but for |u| < 5, where w = 1 - |u| / 5 gives the difference as a short polynomial: a sum of
powers over a window (windows.py). Entries that are equal are told apart by their order, on either side of which K has
the same derivatives. Everything is ordinary differentiable torch. The smooth mode's sums are in distances.py.
"""

import torch
from torch import Tensor

from softtorch.kernels.pointwise.polynomial import HALF_WIDTH
from softtorch.kernels.sorted_line.windows import Anchors, Moments, Windows, cells

# (|u| - K(u)) / 5 by the powers of w, for the links of the modes c0, c1 and c2: |t| (1 - sign(t)) with |t| = 1 - w.
DIFFERENCES: dict[int, tuple[float, ...]] = {
    1: (0.0, 1.0, -1.0),
    2: (0.0, 0.0, 1.5, -2.0, 0.5),
    3: (0.0, 0.0, 0.0, 2.5, -4.375, 2.25, -0.375),
}


def compact_distance_sums(y: Tensor, v: Tensor, power: int) -> Tensor:
    """sum_j K(y_i - y_j) v_j, (..., n), for constant weights v, (..., n).

    Args:
        y: places (..., n), in units of the softness, in rising order and in float64 where there is such.
        v: of the dtype of y.
        power: r of the mode's link, one of 1, 2, 3, by which it is known.
    """
    batch, n = y.shape[:-1], y.shape[-1]
    t, v = y.reshape(-1, n) / HALF_WIDTH, v.reshape(-1, n)
    t = t - t[:, n // 2 :][:, :1].detach()
    count, upto = v.cumsum(dim=-1), (v * t).cumsum(dim=-1)
    plain = t * (2.0 * count - count[:, -1:]) - (2.0 * upto - upto[:, -1:])
    return (HALF_WIDTH * (plain - _near(t, v, DIFFERENCES[power]))).reshape(*batch, n)


def _near(t: Tensor, v: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """sum_j of the polynomial of (1 - |t_i - t_j|)_+ times v_j, (rows, n); an entry itself adds nothing."""
    place = cells(t)
    anchors = Anchors(t, place, None, by_order=True)
    one = torch.ones_like(t)
    windows = Windows(anchors, Moments(place, v, len(coefficients) - 1), *anchors.edges(one.detach()))
    result = torch.zeros_like(t)
    # A place by itself is met as w = 1 by all powers, whose coefficients sum to 0.
    for power, coefficient in enumerate(coefficients):
        if coefficient:
            result = result + coefficient * windows.power_sum(one, power)
    return result
