"""Projection onto the capped simplex {0 <= y <= 1, sum y = k} with a power link (arXiv 2302.01425).

y_i = min(1, (x_i - threshold)_+^r), r = 1, 2, 3. The threshold's piece is found by bisection over the sorted
breakpoints x_i and x_i - 1, with the sum itself evaluated at each (running moments would cancel), then solved in closed
form. A fixed number of operators, so every transform and compiler takes it.
"""

import torch
from torch import Tensor
from torch.nn.functional import hardtanh

from softtorch.kernels.numeric.sizes import doublings


def capped_project(x: Tensor, k: Tensor, power: int) -> Tensor:
    """Probabilities (..., n) that sum to k.

    Args:
        x: scores (..., n), divided by the softness.
        k: the sum (..., 1), a real number in [0, n]; gradients reach it.
        power: r, one of 1, 2, 3.
    """
    if x.numel() == 0:
        return x + 0.0 * k
    threshold = _threshold(x.detach(), k.detach(), power)
    # A step of Newton's method at the solution moves nothing; each carries one derivative of the implicit function.
    for _ in range(2):
        gap = x - threshold
        partial = (gap > 0) & (gap < 1)
        slope = torch.where(partial, power * gap.clamp(min=0.0).pow(power - 1), 0.0).sum(dim=-1, keepdim=True)
        excess = _link(gap, power).sum(dim=-1, keepdim=True) - k
        steep = slope > 0
        threshold = threshold + torch.where(steep, excess, 0.0) / torch.where(steep, slope, 1.0)
    return _link(x - threshold, power)


def _link(gap: Tensor, power: int) -> Tensor:
    # hardtanh has no derivative at its bounds, where clamp has one: an entry that is just full stays so.
    return hardtanh(gap, 0.0, 1.0).pow(power)


def _threshold(x: Tensor, k: Tensor, power: int) -> Tensor:
    """The threshold (..., 1) for scores (..., n)."""
    breaks = torch.cat([x, x - 1.0], dim=-1).sort(dim=-1, descending=True).values
    low = torch.zeros_like(k.expand(*x.shape[:-1], 1), dtype=torch.long)
    high = torch.full_like(low, breaks.shape[-1] - 1)  # at the lowest break the sum is n
    for _ in range(doublings(breaks.shape[-1])):
        middle = (low + high) // 2
        enough = _link(x - breaks.gather(-1, middle), power).sum(dim=-1, keepdim=True) >= k
        low, high = torch.where(enough, low, middle + 1).minimum(high), torch.where(enough, middle, high)
    bottom, top = breaks.gather(-1, high), breaks.gather(-1, (high - 1).clamp(min=0))
    partial = (x >= top) & (x - 1.0 <= bottom)
    size = partial.sum(dim=-1, keepdim=True).clamp(min=1)
    rest = k - (x - 1.0 >= top).sum(dim=-1, keepdim=True)
    mean = torch.where(partial, x, 0.0).sum(dim=-1, keepdim=True) / size
    root = _ROOTS[power](torch.where(partial, x - mean, 0.0), size.to(x.dtype), rest)
    return torch.minimum(torch.maximum(mean - root, bottom), top)


# How far the threshold lies below the mean of m entries: t with sum (d_i + t)^r = total, where sum d_i = 0.


def _linear_root(d: Tensor, m: Tensor, total: Tensor) -> Tensor:
    return total / m


def _quadratic_root(d: Tensor, m: Tensor, total: Tensor) -> Tensor:
    return ((total - d.square().sum(dim=-1, keepdim=True)) / m).clamp(min=0.0).sqrt()


def _cubic_root(d: Tensor, m: Tensor, total: Tensor) -> Tensor:
    """t^3 + 3 p t = 2 q, by Cardano's formula as a quotient."""
    p = d.square().sum(dim=-1, keepdim=True) / m
    q = (total - d.pow(3).sum(dim=-1, keepdim=True)) / (2.0 * m)
    a = (q.abs() + (q.square() + p.pow(3)).sqrt()).clamp(min=torch.finfo(d.dtype).tiny).pow(1.0 / 3.0)
    b = p / a
    return 2.0 * q / (a.square() + p + b.square()).clamp(min=torch.finfo(d.dtype).tiny)


_ROOTS = {1: _linear_root, 2: _quadratic_root, 3: _cubic_root}
