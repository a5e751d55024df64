"""Comparisons of numbers with the largest or smallest of their row, prefix or window: `x == x.cummax(0).values`.

Whether an entry is the largest among others is decided by all of them, as an argmax is. The soft form is the entry's
share in the soft argmax; a soft comparison with a soft maximum is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import softtorch
from softfx.runtime.mirrored import mirrored

__all__ = ["beside_extremum", "beside_neighbours", "beside_prefix"]

_AMONG = (torch.eq, torch.ge)  # hold for the largest of a window; so does each one's opposite for all others
_OTHERS = (torch.ne, torch.lt)
# The softness of a comparison is 0.2 spreads by default, that of a choice 0.25 (softfx.rules.units), and this is one.
_WIDER = 1.25


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
    tensor([1.0000, 1.0000, 0.3100])
    """
    if not x.dim() or not x.numel():
        return compare(x, statistic).to(x.dtype)
    rows = x.movedim(dim, -1)
    behind = torch.ones(rows.shape[-1], rows.shape[-1], dtype=torch.bool, device=x.device).triu(1)
    windows = rows.unsqueeze(-2).masked_fill(behind, -torch.inf if largest else torch.inf)
    own = torch.arange(rows.shape[-1], device=x.device)
    soft = _in_windows(compare, windows, statistic.movedim(dim, -1), own, largest, softness, mode)
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
    tensor([[1.1254e-07, 6.8997e-01, 3.1003e-01]])
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
    return _in_windows(compare, windows, statistic, own, True, softness, mode)


def beside_extremum(
    compare: Callable[..., Tensor],
    x: Tensor,
    statistic: Tensor,
    dim: int | None,
    largest: bool = True,
    softness: Tensor | float = 0.1,
    mode: str = "smooth",
    epsilon: float = 0.0,
) -> Tensor:
    """The soft form of `compare(x, x.amax(dim, keepdim=True))`, of `x.amin` where not `largest`; None: of all entries.

    # (..., n, ...) and a statistic that is broadcast to it -> (..., n, ...)

    >>> x = torch.tensor([0.0, 2.0, 1.9])
    >>> beside_extremum(torch.eq, x, x.max(), 0, softness=0.1)
    tensor([7.7646e-08, 6.8997e-01, 3.1003e-01])
    """
    if not x.dim() or not x.numel():
        return compare(x, statistic).to(x.dtype)
    rows = x.flatten() if dim is None else x.movedim(dim, -1)
    top = statistic.flatten() if dim is None or statistic.dim() < x.dim() else statistic.movedim(dim, -1)
    soft = _answers(compare, rows, top.expand_as(rows), _shares(rows, top, largest, softness, mode), rows, largest)
    return soft.view_as(x) if dim is None else soft.movedim(-1, dim)


def _in_windows(
    compare: Callable[..., Tensor],
    windows: Tensor,
    statistic: Tensor,
    own: Tensor,
    largest: bool,
    softness: Tensor | float,
    mode: str,
) -> Tensor:
    """The comparison of the entry at `own` of each window (..., [n]) with the window's extremum (...)."""
    own = own.expand(windows.shape[:-1]).unsqueeze(-1)
    x = windows.gather(-1, own).squeeze(-1)
    share = _shares(windows, statistic.unsqueeze(-1), largest, softness, mode).gather(-1, own).squeeze(-1)
    return _answers(compare, x, statistic, share, windows, largest)


def _shares(windows: Tensor, top: Tensor, largest: bool, softness: Tensor | float, mode: str) -> Tensor:
    """The share of each entry in the soft choice of its window's extremum `top`, (..., [n]), (..., 1) -> (..., [n]).

    As many shares as entries are tied there sum to their number.
    """
    choose, out = (softtorch.argmax, -torch.inf) if largest else (softtorch.argmin, torch.inf)
    finite = windows.isfinite()
    decided = top.isfinite() & (finite.sum(-1, keepdim=True) > 1)
    among = torch.where(decided, torch.where(finite, windows, out), 0.0)
    shares = choose(among, -1, softness=_WIDER * softness, mode=mode, standardize=False)
    return shares * (windows.detach() == top.detach()).sum(-1, keepdim=True)


def _answers(
    compare: Callable[..., Tensor], x: Tensor, top: Tensor, share: Tensor, windows: Tensor, largest: bool
) -> Tensor:
    """What `compare(x, top)` is, softly, for entries with a `share` in the choice of top; all (...).

    An infinite entry has the hard answer, and so has one that no other finite entry is in a window with.
    """
    hard = compare(x.detach(), top.detach()).to(x.dtype)
    sought = compare if largest else mirrored(compare)
    if sought not in (*_AMONG, *_OTHERS):
        return hard  # none is above the largest of its window
    several = windows.isfinite().sum(-1, keepdim=windows.dim() == x.dim()) > 1
    decided = x.isfinite() & top.isfinite() & several
    return torch.where(decided, share if sought in _AMONG else 1.0 - share, hard)
