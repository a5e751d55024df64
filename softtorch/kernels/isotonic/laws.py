"""The four block equations of isotonic regression: what one pooled block of (z, w) has for its value.

A law answers in two ways. `alone`, `sums` and `value` give the values of many candidate blocks in O(1) each, from
running sums over a row, and steer the search for the blocks (rounds.py, merging.py); `solution` is the differentiable
answer, once the blocks are known, and `pulled_back` its derivative in few steps. To add a law: a class with these
members, a line in LAWS, and its equation for Python's numbers in short_rows.py.
"""

from typing import Protocol

import torch
from torch import Tensor

from softtorch.kernels.numeric import host
from softtorch.kernels.numeric.questions import question
from softtorch.kernels.sorted_line.scan import SPAN

Sums = tuple[Tensor, ...]
"""Running sums, each (rows, n + 1) and flattened, so that a block is a pair of places in them."""


class BlockLaw(Protocol):
    """Blocks of consecutive entries of z and w, both (..., n) in falling order."""

    def alone(self, z: Tensor, w: Tensor) -> Tensor:
        """The values (rows, n) of blocks of one entry each, for z and w (rows, n)."""
        ...

    def sums(self, z: Tensor, w: Tensor) -> Sums:
        """Running sums of z and w, (rows, n)."""
        ...

    def value(self, sums: Sums, start: Tensor, end: Tensor) -> Tensor:
        """The value (blocks,) of every block [start, end), (blocks,), places in the flattened sums."""
        ...

    def solution(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        """The projection at z, w (..., n), given each entry's block and (without gradient) its value."""
        ...

    def projected(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        """The same without derivatives, and in fewer steps."""
        ...

    def pulled_back(self, grad: Tensor, w: Tensor, block: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients by z and w of a solution y with this gradient, (..., n) each; not differentiable again."""
        ...

    def recovered(self, z: Tensor, y: Tensor) -> Tensor:
        """A `value` for `solution`, (..., n), made of z and the solution y; anything where it needs none."""
        ...


def per_block(x: Tensor, block: Tensor) -> Tensor:
    """The sum of x, (..., n), over each entry's block, (..., n), at every entry."""
    return torch.zeros_like(x).scatter_add(-1, block, x).gather(-1, block)


def _size(block: Tensor, like: Tensor) -> Tensor:
    """The number of entries in each entry's block, (..., n), in the dtype of another tensor (..., n)."""
    return per_block(torch.ones_like(like), block)


def _running(x: Tensor) -> Tensor:
    """0, x_1, x_1 + x_2, ... for x (rows, n), flattened to (rows (n + 1),)."""
    return torch.nn.functional.pad(x.cumsum(dim=-1), (1, 0)).flatten()


def _between(sums: Tensor, start: Tensor, end: Tensor) -> Tensor:
    return sums.index_select(0, end) - sums.index_select(0, start)


class Mean:
    """g = mean of z - w over the block; the Euclidean projection."""

    def alone(self, z: Tensor, w: Tensor) -> Tensor:
        return z - w

    def sums(self, z: Tensor, w: Tensor) -> Sums:
        return (_running(z - w),)

    def value(self, sums: Sums, start: Tensor, end: Tensor) -> Tensor:
        return _between(sums[0], start, end) / (end - start)

    def solution(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        # Deviations from the block's own first entry, so that large |z| cancels before it is summed.
        rise = z - _top(z, block)
        return rise + per_block(w - rise, block) / _size(block, w)

    projected = solution

    def pulled_back(self, grad: Tensor, w: Tensor, block: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        mean = per_block(grad, block) / _size(block, grad)
        return grad - mean, mean

    def recovered(self, z: Tensor, y: Tensor) -> Tensor:
        return z


class LogSumExp:
    """g = logsumexp of z minus logsumexp of w over the block; the entropic projection."""

    def alone(self, z: Tensor, w: Tensor) -> Tensor:
        return z - w

    def sums(self, z: Tensor, w: Tensor) -> Sums:
        return _tail(z), _tail(w)

    def value(self, sums: Sums, start: Tensor, end: Tensor) -> Tensor:
        # Sums over a tail differ safely because z falls: the block outweighs 1 / n of what is left behind it.
        return _log_between(sums[0], start, end) - _log_between(sums[1], start, end)

    def solution(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        z, top = z - _top(z, block), _top(w, block)
        return z + top + (per_block((w - top).exp(), block) / per_block(z.exp(), block)).log()

    projected = solution

    def pulled_back(self, grad: Tensor, w: Tensor, block: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # e^y and e^w have the same sum over a block: by it they are the weights of z and of w.
        top = _top(w, block)
        weight = (w - top).exp()
        share = per_block(grad, block) / per_block(weight, block)
        return grad - share * (y - top).exp(), share * weight

    def recovered(self, z: Tensor, y: Tensor) -> Tensor:
        return z


def _tail(x: Tensor) -> Tensor:
    """log(e^x_i + ... + e^x_n), ..., x_n, -inf for falling x (rows, n), flattened to (rows (n + 1),)."""
    if host.readable(x) and x.dtype == torch.float64 and host.is_at_most(x[:, 0] - x[:, -1], SPAN):
        last = x[:, -1:]
        tail = (x - last).exp().flip(-1).cumsum(dim=-1).flip(-1).log() + last
    else:
        tail = x.flip(-1).logcumsumexp(dim=-1).flip(-1)
    return torch.nn.functional.pad(tail, (0, 1), value=-torch.inf).flatten()


def _log_between(tail: Tensor, start: Tensor, end: Tensor) -> Tensor:
    first = tail.index_select(0, start)
    return first + torch.log1p(-torch.exp(tail.index_select(0, end) - first))


def _top(x: Tensor, block: Tensor) -> Tensor:
    """The first and so the largest entry of each entry's block in x, (..., n), as a constant."""
    return x.detach().gather(-1, block)


class Power:
    """sum over the block of sign(z - g) |z - g|^p = sum of w, p = 2 or 3; the projection in the p + 1 norm's dual."""

    def __init__(self, power: int) -> None:
        self.power = power

    def alone(self, z: Tensor, w: Tensor) -> Tensor:
        return z - _center(z) - self.root(w)

    def sums(self, z: Tensor, w: Tensor) -> Sums:
        shifted = z - _center(z)  # running moments about the row's centre lose the fewest digits
        moments = tuple(_running(shifted**k) for k in range(1, self.power + 1))
        at = torch.nn.functional.pad(shifted, (0, 1)).flatten()
        return at, _running(w), *moments

    def value(self, sums: Sums, start: Tensor, end: Tensor) -> Tensor:
        # All that is compared are values within a row, so the row's centre is left out of them.
        return (_cubic_value if self.power == 3 else _quadratic_value)(sums, start, end)

    def solution(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        z = z - _center(z)
        # Newton's step from the root changes no value but by rounding; each carries one more derivative of the implicit
        # function.
        for _ in range(3):
            value = self._step(z, w, block, value)
        # A block of one has the value w whatever z: said outright, for the link is flat where w = 0. (0 t keeps NaN.)
        t = z - value
        return torch.where(_size(block, z) == 1, w + 0.0 * t, self.link(t))

    def projected(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        z = z - _center(z)
        return self.link(z - self._step(z, w, block, value))

    def _step(self, z: Tensor, w: Tensor, block: Tensor, value: Tensor) -> Tensor:
        """Newton's step from values, (..., n), to those for centred z, (..., n)."""
        t = z - value
        rise = t.abs().pow(self.power - 1)
        slope = self.power * per_block(rise, block)
        safe = slope > _least(z)
        excess = per_block(rise * t - w, block)
        return value + torch.where(safe, excess, 0.0) / torch.where(safe, slope, 1.0)

    def pulled_back(self, grad: Tensor, w: Tensor, block: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # The link is flat where y = 0; that its slope is not 0 there gives a block of one all of its gradient by w.
        slope = (self.power * y.abs().pow(1.0 - 1.0 / self.power)).clamp(min=_least(y))
        mean = per_block(slope * grad, block) / per_block(slope, block)
        return slope * (grad - mean), mean

    def recovered(self, z: Tensor, y: Tensor) -> Tensor:
        return z - _center(z) - self.root(y)

    def link(self, t: Tensor) -> Tensor:
        """sign(t) |t|^p for t of any shape."""
        return t.abs().pow(self.power - 1) * t

    def root(self, y: Tensor) -> Tensor:
        """The inverse of the link, for y of any shape."""
        return y.abs().pow(1.0 / self.power).copysign(y)


def _center(z: Tensor) -> Tensor:
    """The middle of every row of z, (..., n), as a constant, (..., 1)."""
    return z.detach().mean(dim=-1, keepdim=True)


def _least(x: Tensor) -> float:
    """Below this a sum of slopes, of a dtype like that of x, is as good as 0."""
    return float(torch.finfo(x.dtype).tiny ** 0.5)


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


@question
def _longest(start: Tensor, end: Tensor) -> int:
    return int((end - start).max())


def _quadratic_value(sums: Sums, start: Tensor, end: Tensor) -> Tensor:
    """g with sum (z - g) |z - g| = W: find which z lie above g by bisection, then solve that quadratic."""
    at, total = sums[0], _between(sums[1], start, end)
    low, high = start, end  # every z before low lies above g, none from high on
    longest = _longest(start, end) if host.seen(at) else at.numel()
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
