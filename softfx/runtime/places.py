"""Soft places along an axis: of the first bool that is true, of a number among the distinct ones.

All functions take and return tensors, on any device, differentiable, and batched if the operation is. `distributions`
holds the arithmetic on distributions.
"""

from __future__ import annotations

import torch
from torch import Tensor

import softtorch
from softfx.runtime import distributions, keys
from softfx.runtime.distributions import excluding

__all__ = [
    "binned",
    "chosen_of",
    "covering",
    "distinct",
    "finite",
    "first",
    "gathered_extreme",
    "gathered_mean",
    "inverse",
    "located",
    "place_of",
    "placed_extreme",
    "rows_of",
]


def first(b: Tensor, dim: int | None = None) -> Tensor:
    """The place of the first soft bool that is true along `dim` (of all, flattened), and 0 if none is.

    # (..., n, ...) -> (..., [n])

    >>> first(torch.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.5000, 0.5000])
    """
    b = b.flatten() if dim is None else b.movedim(dim, -1)
    none = (1 - b).cumprod(-1)  # none up to and with each
    weights = b * torch.cat([torch.ones_like(none[..., :1]), none[..., :-1]], -1)
    start = (torch.arange(b.shape[-1], device=b.device) == 0).to(b.dtype)
    return weights + none[..., -1:] * start


def rows_of(p: Tensor, table: Tensor) -> Tensor:
    """The rows of a table by their weights: a product of matrices.  # (..., [n]), (n, *row) -> (..., *row)

    >>> rows_of(torch.tensor([0.5, 0.5]), torch.tensor([[[1.0], [2.0]], [[3.0], [6.0]]])).tolist()
    [[2.0], [4.0]]
    """
    if table.dim() == 1:
        return distributions.weighted(p, table)
    return softtorch.embedding(p, table.flatten(1)).reshape(*p.shape[:-1], *table.shape[1:])


def chosen_of(whole: Tensor, p: Tensor, axis: int, in_rows: bool) -> Tensor:
    """What soft places choose of a whole along an axis from its end; an infinite or NaN number counts for nothing.

    in_rows: each row has places of its own.
    # (..., n, ...), (k, [n]) or in rows (..., k, ..., [n]) -> (..., k, ...)

    >>> chosen_of(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5, 0.5]]), -2, False)
    tensor([[2.]])
    """
    whole = finite(whole)
    if in_rows:
        return softtorch.gather(whole, axis % whole.dim(), p)
    return (whole.movedim(axis, -1) @ p.T.to(whole.dtype)).movedim(-1, axis)


def finite(x: Tensor) -> Tensor:
    """The numbers with 0 for what is infinite or NaN.

    >>> finite(torch.tensor([1.0, torch.inf]))
    tensor([1., 0.])
    """
    return torch.where(x.isfinite(), x, 0.0)


def covering(p: Tensor, dim: int) -> Tensor:
    """The weights of a permutation along `dim`, each place taken once in all.  # (..., n, ..., [n]) -> the same

    Rows of a relaxed permutation are distributions, but a place may be wanted by more rows than one, or by less.

    >>> covering(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), 0)
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    return p / p.sum(dim, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)


def inverse(p: Tensor, dim: int, descending: bool = False) -> Tensor:
    """The inverse of a permutation along `dim`: where in it each number is.  # (..., n, ..., [n]) -> the same

    >>> inverse(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), 0).argmax(-1)
    tensor([2, 0, 1])
    """
    ranks = covering(p, dim).transpose(dim, -1)
    return ranks.flip(dim) if descending else ranks


def distinct(x: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct numbers of x, each the mean of the elements equal to it, and the number that each element is.

    # (...), (u) in ascending order, none missing -> (u), (...) int64

    >>> distinct(torch.tensor([2.0, 1.0, 2.0]), torch.tensor([1.0, 2.0]))
    (tensor([1., 2.]), tensor([1, 0, 1]))
    """
    place = torch.searchsorted(values.detach().contiguous(), x.detach().contiguous()).clamp(max=len(values) - 1)
    zeros = torch.zeros_like(values)
    counts = zeros.index_add(0, place.flatten(), torch.ones_like(x).flatten())
    return zeros.index_add(0, place.flatten(), x.flatten()) / counts.clamp(min=1), place


def place_of(ranks: Tensor, place: Tensor) -> Tensor:
    """The places of elements among the distinct numbers, from 0 on.  # (u), (...) -> (...)

    >>> place_of(torch.tensor([1.0, 2.0]), torch.tensor([1, 0, 1]))
    tensor([1., 0., 1.])
    """
    return keys.read(ranks, place) - 1


