"""Sums of Laplace distribution functions, their inverse, and what LapSum (arXiv 2503.06242) builds on them.

F(t) = e^t / 2 for t <= 0 and 1 - e^-t / 2 above; S(b) = sum_j F(b - y_j) rises from 0 to n. Everything is in units of
the softness, y = x / s, so that gradients reach the softness through y. Costs O(n log n) time and O(n) memory, apart
from rows that are asked for one by one.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from softtorch.kernels import laplace_pairs, large_top_mask
from softtorch.kernels.numeric.host import readable
from softtorch.kernels.sorted_line.scan import accumulated, decayed_sums, decayed_sums_behind, together

# Where the argument of S^-1 touches 0 or n the inverse is infinite; this close it stands for the border. e^-|t| and
# 1 / w then stay finite, and their product, the derivative of a probability, has its true limit.
BORDER = 1e-30


class Knots(NamedTuple):
    """S at the entries themselves: all (..., n), y in rising order."""

    y: Tensor
    before: Tensor
    """sum_{j <= i} e^-(y_i - y_j)"""
    behind: Tensor
    """sum_{j >= i} e^-(y_j - y_i)"""
    total: Tensor
    """S(y_i)"""


class Levels(NamedTuple):
    """Points b with S(b) given: b and the number of entries below it, (..., k) each."""

    b: Tensor
    below: Tensor


def laplace_cdf(t: Tensor) -> Tensor:
    """F(t) for t of any shape."""
    half = torch.exp(-t.abs()) / 2.0
    return torch.where(t > 0, 1.0 - half, half)


def knots(y: Tensor) -> Knots:
    """Sums over y, (..., n) in rising order, at y itself."""
    if laplace_pairs.is_small(y) and not torch.is_grad_enabled():
        before, behind = laplace_pairs.decayed_pairs(y)
    else:
        before, behind = decayed_sums(y, torch.ones_like(y)), decayed_sums_behind(y, torch.ones_like(y))
    place = torch.arange(y.shape[-1], dtype=y.dtype, device=y.device)
    return Knots(y, before, behind, place + 0.5 + (behind - before) / 2.0)


def soft_ranks(y: Tensor) -> Tensor:
    """1/2 + S(y_i): ranks from 1, smallest first, of y (..., n) in any order. They sum to n (n + 1) / 2."""
    if laplace_pairs.is_small(y):
        result: Tensor = laplace_pairs.Ranks.apply(y)
        return result
    return plain_soft_ranks(y)


def plain_soft_ranks(y: Tensor) -> Tensor:
    """`soft_ranks` by a sort, of operators that have derivatives of every order."""
    ordered, order = y.sort(dim=-1)
    ranks = knots(ordered).total + 0.5
    return torch.zeros_like(ranks).scatter(-1, order, ranks)


def inverse(at: Knots, w: Tensor) -> Levels:
    """b with S(b) = w, for w (..., k) between 0 and n; 0 and n give points far outside instead of infinities."""
    n = at.y.shape[-1]
    w = w + torch.zeros_like(at.y[..., :1])  # unlike expand, in memory of its own, as searchsorted likes it
    below = torch.searchsorted(at.total.detach().contiguous(), w.detach().contiguous())
    low, high = (below - 1).clamp(min=0), below.clamp(max=n - 1)
    lower, upper = at.y.gather(-1, low), at.y.gather(-1, high)
    before, behind = at.before.gather(-1, low).log(), at.behind.gather(-1, high).log()
    first = upper + _off_border(w).mul(2.0).log() - behind
    last = lower - _off_border(n - w).mul(2.0).log() + before
    between = (lower + upper + before - behind) / 2.0
    between = between + _scaled_asinh(w - below, (before + behind + lower - upper) / 2.0)
    return Levels(torch.where(below == 0, first, torch.where(below == n, last, between)), below)


def _off_border(w: Tensor) -> Tensor:
    return torch.where(w < BORDER, w - w.detach() + BORDER, w)


def _scaled_asinh(d: Tensor, h: Tensor) -> Tensor:
    """asinh(d e^-h), also where e^-h overflows; d and h are (..., k)."""
    size = torch.where(d == 0, 1.0, d).abs().log() - h
    large = (d != 0) & (size > 0)
    limit = 600.0 if h.dtype == torch.float64 else 80.0  # below the overflow of exp; only reached with d = 0
    near = torch.asinh(torch.where(large, 0.0, d) * torch.exp(torch.where(large, 0.0, -h).clamp(max=limit)))
    size = torch.where(large, size, 0.0)
    return torch.where(large, d.sign() * (size + torch.log1p(torch.sqrt(1.0 + torch.exp(-2.0 * size)))), near)


def _found(y: Tensor, w: Tensor) -> Tensor:
    """S^-1 at the levels w, (k,) or (..., k), of y (..., n) in any order: constants (..., k), finite ones."""
    if laplace_pairs.is_small(y):
        return laplace_pairs.levels(y, w)
    return inverse(knots(y.sort(dim=-1).values), w).b


def quantile(y: Tensor, w: Tensor) -> Tensor:
    """S^-1(w), (..., k), over y (..., n) in any order, for levels w (..., k) strictly between 0 and n."""
    return inverse(knots(y.sort(dim=-1).values), w).b


def top_mask(y: Tensor, k: Tensor) -> Tensor:
    """Probabilities (..., n) that sum to k, larger for larger y: F(y_i - b) with b chosen so.

    Args:
        y: scores (..., n) in units of the softness, in any order.
        k: how many, (..., 1), any real number in [0, n]; gradients reach it.
    """
    if large_top_mask.is_large(y):
        fixed, count = y.detach(), k.detach().expand(*y.shape[:-1], 1).to(y.dtype)
        part = accumulated(large_top_mask.sample(fixed))
        share = (count.to(part.dtype) / y.shape[-1]).clamp(0.25 / part.shape[-1], 1.0 - 0.25 / part.shape[-1])
        b = large_top_mask.threshold(fixed, count, quantile(part, (1.0 - share) * part.shape[-1]))
        if b is not None:
            return _masked(y, k.expand(*y.shape[:-1], 1), b)
    if readable(y) and y.numel():
        y, k = together(y, k)
        with torch.no_grad():
            b = _found(y, y.shape[-1] - k[..., :1])
        return _masked(y, k[..., :1], b)
    return plain_top_mask(y, k)


def _masked(y: Tensor, k: Tensor, b: Tensor) -> Tensor:
    """The mask of y, (..., n), with the threshold b that belongs to k, (..., 1) each."""
    result: Tensor = large_top_mask.TopMask.apply(y, k, b)
    return result


def plain_top_mask(y: Tensor, k: Tensor) -> Tensor:
    """`top_mask` by a sort, of operators that have derivatives of every order."""
    y, k = together(y, k)
    b = inverse(knots(y.detach().sort(dim=-1).values), (y.shape[-1] - k[..., :1]).detach()).b
    t = y - b
    p = laplace_cdf(t)
    # b answers for two derivatives by the Taylor series of the solution around b, whose terms vanish in value. It has
    # no quotient that underflows, which S' in a wide gap between entries would: q is f / sum f, f the density.
    missing = k[..., :1] - p.sum(dim=-1, keepdim=True)
    missing = missing - missing.detach()
    q, signed = torch.softmax(-t.abs(), dim=-1), -t.sign()
    bend = q * (signed - (signed * q).sum(dim=-1, keepdim=True))
    density = torch.exp(-t.abs()).sum(dim=-1, keepdim=True) / 2.0
    density = density.clamp(min=torch.finfo(y.dtype).tiny ** 0.5)
    return p + missing * q + missing.square() * bend / (2.0 * density)


def levels(y: Tensor, w: Tensor) -> Levels:
    """S^-1 at the levels w, (..., k), of y (..., n) in rising order; -inf and inf where w is 0 and n."""
    at = inverse(knots(y), w)
    b = torch.where(w <= 0, -torch.inf, torch.where(w >= y.shape[-1], torch.inf, at.b))
    return Levels(b, at.below)


def rows(y: Tensor, w: Tensor) -> Tensor:
    """Rows (..., k, [n]) of the doubly stochastic matrix of y, (..., n) in any order.

    w: where each begins and where it ends, in the sums S: (2 k,), integers from 0 to n.
    """
    if readable(y) and y.numel():
        with torch.no_grad():
            b = _found(y, w)
        result: Tensor = laplace_pairs.Rows.apply(y, w, b)
        return result
    return plain_rows(y, w)


def plain_rows(y: Tensor, w: Tensor) -> Tensor:
    """`rows` of operators that have derivatives of every order."""
    return permutation_rows(y, *levels(y.sort(dim=-1).values, w).b.chunk(2, dim=-1))


def permutation_rows(y: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """F(high - y_j) - F(low - y_j), (..., k, [n]): rows of the doubly stochastic matrix between levels (..., k).

    The sides of y are told apart so that small entries keep their digits.
    """
    t, u = low.unsqueeze(-1) - y.unsqueeze(-2), high.unsqueeze(-1) - y.unsqueeze(-2)
    a, b = torch.exp(-t.abs()), torch.exp(-u.abs())
    return torch.where(t > 0, a - b, torch.where(u < 0, b - a, 2.0 - a - b)) / 2.0


def weighted_sum(y: Tensor, v: Tensor, at: Levels) -> Tensor:
    """sum_j F(b - y_j) v_j at each level b, (..., k), without the k n terms; y rises, y and v are (..., n).

    Differences between neighbouring levels are the permutation matrix's rows times v.
    """
    n = y.shape[-1]
    low, high = (at.below - 1).clamp(min=0), at.below.clamp(max=n - 1)
    some, rest = at.below > 0, at.below < n

    def decay(distance: Tensor, present: Tensor) -> Tensor:
        return torch.where(present, torch.exp(-torch.where(present, distance, 0.0)), 0.0)

    before = decayed_sums(y, v).gather(-1, low) * decay(at.b - y.gather(-1, low), some)
    behind = decayed_sums_behind(y, v).gather(-1, high) * decay(y.gather(-1, high) - at.b, rest)
    whole = torch.where(some, v.cumsum(dim=-1).gather(-1, low), 0.0)
    return whole + (behind - before) / 2.0
