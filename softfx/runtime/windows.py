"""Comparisons of numbers with the largest or smallest of a window around each: `x == x.cummax(0).values`.

Whether an entry is the largest of its window is decided by all of the window's entries, as an argmax is. The soft form
is the entry's share in the soft argmax of its window; a product of a soft maximum and a soft comparison is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import softtorch

__all__ = ["beside_neighbours", "beside_prefix"]

_AMONG = (torch.eq, torch.ge)  # hold for the largest of a window; so does each one's opposite for all others
_OTHERS = (torch.ne, torch.lt)
_MIRRORED = {torch.ge: torch.le, torch.le: torch.ge, torch.gt: torch.lt, torch.lt: torch.gt}


def beside_prefix(
    compare: Callable[..., Tensor],
    x: Tensor,
    statistic: Tensor,
    dim: int,
    largest: bool = True,
    softness: Tensor | float = 0.1,
    mode: str = "smooth",
    epsilon: float = 0.0,
) -> Tensor:
    """The soft form of `compare(x, x.cummax(dim).values)`, of `x.cummin` where not `largest`.

    # (..., n, ...) and as many -> (..., n, ...), in memory for (..., n, n)

    >>> x = torch.tensor([0.0, 2.0, 1.9])
    >>> beside_prefix(torch.eq, x, x.cummax(0).values, 0, softness=0.1)
    tensor([1.0000, 1.0000, 0.2689])
    """
    if not x.dim() or not x.numel():
        return compare(x, statistic).to(x.dtype)
    rows = x.movedim(dim, -1)
    behind = torch.ones(rows.shape[-1], rows.shape[-1], dtype=torch.bool, device=x.device).triu(1)
    windows = rows.unsqueeze(-2).masked_fill(behind, -torch.inf if largest else torch.inf)
    own = torch.arange(rows.shape[-1], device=x.device)
    soft = _shares(compare, windows, statistic.movedim(dim, -1), own, largest, softness, mode)
    return soft.movedim(-1, dim)


def beside_neighbours(
    compare: Callable[..., Tensor],
    x: Tensor,
    statistic: Tensor,
    reaches: Sequence[tuple[int, int]],
    softness: Tensor | float = 0.1,
    mode: str = "smooth",
    epsilon: float = 0.0,
) -> Tensor:
    """The soft form of `compare(x, max_pool(x))`, for windows that have each entry in their middle.

    Args:
        reaches: for each axis along which windows reach it, their size, an odd number.

    # (...) and as many -> (...), in memory for the windows

    >>> x = torch.tensor([[0.0, 2.0, 1.9]])
    >>> beside_neighbours(torch.eq, x, torch.nn.functional.max_pool1d(x, 3, 1, 1), [(1, 3)], softness=0.1)
    tensor([[2.0612e-09, 7.3106e-01, 2.6894e-01]])
    """
    windows, size = x, 1
    for axis, length in reaches:
        beyond = list(windows.shape)
        beyond[axis] = length // 2
        edge = windows.new_full(beyond, -torch.inf)
        windows = torch.cat((edge, windows, edge), axis).unfold(axis, length, 1)
        size *= length
    windows = windows.reshape(*x.shape, size)
    own = torch.full((), size // 2, device=x.device)
    return _shares(compare, windows, statistic, own, True, softness, mode)


def _shares(
    compare: Callable[..., Tensor],
    windows: Tensor,
    statistic: Tensor,
    own: Tensor,
    largest: bool,
    softness: Tensor | float,
    mode: str,
) -> Tensor:
    """The comparison of the entry at `own` of each window (..., [n]) with the window's extremum (...).

    An infinite entry has the hard answer, and so has one that no other finite entry is in a window with.
    """
    own = own.expand(windows.shape[:-1]).unsqueeze(-1)
    x = windows.gather(-1, own).squeeze(-1)
    hard = compare(x.detach(), statistic.detach()).to(x.dtype)
    sought = compare if largest else _MIRRORED.get(compare, compare)
    if sought not in (*_AMONG, *_OTHERS):
        return hard  # none is above the largest of its window
    finite = windows.isfinite()
    decided = x.isfinite() & statistic.isfinite() & (finite.sum(-1) > 1)
    windows = torch.where(finite, windows, -torch.inf if largest else torch.inf)
    choose = softtorch.argmax if largest else softtorch.argmin
    windows = torch.where(decided.unsqueeze(-1), windows, 0.0)
    shares = choose(windows, -1, softness=softness, mode=mode, standardize=False)
    tied = (windows.detach() == statistic.detach().unsqueeze(-1)).sum(-1)
    share = shares.gather(-1, own).squeeze(-1) * tied
    return torch.where(decided, share if sought in _AMONG else 1.0 - share, hard)
