"""Reductions of rows that a soft mask selects, each row weighted by its probability: x[mask].sum(), .mean() ...

Tensors in, tensors out. rows (n, ...), p (n), chosen (n) bool: what the hard mask selects.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import softtorch
from softfx.runtime.distributions import blend, excluding

__all__ = ["alongside", "deviation", "left_out", "mean", "placed", "total", "variance"]


def _weighted(rows: Tensor, p: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The rows and their weights; what a row that is not selected has of infinity or NaN is 0."""
    rows = rows if rows.is_floating_point() else rows.to(p.dtype)
    weights = p.to(rows.dtype).reshape(-1, *(1,) * (rows.dim() - 1))
    spoilt = ~torch.isfinite(rows.detach()) & ~chosen.reshape(weights.shape)
    return torch.where(spoilt, 0.0, rows), weights.expand(rows.shape)


def _axes(rows: Tensor, dims: Sequence[int] | None) -> list[int]:
    return list(range(rows.dim())) if dims is None else list(dims)


def total(rows: Tensor, p: Tensor, chosen: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Their sum.  # (n, ...), (n), (n) -> (...)

    >>> total(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5]), torch.tensor([True, False]))
    tensor(2.)
    """
    rows, weights = _weighted(rows, p, chosen)
    return (weights * rows).sum(_axes(rows, dims), keepdim)


def mean(rows: Tensor, p: Tensor, chosen: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Their mean.  # (n, ...), (n), (n) -> (...)"""
    axes = _axes(rows, dims)
    rows, weights = _weighted(rows, p, chosen)
    return softtorch.div((weights * rows).sum(axes, keepdim), weights.sum(axes, keepdim))


def variance(
    rows: Tensor, p: Tensor, chosen: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False
) -> Tensor:
    """Their variance, with Bessel's correction.  # (n, ...), (n), (n) -> (...)"""
    axes = _axes(rows, dims)
    rows, weights = _weighted(rows, p, chosen)
    mass = weights.sum(axes, True)
    centred = rows - softtorch.div((weights * rows).sum(axes, True), mass)
    result = softtorch.div((weights * centred * centred).sum(axes, True), (mass - 1).clamp(min=0))
    return result if keepdim else result.squeeze(tuple(axes))


def deviation(
    rows: Tensor, p: Tensor, chosen: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False
) -> Tensor:
    """Their standard deviation.  # (n, ...), (n), (n) -> (...)"""
    return softtorch.sqrt(variance(rows, p, chosen, dims, keepdim))


def alongside(values: Tensor, p: Tensor) -> Tensor:
    """What stands beside the rows that the hard mask selects, in their order, for all rows: by how many come before.

    # (k, ...), (n) -> (n, ...)

    >>> alongside(torch.tensor([10.0, 20.0]), torch.tensor([1.0, 0.0, 1.0]))
    tensor([10., 20., 20.])
    """
    values = values if values.is_floating_point() else values.to(p.dtype)
    before = (p.cumsum(0) - p).clamp(0, len(values) - 1)
    lower = before.detach().floor().long()
    part = (before - lower).to(values.dtype).reshape(-1, *(1,) * (values.dim() - 1))
    return torch.lerp(values[lower], values[(lower + 1).clamp(max=len(values) - 1)], part)


def left_out(rows: Tensor, p: Tensor, chosen: Tensor, largest: bool) -> Tensor:
    """All rows, those further from an extreme that are less likely to be selected.  # (n, ...), (n), (n) -> (n, ...)"""
    rows, weights = _weighted(rows, p, chosen)
    return excluding(rows, weights, -1.0 if largest else 1.0)


def placed(p: Tensor, rows: Tensor, base: Tensor, like: Tensor) -> Tensor:
    """The rows where they were selected, else `base`, in the type of `like`.  # (n, ...) each"""
    return blend(p.to(like.dtype), rows.to(like.dtype), base.to(like.dtype))
