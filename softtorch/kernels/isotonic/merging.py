"""Isotonic regression in a number of steps that depends on the length alone: no number is looked at on the way.

For devices where to look would be to wait. Halves of twice the length are joined, level by level: between two solved
halves there is at most one new block, made of the end of the left one and the start of the right one, and both of its
ends are found by bisection. project.py has the pooling that is faster where numbers may be looked at, and says what
blocks are; the equations are in laws.py.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from softtorch.kernels.isotonic.laws import BlockLaw
from softtorch.kernels.numeric.sizes import doublings


def merged(law: BlockLaw, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """The place in its row of the first entry of each entry's block, and that block's value, (rows, n) each.

    Args:
        law: what a block's value is.
        z: (rows, n) in falling order.
        w: (rows, n) in falling order.
    """
    (rows, n), sums = z.shape, law.sums(z, w)
    size = 1 << doublings(n)
    place = torch.arange(size, device=sums[0].device).expand(rows, size)
    base = (torch.arange(rows, device=place.device) * (n + 1)).unsqueeze(-1)

    def value(start: Tensor, end: Tensor) -> Tensor:
        """Of blocks [start, end), places in their rows: (rows, ...) each, one for each pair of halves."""
        at = base.view(-1, *[1] * (start.dim() - 1))
        return law.value(sums, (at + start.clamp(max=n - 1)).flatten(), (at + end.clamp(max=n)).flatten()).view(
            start.shape
        )

    best = pad(law.alone(z, w), (0, size - n), value=-torch.inf)  # what fills the row up violates nothing
    start = place
    for level in range(doublings(n)):
        best, start = _joined(best, start, place, 1 << level, value)
    return start[:, :n].contiguous(), best[:, :n].contiguous()


def _joined(
    best: Tensor, start: Tensor, place: Tensor, half: int, value: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Values and starts, (rows, size), after neighbours of length `half` are joined; place counts through the row."""
    shape = (best.shape[0], -1, 2, half)
    (left, right), (starts, later) = (x.reshape(shape).unbind(dim=2) for x in (best, start))
    border = place.reshape(shape)[:, :, 1, :1]  # (rows, pairs, 1)
    rising = (-right).contiguous()

    def taken(g: Tensor) -> Tensor:
        """The end of those on the right that lie above g, (rows, pairs, 1)."""
        return border + torch.searchsorted(rising, -g.contiguous())

    def kept(i: Tensor) -> Tensor:
        g = left.gather(-1, i)
        return g >= value(starts.gather(-1, i), taken(g))

    first = _bisect(torch.zeros_like(border), half, kept)
    begin = starts.gather(-1, first.clamp(max=half - 1))

    def joins(j: Tensor) -> Tensor:
        until = later.gather(-1, j)
        return (until == border) | (right.gather(-1, j) > value(begin, until))

    last = border + _bisect(torch.zeros_like(border), half, joins)
    places = place.reshape(*shape[:2], 2 * half)
    inside = (left[..., -1:] < right[..., :1]) & (places >= begin) & (places < last)
    fresh = value(begin, last)
    best = torch.where(inside, fresh, best.reshape(places.shape)).reshape(best.shape)
    return best, torch.where(inside, begin, start.reshape(places.shape)).reshape(best.shape)


def _bisect(low: Tensor, size: int, holds: Callable[[Tensor], Tensor]) -> Tensor:
    """The first of the places low = 0 .. size - 1 where `holds`, true up to some place, is false; `size` where none."""
    high = torch.full_like(low, size)
    for _ in range(size.bit_length()):
        middle = (low + high) // 2
        open_ = low < high
        true = holds(middle.clamp(max=size - 1)) & open_
        low, high = torch.where(true, middle + 1, low), torch.where(open_ & ~true, middle, high)
    return low
