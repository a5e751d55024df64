"""Power sums over windows of a sorted line: sum_j (t - |y_i - y_j|)_+^r v_j around every place asked for.

Prefix sums of moments give each window in O(r). Moments are taken about the centre of a cell that holds the whole
window, so that little cancels: cells are four reaches wide, in two grids staggered by half a cell, and one of the two
has any window within one of its cells. What windows are wanted is in compact.py and in the methods.
"""

from copy import copy
from math import comb

import torch
from torch import Tensor
from torch.nn.functional import pad

CELL = 4.0
"""Width of a cell; no window reaches further than 1 to either side."""


def cells(y: Tensor) -> Tensor:
    """Places within the cells of either grid, (2, rows, n), in [-CELL / 2, CELL / 2], of y, (rows, n)."""
    fixed = y.detach()
    center = torch.stack([(fixed / CELL).floor() + 0.5, (fixed / CELL).round()]) * CELL
    return y - center


class Moments:
    """Running sums of v z^k, k = 0 .. power, for places z in cells, (2, rows, n), and weights v, (rows, n)."""

    def __init__(self, place: Tensor, v: Tensor, power: int) -> None:
        terms = [v.expand(place.shape)]
        for _ in range(power):
            terms.append(terms[-1] * place)
        # Each for itself: vectors are many times faster to pick from than rows of a few numbers.
        self.sums = [pad(term.cumsum(dim=-1), (1, 0)).flatten() for term in terms]  # (2 rows (n + 1),) each

    def upto(self, place: Tensor) -> list[Tensor]:
        """The sums before a place, given as an index into all of them, (rows, k) -> power + 1 times (rows, k)."""
        return [sums.index_select(0, place.flatten()).view(place.shape) for sums in self.sums]


class Anchors:
    """The k places of a row, (rows, k), around which windows lie, in rows of n; all n where `index` is None."""

    def __init__(self, y: Tensor, place: Tensor, index: Tensor | None, by_order: bool = False) -> None:
        """y, (rows, n), rises; place is cells(y); index, (k,), says which of the n are meant.

        Equal places count as none below or above each other; with `by_order` as below and above by their order.
        """
        rows, n = y.shape
        self.line = y.detach().contiguous()
        self.at = y if index is None else y.index_select(-1, index)
        self.fixed = self.at.detach().contiguous()
        local = place if index is None else place.index_select(-1, index)
        grid = (local.detach()[0].abs() > CELL / 4.0).long()
        self.local = local.gather(0, grid.unsqueeze(0)).squeeze(0)
        self.base = (grid * rows + torch.arange(rows, device=y.device).unsqueeze(-1)) * (n + 1)
        self.first, self.beyond = _alone(self.line) if by_order else _runs(self.line)
        if index is not None:
            self.first, self.beyond = self.first.index_select(-1, index), self.beyond.index_select(-1, index)

    def chosen(self, columns: Tensor) -> "Anchors":
        """Some of the anchors, by their places (m,) among the k."""
        some = copy(self)
        for name in ("at", "fixed", "local", "base", "first", "beyond"):
            setattr(some, name, getattr(self, name).index_select(-1, columns))
        return some

    def edges(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The first place nearer than t, (rows, k), below each anchor, and the one behind the last above it."""
        left = torch.searchsorted(self.line, self.fixed - t, right=True)
        return torch.minimum(left, self.first), torch.maximum(
            torch.searchsorted(self.line, self.fixed + t), self.beyond
        )


def _alone(line: Tensor) -> tuple[Tensor, Tensor]:
    """Each place of `line`, (rows, n), and the one behind it."""
    place = torch.arange(line.shape[-1], device=line.device).expand(line.shape)
    return place, place + 1


def _runs(line: Tensor) -> tuple[Tensor, Tensor]:
    """The first place of the run of equal entries that each entry of `line`, (rows, n), is in, and of the next run."""
    n = line.shape[-1]
    place = torch.arange(n, device=line.device)
    rises = torch.diff(line, dim=-1) > 0
    first = (place * pad(rises, (1, 0), value=True)).cummax(dim=-1).values
    last = (place - n * pad(rises, (0, 1), value=True)).flip(-1).cummin(dim=-1).values.flip(-1)
    return first, last + n + 1


class Windows:
    """Moments, power + 1 times (rows, k), of what lies below, at and above the anchors."""

    def __init__(self, anchors: Anchors, moments: Moments, left: Tensor, right: Tensor) -> None:
        first = moments.upto(anchors.base + anchors.first)
        beyond = moments.upto(anchors.base + anchors.beyond)
        self.local = anchors.local
        self.equal = beyond[0] - first[0]
        self.below = _difference(first, moments.upto(anchors.base + left))
        self.above = _difference(moments.upto(anchors.base + right), beyond)

    def power_sum(self, t: Tensor, power: int) -> Tensor:
        """sum_j (t - |y_i - y_j|)^power v_j over the window of every anchor, (rows, k); t is (rows, k)."""
        low, high = t - self.local, t + self.local
        below, above = self.below[0], self.above[0]
        for k in range(1, power + 1):
            below = (below * low).add(self.below[k], alpha=comb(power, k))
            above = (above * high).add(self.above[k], alpha=(-1) ** k * comb(power, k))
        return torch.addcmul(below + above, self.equal, t.pow(power))


def _difference(high: list[Tensor], low: list[Tensor]) -> list[Tensor]:
    return [x - y for x, y in zip(high, low, strict=True)]
