"""Tallies: how many of several independent soft bools are true, and how likely a comparison of that number is.

The number is Poisson-binomial: each way to it counts, also where the mean is far from it. Of many bools, or in many
rows, where its weights would take too much memory, it is nearly normal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from softfx.runtime import distributions

__all__ = ["is_small", "points", "probability", "rows_of", "winner"]

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
    mirrored: dict[Callable[..., Tensor], Callable[..., Tensor]] = {
        torch.gt: torch.lt,
        torch.lt: torch.gt,
        torch.ge: torch.le,
        torch.le: torch.ge,
    }
    compare = mirrored.get(compare, compare) if reflected else compare
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
