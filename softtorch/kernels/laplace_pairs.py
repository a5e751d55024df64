"""Laplace distribution functions between all pairs of few entries and levels, with derivatives in closed form.

A row of the matrix between levels b is F(b_high - y_j) - F(b_low - y_j), and a level with S(b) = w moves as
db = sum_i q_i dy_i, where q is the softmax of -|b - y|: the density's share of each entry. So the backward pass needs
the levels alone, and neither what they were found by nor the matrix. Everything is in units of the softness.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.numeric.host import readable
from softtorch.torch_private import PlainFunction

__all__ = ["Ranks", "Rows", "decayed_pairs", "is_small", "levels"]

_PAIRS = 1 << 16  # pairs of entries up to which all of them are cheaper than sums along a line
_PART = 1 << 17  # pairs of entries and levels that are passed over at a time
_BEYOND = 140.0  # so far out an entry has no weight beside others: e^-70, halfway, is far below rounding


def is_small(y: Tensor) -> bool:
    """Return True if all pairs of entries within the rows of y, (..., n), are few, and y may be read."""
    return readable(y) and 0 < y.numel() * y.shape[-1] <= _PAIRS


def decayed_pairs(y: Tensor) -> tuple[Tensor, Tensor]:
    """sum_{j <= i} e^-(y_i - y_j) and sum_{j >= i} e^-(y_j - y_i), (..., n) each, of y (..., n) in rising order.

    >>> before, behind = decayed_pairs(torch.tensor([0.0, 0.0]))
    >>> before.tolist(), behind.tolist()
    ([1.0, 2.0], [2.0, 1.0])
    """
    decay = (y.unsqueeze(-2) - y.unsqueeze(-1)).tril_().exp_().tril_()
    return decay.sum(dim=-1), decay.sum(dim=-2)


def levels(y: Tensor, w: Tensor) -> Tensor:
    """b with S(b) = w, (..., k), of few entries y, (..., n), for w from 0 to n, (k,) or (..., k): constants.

    Within a gap S(b) - m = (e^(b + q) - e^(p - b)) / 2, with m entries below and logarithms p and q of what those on
    either side add. Of its two roots the one is taken that does not cancel. Two more entries, far out on either side,
    make the ends a gap like all others: where w is 0 or n, S(b) is that but for e^-70.
    """
    far = y.abs().amax(dim=-1, keepdim=True).mul_(-2.0).sub_(_BEYOND)
    y = y.sort(dim=-1).values
    p, q = y.logcumsumexp(dim=-1), y.neg().flip(-1).logcumsumexp(dim=-1).flip(-1)
    place = torch.arange(0.5, y.shape[-1], dtype=y.dtype, device=y.device)
    total = torch.add(place, (q + y).exp_() - (p - y).exp_(), alpha=0.5)  # S(y)
    below = torch.searchsorted(total, w.expand(*total.shape[:-1], w.shape[-1]).contiguous())
    p, q = torch.cat([far, p], dim=-1).gather(-1, below), torch.cat([q, far], dim=-1).gather(-1, below)
    d, half = w - below, (p + q).mul_(0.5)
    root = torch.hypot(d, half.exp()).add_(d.abs()).log_()
    root = torch.maximum(root, half)  # in a wide gap e^half is 0, and so may d be
    return torch.where(d < 0, p - root, root - q)


class Ranks(PlainFunction):
    """1/2 + sum_j F(y_i - y_j), (..., n), of y (..., n) in any order."""

    @staticmethod
    def forward(y: Tensor) -> Tensor:
        apart = y.unsqueeze(-1) - y.unsqueeze(-2)
        half = apart.abs().neg_().exp_().mul_(0.5)
        return torch.where(apart > 0, 1.0 - half, half).sum(dim=-1).add_(0.5)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        y: Tensor = ctx.saved_tensors[0]
        if torch.is_grad_enabled():  # a second derivative may be asked for, so all is made of what has one
            from softtorch.kernels.laplace import plain_soft_ranks

            slope: Tensor = torch.autograd.grad(plain_soft_ranks(y), y, grad, create_graph=True)[0]
            return slope
        density = (y.unsqueeze(-1) - y.unsqueeze(-2)).abs_().neg_().exp_().mul_(0.5)
        return density.mul_(grad.unsqueeze(-1) - grad.unsqueeze(-2)).sum(dim=-1)


class Rows(PlainFunction):
    """F(high - y_j) - F(low - y_j), (..., k, [n]), of y (..., n) in any order.

    w: the levels' sums S, (2 k,): those of `low`, then of `high`.
    b: the levels, (..., 2 k), finite.
    """

    @staticmethod
    def forward(y: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return _by_parts(_differences, (b.shape[-1] // 2, y.shape[-1]), y, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        y, w, b = ctx.saved_tensors
        if torch.is_grad_enabled():
            from softtorch.kernels.laplace import plain_rows

            return torch.autograd.grad(plain_rows(y, w), y, grad, create_graph=True)[0], None, None
        return _by_parts(_pulled, (y.shape[-1],), y, b, grad), None, None


def _by_parts(function: Callable[..., Tensor], shape: tuple[int, ...], y: Tensor, b: Tensor, *more: Tensor) -> Tensor:
    """function(y, b, *more), (..., *shape), of as many rows at a time as stay in the processor's cache."""
    pairs = b.shape[-1] * y.numel()
    if pairs <= _PART:
        return function(y, b, *more)
    batch = y.dim() - 1
    result = torch.empty((*y.shape[:-1], *shape), dtype=y.dtype, device=y.device)
    rows = y.numel() // y.shape[-1]
    operands = (x.reshape(rows, *x.shape[batch:]) for x in (result, y, b, *more))
    cut = (x.split(max(1, rows * _PART // pairs)) for x in operands)  # type: ignore[no-untyped-call]  # torch's
    for out, *parts in zip(*cut, strict=True):
        out.copy_(function(*parts))
    return result


def _differences(y: Tensor, b: Tensor) -> Tensor:
    """F(high - y_j) - F(low - y_j), (..., k, n), by F(t) = (1 + sign(t) (1 - e^-|t|)) / 2.

    What the signs give is apart, so that small entries keep their digits.
    """
    t = b.unsqueeze(-1) - y.unsqueeze(-2)
    side = t.sign()
    (low, high), (left, right) = side.chunk(2, dim=-2), t.abs_().neg_().exp_().mul_(side).chunk(2, dim=-2)
    return (left - right).add_(high - low).mul_(0.5)


def _pulled(y: Tensor, b: Tensor, grad: Tensor) -> Tensor:
    """The gradient by y, (..., n), of that by the differences, (..., k, n)."""
    apart = (b.unsqueeze(-1) - y.unsqueeze(-2)).abs_().neg_()
    share = torch.softmax(apart, dim=-1)
    density = apart.exp_().mul_(0.5).mul_(torch.cat([-grad, grad], dim=-2))
    return share.mul_(density.sum(dim=-1, keepdim=True)).sub_(density).sum(dim=-2)
