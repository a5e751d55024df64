"""Joined decisions whose noise has a tail: `a & b`, `all` of a row, far from all data.

The probability that independent decisions all hold is their product. Far from the data each factor is near 0, so what a
threshold is told is multiplied by that of all others, and is nothing. In mode "tailed", whose noise has a Cauchy tail,
a small part of the noise is one for all that is joined: there the joint probability is Clayton's copula,
1 / (1 + sum(1 / p - 1)). Where one decision alone does not hold, that is its own probability as the product is; where
none of n holds, it is an n-th of the least. Events that are not to happen are joined by their complements.

Source: Clayton 1978, doi 10.1093/biomet/65.1.141, with parameter 1; Joe 1997 on its lower tail.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["common", "every", "mixed", "some", "together"]

# Of the common noise. At 0.03 the gradient of rows of 8 far from all data is 1e-7, which Adam's epsilon leaves, and the
# cosine of `(rows > t).all(-1)` with its smoothed form is less by 0.003 (examples/studies/idioms.py); at 0.1 by 0.01.
SHARE = 0.03


def common(p: Tensor, q: Tensor) -> Tensor:
    """The probability that both happen where their noise is one: (...), (...) -> (...)

    >>> common(torch.tensor([1.0, 0.5, 2e-4]), torch.tensor([0.5, 0.5, 2e-4]))
    tensor([5.0000e-01, 3.3333e-01, 1.0001e-04])
    """
    p, q = (x.clamp(min=torch.finfo(x.dtype).tiny) for x in (p, q))
    least = torch.minimum(p.detach(), q.detach())  # the unit, so that nothing overflows
    return least / (least / p + least / q - least)


def mixed(product: Tensor, common: Tensor) -> Tensor:
    """The joint probability of decisions with tailed noise, of that of independent and that of common noise: (...)"""
    return torch.lerp(product, common, SHARE)


def every(p: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The probability that all along `dim` happen: (..., n, ...) -> (..., ...)

    >>> every(torch.tensor([[0.5, 0.5], [1e-3, 1e-3]]), -1)
    tensor([2.5250e-01, 1.5978e-05])
    """
    return mixed(p.prod(dim, keepdim=keepdim), together(p, dim, keepdim))


def some(p: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The probability that one along `dim` happens: (..., n, ...) -> (..., ...)

    >>> some(torch.tensor([[0.5, 0.5], [0.0, 0.5]]), -1)
    tensor([0.7475, 0.5000])
    """
    return 1.0 - every(1.0 - p, dim, keepdim)


def together(p: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """As `common`, of all along `dim`: (..., n, ...) -> (..., ...)

    >>> together(torch.tensor([1.0, 0.5, 0.5]), 0)
    tensor(0.3333)
    """
    if not p.dim() or not p.shape[dim]:
        return p.prod(dim, keepdim=keepdim)
    p = p.clamp(min=torch.finfo(p.dtype).tiny)
    least = p.detach().amin(dim, keepdim=True)
    found = least / ((least / p).sum(dim, keepdim=True) - (p.shape[dim] - 1) * least)
    return found if keepdim else found.squeeze(dim)
