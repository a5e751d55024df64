"""Tallies: how many of several independent soft bools are true, and how likely a comparison of that number is.

The number is Poisson-binomial: each way to it counts, also where the mean is far from it. Of many bools, or in many
rows, where its weights would take too much memory, it is nearly normal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from softfx.runtime import distributions, joining
from softfx.runtime.mirrored import mirrored

__all__ = ["is_small", "points", "probability", "rows_of", "winner", "with_a_tail"]

# The numbers that the weights of all rows may take while they are made, one bool after the other: 64 MiB of float32.
_MOST = 1 << 24


def rows_of(p: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    """The probabilities along `dim`, or all of them, as an axis of their own: -> (..., [n])"""
    if dim is None:
        return p.flatten()
    rows = p.movedim(dim, -1)
    return rows.unsqueeze(dim % p.dim()) if keepdim else rows


def points(p: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of 0, 1, ... n true ones of independent probabilities.  # (..., [n]) -> (..., [n + 1]), ([n + 1])

    >>> points(torch.tensor([0.5, 0.5]))
    (tensor([0.2500, 0.5000, 0.2500]), tensor([0, 1, 2]))
    """
    weights = torch.ones_like(p[..., :1])
    for one in p.unbind(-1):
        true = one.unsqueeze(-1)
        weights = torch.nn.functional.pad(weights * (1.0 - true), (0, 1)) + torch.nn.functional.pad(
            weights * true, (1, 0)
        )
    return weights, torch.arange(p.shape[-1] + 1, device=p.device)


def winner(p: Tensor, dim: int | None, largest: bool) -> Tensor:
    """The first of the largest, or smallest, tallies along an axis of the tallies, or of all: (..., [n]) -> (..., [m]).

    Each of the m wins with the probability that those before it are smaller, and those behind it not larger.

    >>> winner(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), 0, True)
    tensor([0.7500, 0.2500])
    """
    rows = p.reshape(-1, p.shape[-1]) if dim is None else p.movedim(dim, -2)
    weights = points(rows)[0]
    weights = weights if largest else weights.flip(-1)
    at_most = weights.cumsum(-1)
    ones = torch.ones_like(weights[..., :1, :])
    before = torch.cat([ones, (at_most - weights)[..., :-1, :]], -2).cumprod(-2)
    behind = torch.cat([ones, at_most[..., 1:, :].flip(-2)], -2).cumprod(-2).flip(-2)
    return (weights * before * behind).sum(-1)


def is_small(p: Tensor) -> bool:
    """Return True if the weights of all numbers can be had.  # (..., [n])"""
    return p.numel() * (p.shape[-1] + 1) <= _MOST


def probability(compare: Callable[..., Tensor], p: Tensor, other: Tensor | float, reflected: bool) -> Tensor:
    """How likely `compare` holds of the tally and a number, (..., [n]), (...) -> (...); reflected: of these exchanged.

    >>> round(float(probability(torch.gt, torch.tensor([0.5, 0.5]), 1, False)), 3)
    0.25
    """
    if is_small(p):
        return distributions.probability(compare, *points(p), None, other, reflected)
    compare = mirrored(compare) if reflected else compare
    mean, spread = p.sum(-1), (p * (1.0 - p)).sum(-1).clamp(min=torch.finfo(p.dtype).tiny).sqrt()
    number = torch.as_tensor(other, dtype=p.dtype, device=p.device)

    def at_most(bound: Tensor) -> Tensor:
        return 0.5 * torch.erfc((mean - bound - 0.5) / (spread * math.sqrt(2.0)))

    below, upto = at_most(number.ceil() - 1.0), at_most(number.floor())
    found = {
        torch.lt: below, torch.le: upto, torch.gt: 1.0 - upto, torch.ge: 1.0 - below, torch.eq: upto - below,
        torch.ne: 1.0 - (upto - below),
    }  # fmt: skip
    return found[compare]


def with_a_tail(compare: Callable[..., Tensor], p: Tensor, other: Tensor | float, reflected: bool) -> Tensor:
    """The same of bools whose noise has a tail, a small part of which is one for all of them (softfx.runtime.joining).

    That part is the probability of the likeliest way: of n true ones, that the n likeliest are and no other one is, as
    `all` joins them. Far from the data it is an n-th of the least, where the independent product is nothing.

    >>> far = torch.full((8,), 1e-3, requires_grad=True)
    >>> for likely in (probability, with_a_tail):
    ...     bool(torch.autograd.grad(likely(torch.eq, far, 8, False), far)[0].min() > 1e-4)
    False
    True
    """
    common = _likeliest(mirrored(compare) if reflected else compare, p, other)
    return joining.mixed(probability(compare, p, other, reflected), common)


def _likeliest(compare: Callable[..., Tensor], p: Tensor, other: Tensor | float) -> Tensor:
    """The common probability of the likeliest way to a tally for which `compare` holds: (..., [n]), (...) -> (...)"""
    if compare is torch.ne:
        return 1.0 - _likeliest(torch.eq, p, other)
    ordered = p.sort(-1, descending=True).values
    place = torch.arange(p.shape[-1], device=p.device)
    number = torch.as_tensor(other, dtype=p.dtype, device=p.device).unsqueeze(-1)
    least, most = _range(compare, number, p.shape[-1])
    factors = torch.where(place < least, ordered, 1.0) * torch.where(place < most, 1.0, 1.0 - ordered)
    possible = (least <= p.shape[-1]) & (most >= 0) & (least <= most)
    return torch.where(possible.squeeze(-1), joining.together(factors, -1), 0.0)


def _range(compare: Callable[..., Tensor], number: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The least and the greatest of the tallies of so many bools for which `compare` with a number holds."""
    nothing, everything = torch.zeros_like(number), torch.full_like(number, size)
    ranges = {
        torch.gt: (number.floor() + 1.0, everything), torch.ge: (number.ceil(), everything),
        torch.lt: (nothing, number.ceil() - 1.0), torch.le: (nothing, number.floor()),
        torch.eq: (number.ceil(), number.floor()),
    }  # fmt: skip
    return ranges[compare]
