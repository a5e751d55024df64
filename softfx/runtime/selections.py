"""Reductions of the rows that a soft mask selects, each weighted by its probability: x[mask].sum(), .mean() ...

All functions take and return tensors: rows (n, ...), probabilities p (n), and chosen (n), the hard mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import softtorch
from softfx.runtime.distributions import blend, excluding
from softfx.runtime.elements import is_discrete

__all__ = [
    "alongside", "deviation", "left_out", "mean", "placed", "scattered", "total", "variance", "weighted", "within",
]  # fmt: skip


def _weighted(rows: Tensor, p: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The rows and their weights; infinite and NaN elements of rows that are not selected become 0."""
    rows = rows if not is_discrete(rows) else rows.to(p.dtype)
    weights = p.to(rows.dtype).reshape(-1, *(1,) * (rows.dim() - 1))
    spoilt = ~torch.isfinite(rows.detach()) & ~chosen.reshape(weights.shape)
    return torch.where(spoilt, 0.0, rows), weights.expand(rows.shape)


def weighted(rows: Tensor, p: Tensor, chosen: Tensor) -> Tensor:
    """Each row times its probability.  # (n, ...), (n), (n) -> (n, ...)

    >>> weighted(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5]), torch.tensor([True, False]))
    tensor([1., 1.])
    """
    rows, weights = _weighted(rows, p, chosen)
    return weights * rows


def within(mask: Tensor, chosen: Tensor) -> Tensor:
    """The rows that a mask selects among those that another has selected.  # (n), (m) -> (n)

    >>> within(torch.tensor([True, False, True]), torch.tensor([False, True]))
    tensor([False, False,  True])
    """
    return torch.zeros_like(mask).masked_scatter(mask, chosen)


def _axes(rows: Tensor, dims: Sequence[int] | None) -> list[int]:
    return list(range(rows.dim())) if dims is None else list(dims)


def total(rows: Tensor, p: Tensor, chosen: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """The sum of the selected rows.  # (n, ...), (n), (n) -> (...)

    >>> total(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5]), torch.tensor([True, False]))
    tensor(2.)
    """
    rows, weights = _weighted(rows, p, chosen)
    return (weights * rows).sum(_axes(rows, dims), keepdim)


def mean(rows: Tensor, p: Tensor, chosen: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """The mean of the selected rows.  # (n, ...), (n), (n) -> (...)"""
    axes = _axes(rows, dims)
    rows, weights = _weighted(rows, p, chosen)
    return softtorch.div((weights * rows).sum(axes, keepdim), weights.sum(axes, keepdim))


def variance(
    rows: Tensor, p: Tensor, chosen: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False,
    correction: float = 1,
) -> Tensor:  # fmt: skip
    """The variance of the selected rows, with Bessel's correction or another.  # (n, ...), (n), (n) -> (...)"""
    axes = _axes(rows, dims)
    rows, weights = _weighted(rows, p, chosen)
    mass = weights.sum(axes, True)
    centred = rows - softtorch.div((weights * rows).sum(axes, True), mass)
    result = softtorch.div((weights * centred * centred).sum(axes, True), (mass - correction).clamp(min=0))
    return result if keepdim else result.squeeze(tuple(axes))


def deviation(
    rows: Tensor, p: Tensor, chosen: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False,
    correction: float = 1,
) -> Tensor:  # fmt: skip
    """The standard deviation of the selected rows.  # (n, ...), (n), (n) -> (...)"""
    return softtorch.sqrt(variance(rows, p, chosen, dims, keepdim, correction))


def alongside(values: Tensor, p: Tensor) -> Tensor:
    """Values in the order of the rows that the hard mask selects, for all rows, by the number of selected rows before.

    # (k, ...), (n) -> (n, ...)

    >>> alongside(torch.tensor([10.0, 20.0]), torch.tensor([1.0, 0.0, 1.0]))
    tensor([10., 20., 20.])
    """
    values = values if not is_discrete(values) else values.to(p.dtype)
    before = (p.cumsum(0) - p).clamp(0, len(values) - 1)
    lower = before.detach().floor().long()
    part = (before - lower).to(values.dtype).reshape(-1, *(1,) * (values.dim() - 1))
    return blend(1 - part, values[lower], values[(lower + 1).clamp(max=len(values) - 1)])


def scattered(base: Tensor, p: Tensor, source: Tensor) -> Tensor:
    """torch.masked_scatter by a soft mask: where it is true the next of the source, by how often it was true before.

    # (...), (...) broadcastable, (any) -> (...) in the dtype of `base`, or of `p` where that has no fractions

    >>> scattered(torch.zeros(3), torch.tensor([1.0, 0.0, 1.0]), torch.tensor([5.0, 6.0]))
    tensor([5., 0., 6.])
    """
    base, p = torch.broadcast_tensors(base, p)  # type: ignore[no-untyped-call]
    like = base if not is_discrete(base) else p
    if not source.numel():
        return base.to(like.dtype)
    return placed(p, alongside(source.flatten(), p.flatten()).reshape(base.shape), base, like)


def left_out(rows: Tensor, p: Tensor, chosen: Tensor, largest: bool) -> Tensor:
    """All rows, the less likely ones moved away from the extreme asked for.  # (n, ...), (n), (n) -> (n, ...)"""
    rows, weights = _weighted(rows, p, chosen)
    return excluding(rows, weights, -1.0 if largest else 1.0)


def placed(p: Tensor, rows: Tensor, base: Tensor, like: Tensor) -> Tensor:
    """The rows where the mask selects them and `base` elsewhere, in the dtype of `like`.  # (n, ...) each"""
    return blend(p.to(like.dtype), rows.to(like.dtype), base.to(like.dtype))
