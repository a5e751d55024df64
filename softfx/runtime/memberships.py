"""Memberships: which entries of each row stand on one side of an order statistic of that row.

`x >= x.kthvalue(k).values` holds for as many entries whatever x is: only which ones may change. So do its soft forms,
whose sum is that number; the border lies where it is, and moves with the entries near it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import softtorch

__all__ = ["beside_statistic"]

# The border is looked for so many softnesses to either side of the statistic, halving that so often: to 2e-6 of one.
_REACH = 1000.0
_HALVINGS = 30


def beside_statistic(
    compare: Callable[..., Tensor],
    x: Tensor,
    statistic: Tensor,
    dim: int | None,
    softness: Tensor | float = 0.1,
    mode: str = "smooth",
    epsilon: float = 0.0,
) -> Tensor:
    """The soft form of `compare(x, statistic)`, torch's eq, ne, gt, ge, lt or le, for an order statistic of x itself.

    Of each row along `dim` (of all entries, where it is None) the soft form sums to the number of entries for which the
    hard comparison holds, and its derivative sums to 0: that of the statistic is not needed. An infinite entry has the
    hard answer.
    # (..., n, ...), broadcastable to it -> (..., n, ...)

    Source: Struski et al. 2025, LapSum (arXiv 2503.06242): soft top-k as a sum of sigmoids.

    >>> x = torch.tensor([0.0, 1.0, 2.0])
    >>> soft = beside_statistic(torch.eq, x, x.max(), 0, softness=0.5)
    >>> bool(soft.argmax() == 2), round(float(soft.sum()), 3)
    (True, 1.0)
    """
    if compare in (torch.eq, torch.ne):
        settings = (x, statistic, dim, softness, mode)
        equal = beside_statistic(torch.ge, *settings) - beside_statistic(torch.gt, *settings)
        return equal if compare is torch.eq else 1.0 - equal
    if compare in (torch.lt, torch.le):
        return beside_statistic(torch.gt if compare is torch.lt else torch.ge, -x, -statistic, dim, softness, mode)
    fixed = statistic.detach()
    holds = compare(x.detach(), fixed)
    if dim is None:
        return _above(x.flatten(), holds.flatten(), fixed.flatten(), 0, softness, mode).view_as(x)
    return _above(x, holds, fixed, dim, softness, mode)


def _above(x: Tensor, holds: Tensor, near: Tensor, dim: int, softness: Tensor | float, mode: str) -> Tensor:
    """The soft form of x > border, whose sum along `dim` is that of `holds`; the border is near `near`."""

    def step(x: Tensor, border: Tensor) -> Tensor:
        return softtorch.greater(x, border, softness, mode, 0.0)

    finite = x.isfinite()
    x = torch.where(finite, x, near)
    many = (holds & finite).sum(dim, keepdim=True).to(x.dtype)
    fixed = x.detach()
    low, high = near - _REACH * softness, near + _REACH * softness
    for _ in range(_HALVINGS):
        border = 0.5 * (low + high)
        beyond = torch.where(finite, step(fixed, border), 0.0).sum(dim, keepdim=True) > many
        low, high = torch.where(beyond, border, low), torch.where(beyond, high, border)
    border = 0.5 * (low + high)
    slope = step(fixed, border - softness / 8.0) - step(fixed, border + softness / 8.0)
    slope = torch.where(finite, slope, 0.0)
    share = slope / slope.sum(dim, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    soft = torch.where(finite, step(x, border), holds.to(x.dtype))
    total = soft.sum(dim, keepdim=True)
    soft = soft - share.detach() * (total - total.detach())  # the border moves, so that the sum does not
    decided = (many > 0) & (many < finite.sum(dim, keepdim=True))  # else none has another one to change places with
    return torch.where(decided, soft, holds.to(x.dtype))
