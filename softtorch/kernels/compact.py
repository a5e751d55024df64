"""Averages along a sorted line under weights of compact support, w_ij = (t_i - |y_i - y_j|)_+^r with sum_j w_ij = 1.

This is the projection onto the simplex (simplex.py) of minus the distances from each place, without the pairs: near-
linear time, linear memory. The reaches t_i are found by a search whose length depends on the data, so they come from
one opaque operator; given them, everything is ordinary differentiable torch.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.line import Anchors, Moments, Windows, cells
from softtorch.kernels.scan import together

# Far above what a search needs that halves its interval every third step and mostly converges like Newton's method.
MAX_STEPS = 200


def average(y: Tensor, v: Tensor, index: Tensor, power: int) -> Tensor:
    """sum_j w_ij v_j at the places y_i that are asked for, (..., k).

    Args:
        y: places (..., n) in rising order, in float64 where there is such.
        v: what is averaged, (..., n).
        index: which of the n places, (k,).
        power: r, one of 1, 2, 3.
    """
    y, v = together(y, v)
    batch, n = y.shape[:-1], y.shape[-1]
    y, v = y.reshape(-1, n), v.reshape(-1, n)
    t, left, right = _reaches(y.detach(), index, power)
    place = cells(y)
    anchors = Anchors(y, place, index)
    ones = Windows(anchors, Moments(place, torch.ones_like(y), power), left, right)
    # A step of Newton's method at the solution moves nothing; each carries one derivative of the implicit function.
    for _ in range(2):
        t = t - (ones.power_sum(t, power) - 1.0) / (power * ones.power_sum(t, power - 1))
    middle = v.detach().mean(dim=-1, keepdim=True)  # running sums of deviations lose the fewest digits
    total = Windows(anchors, Moments(place, v - middle, power), left, right).power_sum(t, power)
    # A NaN is sorted last; windows that do not reach it would not know of it.
    result = total / ones.power_sum(t, power) + middle + 0.0 * y[..., -1:]
    return result.reshape(*batch, index.shape[-1])


@torch.library.custom_op("softtorch::compact_reaches", mutates_args=())
def _reaches(y: Tensor, index: Tensor, power: int) -> tuple[Tensor, Tensor, Tensor]:
    """Reaches t, (rows, k), of the anchors y[:, index], and the edges of their windows, (rows, k) each.

    The mass within t is convex and rises. A tangent to it, from whichever side, bounds t from above.
    """
    place = cells(y)
    anchors, moments = Anchors(y, place, index), Moments(place, torch.ones_like(y), power)
    n = y.shape[-1]
    high = torch.ones_like(anchors.at)  # a place has the weight 1 from itself alone there
    low = torch.full_like(high, n ** (-1.0 / power))  # and not more than this with all others beside it
    low, t = torch.minimum(low, high), high
    tolerance = max(1e-9, 500.0 * n * torch.finfo(y.dtype).eps)  # Newton's method squares it; rounding of the sums
    for step in range(MAX_STEPS):
        left, right = anchors.edges(t)
        windows = Windows(anchors, moments, left, right)
        mass, slope = windows.power_sum(t, power), power * windows.power_sum(t, power - 1)
        apart = ((mass - 1.0).abs() > tolerance) & (high - low > 1e-15 * high)
        if not bool(apart.any()):
            break
        low = torch.where(mass < 1.0, t, low)
        high = torch.minimum(torch.where(mass < 1.0, high, t), t - (mass - 1.0) / slope)
        # As if the mass were a power of t, which it is for entries that are evenly spread.
        guess = t - (power + 1) * (mass - mass.pow(power / (power + 1.0))) / slope
        middle = (low + high) / 2.0
        better = torch.where((guess > low) & (guess < high), guess, high) if step % 3 < 2 else middle
        t = torch.where(apart, better, t)
    return t, left, right


@_reaches.register_fake
def _(y: Tensor, index: Tensor, power: int) -> tuple[Tensor, Tensor, Tensor]:
    shape = (y.shape[0], index.shape[0])
    place = torch.empty(shape, dtype=torch.int64, device=y.device)
    return y.new_empty(shape), place, torch.empty_like(place)


@_reaches.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], y: Tensor, index: Tensor, power: int
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, int]]:
    y = y.expand(info.batch_size, *y.shape) if in_dims[0] is None else y.movedim(in_dims[0], 0)
    shape = (*y.shape[:-1], index.shape[0])
    found = _reaches(y.reshape(-1, y.shape[-1]).contiguous(), index, power)
    t, left, right = (x.view(shape) for x in found)
    return (t, left, right), (0, 0, 0)
