"""Averages at soft indices of rows that hold infinities, such as logits that a filter has masked with -inf.

No average with an infinite number is of use. What the program reads or finds there decides: where that is finite the
infinite and NaN elements are left out, and the weights of the others fill the whole; where it is not, it stands alone
and has no derivative. Rows that are finite have the averages that softtorch gives.
"""

from __future__ import annotations

import torch
from torch import Tensor

import softtorch
from softfx.runtime.distributions import excluding

__all__ = ["averaged", "gathered", "scattered"]

# The least weight that the finite elements of a row are taken to have in all.
_LEAST = 1e-6


def _settled(soft: Tensor, hard: Tensor) -> Tensor:
    return torch.where(torch.isfinite(hard), soft, hard.detach().to(soft.dtype))


def averaged(p: Tensor, values: Tensor, hard: Tensor) -> Tensor:
    """sum_j p_j values_j over the finite values, `hard` being the one that is found.  # (..., [n]) x2, (...) -> (...)

    >>> averaged(torch.tensor([0.5, 0.25, 0.25]), torch.tensor([1.0, 4.0, -torch.inf]), torch.tensor(1.0))
    tensor(2.)
    """
    finite = torch.isfinite(values)
    left = p * finite
    mass = left.sum(-1, keepdim=True).clamp(min=_LEAST)
    return _settled(softtorch.choose(left / mass, torch.where(finite, values, 0.0).movedim(-1, 0)), hard)


def gathered(x: Tensor, dim: int, p: Tensor, hard: Tensor) -> Tensor:
    """softtorch.gather of the finite elements.  # (..., n, ...), (..., k, ..., [n]), (..., k, ...) -> (..., k, ...)

    >>> x, p = torch.tensor([1.0, -torch.inf]), torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> gathered(x, 0, p, x)
    tensor([1., -inf])
    """
    finite = torch.isfinite(x)
    found = softtorch.gather(torch.where(finite, x, 0.0), dim, p)
    return _settled(found / softtorch.gather(finite.to(x.dtype), dim, p).clamp(min=_LEAST), hard)


def scattered(x: Tensor, dim: int, p: Tensor, values: Tensor, hard: Tensor) -> Tensor:
    """softtorch.scatter of finite values; into infinite places the writes are excluded the less they take.

    # (..., n, ...), (..., k, ..., [n]), (..., k, ...), (..., n, ...) -> (..., n, ...)

    >>> x, p = torch.zeros(2), torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> scattered(x, 0, p, torch.tensor([4.0, -torch.inf]), torch.tensor([4.0, -torch.inf]))
    tensor([4., -inf])
    """
    values = values[tuple(slice(size) for size in p.shape[:-1])]
    finite, is_place = torch.isfinite(values), torch.isfinite(x)
    left = p * finite.unsqueeze(-1)
    taken, fits = p.sum(dim, keepdim=True), left.sum(dim, keepdim=True)
    weights = torch.where(fits > _LEAST, left * (taken / fits.clamp(min=_LEAST)), left)
    whole = softtorch.scatter(torch.where(is_place, x, 0.0), dim, weights, torch.where(finite, values, 0.0))
    share = softtorch.scatter(torch.zeros_like(x), dim, p, 1.0)
    alone = whole / share.clamp(min=_LEAST)
    moved = torch.where(x > 0, excluding(alone, share, 1.0), excluding(alone, share, -1.0))
    return _settled(torch.where(is_place, whole, softtorch.straight_through(hard, moved)), hard)
