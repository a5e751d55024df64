"""The four block equations of isotonic regression: what one pooled block of (z, w) has for its value.

A law answers in two ways. `sums` and `value` give the values of many candidate blocks in O(1) each, from running sums
over a row, and steer the search for the blocks (kernels/isotonic.py); `solution` is the differentiable answer, once
the blocks are known. To add a law: a class with these members and a line in LAWS.
"""

from typing import Protocol

import torch
from torch import Tensor

from softtorch.kernels import host

Sums = tuple[Tensor, ...]
"""Running sums, each (rows, n + 1) and flattened, so that a block is a pair of places in them."""


class BlockLaw(Protocol):
    """Blocks of consecutive entries of z and w, both (..., n) in falling order."""

    def sums(self, z: Tensor, w: Tensor) -> Sums:
        """Running sums of z and w, (rows, n)."""
        ...

    def value(self, sums: Sums, start: Tensor, end: Tensor) -> Tensor:
        """The value (blocks,) of every block [start, end), (blocks,), places in the flattened sums."""
        ...

    def solution(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        """What the projection is at z, w (..., n), given each entry's block and (without gradient) its value."""
        ...


def per_block(x: Tensor, block: Tensor) -> Tensor:
    """The sum of x, (..., n), over each entry's block, (..., n), at every entry."""
    return torch.zeros_like(x).scatter_add(-1, block, x).gather(-1, block)


def _running(x: Tensor) -> Tensor:
    """0, x_1, x_1 + x_2, ... for x (rows, n), flattened to (rows (n + 1),)."""
    return torch.nn.functional.pad(x.cumsum(dim=-1), (1, 0)).flatten()


def _between(sums: Tensor, start: Tensor, end: Tensor) -> Tensor:
    return sums[end] - sums[start]


class Mean:
    """g = mean of z - w over the block; the Euclidean projection."""

    def sums(self, z: Tensor, w: Tensor) -> Sums:
        return (_running(z - w),)

    def value(self, sums: Sums, start: Tensor, end: Tensor) -> Tensor:
        return _between(sums[0], start, end) / (end - start)

    def solution(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        size = per_block(torch.ones_like(z), block)
        # Deviations from the block's own first entry, so that large |z| cancels before it is summed.
        rise = z - z.detach().gather(-1, block)
        return rise + (per_block(w, block) - per_block(rise, block)) / size


class LogSumExp:
    """g = logsumexp of z minus logsumexp of w over the block; the entropic projection."""

    def sums(self, z: Tensor, w: Tensor) -> Sums:
        return _tail(z), _tail(w)

    def value(self, sums: Sums, start: Tensor, end: Tensor) -> Tensor:
        # Sums over a tail differ safely because z falls: the block outweighs 1 / n of what is left behind it.
        return _log_between(sums[0], start, end) - _log_between(sums[1], start, end)

    def solution(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        return z - _log_sum_exp(z, block) + _log_sum_exp(w, block)


def _tail(x: Tensor) -> Tensor:
    """log(e^x_i + ... + e^x_n), ..., x_n, -inf for x (rows, n), flattened to (rows (n + 1),)."""
    tail = x.flip(-1).logcumsumexp(dim=-1).flip(-1)
    return torch.nn.functional.pad(tail, (0, 1), value=-torch.inf).flatten()


def _log_between(tail: Tensor, start: Tensor, end: Tensor) -> Tensor:
    return tail[start] + torch.log1p(-torch.exp(tail[end] - tail[start]))


def _log_sum_exp(x: Tensor, block: Tensor) -> Tensor:
    """log of the sum of e^x over each entry's block, (..., n), at every entry; x falls, so a block's top is first."""
    top = x.detach().gather(-1, block)
    return top + per_block((x - top).exp(), block).log()


class Power:
    """sum over the block of sign(z - g) |z - g|^p = sum of w, p = 2 or 3; the projection in the p + 1 norm's dual."""

    def __init__(self, power: int) -> None:
        self.power = power

    def sums(self, z: Tensor, w: Tensor) -> Sums:
        center = z.mean(dim=-1, keepdim=True)
        shifted = z - center  # running moments about the row's centre lose the fewest digits
        moments = tuple(_running(shifted**k) for k in range(1, self.power + 1))
        at = torch.nn.functional.pad(shifted, (0, 1)).flatten()
        return at, _running(w), *moments

    def value(self, sums: Sums, start: Tensor, end: Tensor) -> Tensor:
        # All that is compared are values within a row, so the row's centre is left out of them.
        return (_cubic_value if self.power == 3 else _quadratic_value)(sums, start, end)

    def solution(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        g, total = value + z.mean(dim=-1, keepdim=True).detach(), per_block(w, block)
        # Newton's step from the root changes no value; each carries one more derivative of the implicit function.
        for _ in range(3):
            t = z - g
            slope = self.power * per_block(t.abs().pow(self.power - 1), block)
            safe = slope > torch.finfo(z.dtype).tiny ** 0.5
            excess = per_block(self.link(t), block) - total
            g = g + torch.where(safe, excess, 0.0) / torch.where(safe, slope, 1.0)
        # A block of one has the value w whatever z: said outright, for the link is flat where w = 0. (0 t keeps NaN.)
        t = z - g
        return torch.where(per_block(torch.ones_like(z), block) == 1, w + 0.0 * t, self.link(t))

    def link(self, t: Tensor) -> Tensor:
        """sign(t) |t|^p for t of any shape."""
        return t.abs().pow(self.power - 1) * t


def _cubic_value(sums: Sums, start: Tensor, end: Tensor) -> Tensor:
    """g with sum (z - g)^3 = W: a cubic in mean - g without a square term and rising, so it has one real root."""
    n = end - start
    total, first, second, third = (_between(s, start, end) / n for s in sums[1:])
    spread = (second - first.square()).clamp(min=0.0)
    skew = third - first * (3.0 * second - 2.0 * first.square())
    q = (total - skew) / 2.0  # t^3 + 3 spread t = 2 q
    a = (q.abs() + (q.square() + spread.pow(3)).sqrt()).clamp(min=torch.finfo(q.dtype).tiny).pow(1.0 / 3.0)
    b = spread / a
    return first - 2.0 * q / (a.square() + spread + b.square())


def _quadratic_value(sums: Sums, start: Tensor, end: Tensor) -> Tensor:
    """g with sum (z - g) |z - g| = W: find which z lie above g by bisection, then solve that quadratic."""
    at, total = sums[0], _between(sums[1], start, end)
    low, high = start, end  # every z before low lies above g, none from high on
    longest = int((end - start).max()) if host.seen(at) else at.numel()
    for _ in range(longest.bit_length()):
        middle = (low + high) // 2
        open_ = low < high
        above = open_ & (_signed_square(sums, start, middle, end, at[middle])[0] < total)
        low, high = torch.where(above, middle + 1, low), torch.where(open_ & ~above, middle, high)
    c = at[torch.minimum(low, end - 1)]
    excess, rise = _signed_square(sums, start, low, end, c)
    excess, rise = excess - total, rise.clamp(min=0.0)
    turn = (2 * low - start - end) * excess
    # The larger of the two bounds of the denominator keeps rounding over rounding from being anything.
    root = torch.maximum(rise + (rise.square() - turn).clamp(min=0.0).sqrt(), turn.abs().sqrt())
    g = c + torch.where(root > 0, excess / torch.where(root > 0, root, 1.0), 0.0)
    g = torch.where(low < end, torch.maximum(g, c), g)
    return torch.where(low > start, torch.minimum(g, at[low - 1]), g)


def _signed_square(sums: Sums, start: Tensor, cut: Tensor, end: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """sum (z - c)^2 before the cut minus the same behind it, and sum |z - c|."""

    def moments(i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
        n, first, second = j - i, _between(sums[2], i, j), _between(sums[3], i, j)
        return second - c * (2.0 * first - n * c), first - n * c

    (square, line), (square_behind, line_behind) = moments(start, cut), moments(cut, end)
    return square - square_behind, line - line_behind


LAWS: tuple[BlockLaw, ...] = (LogSumExp(), Mean(), Power(2), Power(3))
"""By power: 0 for the exponential link, else the power p of the link sign(t) |t|^p."""