def binned(p: Tensor, points: Tensor, bins: int, low: float, high: float) -> Tensor:
    """The number of soft integers in each of equal bins as torch.histc counts them, each by its probabilities.

    # (..., [n]), broadcastable to (..., [n]) -> (bins)

    >>> binned(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([0, 1]), 2, 0, 2)
    tensor([0.5000, 1.5000])
    """
    points = points.expand(p.shape).to(p.dtype)
    inside = (points >= low) & (points <= high)
    place = ((points - low) * bins / (high - low)).floor().clamp(0, bins - 1)
    return p.new_zeros(bins).index_add(0, place.long().flatten(), (p * inside).flatten())


def located(edges: Tensor, numbers: Tensor, right: bool) -> Tensor:
    """torch.searchsorted of numbers of another type.  # (m), (...) -> (...) int64

    >>> located(torch.tensor([0.5, 1.5]), torch.tensor([0, 1, 2]), False)
    tensor([0, 1, 2])
    """
    dtype = torch.promote_types(edges.dtype, numbers.dtype)
    return torch.searchsorted(edges.to(dtype), numbers.to(dtype).contiguous(), right=right)


def _brought(p: Tensor, src: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The weights and values that a scatter brings to each place.  # (..., [n]), (...) -> both (..., n, ..., [k])"""
    src = src[tuple(slice(size) for size in p.shape[:-1])]
    weights = p.transpose(dim, -1)
    return weights, src.unsqueeze(-1).transpose(dim, -1).expand(weights.shape)


def gathered_extreme(base: Tensor, dim: int, p: Tensor, src: Tensor, include_self: bool, *, largest: bool) -> Tensor:
    """torch.scatter_reduce "amax" or "amin" by a soft index: a value of little weight at a place hardly counts.

    # (..., n, ...), (..., k, ..., [n]), (..., k, ...) -> (..., n, ...)

    >>> gathered_extreme(torch.zeros(2), 0, torch.eye(2), torch.tensor([3.0, -4.0]), True, largest=True)
    tensor([3., 0.])
    """
    weights, values = _brought(p, src, dim)
    far = torch.finfo(values.dtype).min if largest else torch.finfo(values.dtype).max
    left = torch.where(weights > 0, excluding(values, weights, -1.0 if largest else 1.0), far)
    first = base if include_self else torch.full_like(base, far)  # there also where an index is empty
    left = torch.cat([first.unsqueeze(-1), left], -1)
    found = left.amax(-1) if largest else left.amin(-1)
    return found if include_self else torch.where(weights.sum(-1) > 0.5, found, base)


def placed_extreme(base: Tensor, dim: int, p: Tensor, src: Tensor, include_self: bool, *, largest: bool) -> Tensor:
    """The same at the likeliest places, with torch's derivative by the values and the soft one by the places.

    A value that hardly counts where it lies has a soft derivative beside it, and none there: equal values, or a number
    near what was there before, would lose to what lies elsewhere.

    # (..., n, ...), (..., k, ..., [n]), (..., k, ...) -> (..., n, ...)

    >>> placed_extreme(torch.zeros(2), 0, torch.eye(2), torch.tensor([3.0, -4.0]), True, largest=True)
    tensor([3., 0.])
    """
    if p.numel() == 0:  # no place is the likeliest
        return gathered_extreme(base, dim, p, src, include_self, largest=largest)
    reduce = "amax" if largest else "amin"
    src = src[tuple(slice(size) for size in p.shape[:-1])]  # of a larger one torch has no derivative
    dtype = torch.promote_types(base.dtype, src.dtype)
    base, src = base.to(dtype), src.to(dtype)
    found = base.scatter_reduce(dim, p.detach().argmax(-1), src, reduce, include_self=include_self)
    moved = gathered_extreme(base.detach(), dim, p, src.detach(), include_self, largest=largest)
    return found + (moved - moved.detach()).nan_to_num(0.0)  # of infinite numbers it is NaN


def gathered_mean(base: Tensor, dim: int, p: Tensor, src: Tensor, include_self: bool) -> Tensor:
    """torch.scatter_reduce "mean" by a soft index.  # (..., n, ...), (..., k, ..., [n]), (..., k, ...) -> (..., n, ...)

    >>> gathered_mean(torch.zeros(2), 0, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([3.0, 5.0]), False)
    tensor([4., 0.])
    """
    weights, values = _brought(p, src, dim)
    total, mass = (weights * values).sum(-1), weights.sum(-1)
    if include_self:
        return (base + total) / (1 + mass)
    return torch.where(mass > 0, total / torch.where(mass > 0, mass, 1.0), base)
