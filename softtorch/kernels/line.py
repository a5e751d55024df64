"""Power sums over windows of a sorted line: sum_j (t - |y_i - y_j|)_+^r v_j around every place asked for.

Prefix sums of moments give each window in O(r). Moments are taken about the centre of a cell that holds the whole
window, so that little cancels: cells are four reaches wide, in two grids staggered by half a cell, and one of the two
has any window within one of its cells. What windows are wanted is in compact.py and in the methods.
"""

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
        running = torch.stack(terms, dim=-1).cumsum(dim=-2)
        self.sums = pad(running, (0, 0, 1, 0)).flatten(0, -2)  # (2 rows (n + 1), power + 1)

    def upto(self, place: Tensor) -> Tensor:
        """The sums before a place, given as an index into all of them, (rows, k) -> (power + 1, rows, k)."""
        return self.sums.index_select(0, place.flatten()).view(*place.shape, -1).movedim(-1, 0)


class Anchors:
    """The k places of a row, (rows, k), around which windows lie, in rows of n."""

    def __init__(self, y: Tensor, place: Tensor, index: Tensor) -> None:
        """y, (rows, n), rises; place is cells(y); index, (k,), says which of the n are meant."""
        rows, n = y.shape
        self.at = y.index_select(-1, index)
        near = place.detach().index_select(-1, index).abs()
        grid = (near[0] > CELL / 4.0).long()
        local = place.index_select(-1, index)
        self.local = torch.where(grid > 0, local[1], local[0])
        self.base = (grid * rows + torch.arange(rows, device=y.device).unsqueeze(-1)) * (n + 1)
        line, fixed = y.detach().contiguous(), self.at.detach().contiguous()
        self.line = line
        self.first = torch.searchsorted(line, fixed)
        self.beyond = torch.searchsorted(line, fixed, right=True)

    def edges(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The first place nearer than t, (rows, k), below each anchor, and the one behind the last above it."""
        fixed = self.at.detach()
        left = torch.searchsorted(self.line, fixed - t, right=True)
        return torch.minimum(left, self.first), torch.maximum(torch.searchsorted(self.line, fixed + t), self.beyond)


class Windows:
    """Moments, (power + 1, rows, k), of what lies below, at and above the anchors."""

    def __init__(self, anchors: Anchors, moments: Moments, left: Tensor, right: Tensor) -> None:
        first = moments.upto(anchors.base + anchors.first)
        beyond = moments.upto(anchors.base + anchors.beyond)
        self.local = anchors.local
        self.equal = beyond[0] - first[0]
        self.below = first - moments.upto(anchors.base + left)
        self.above = moments.upto(anchors.base + right) - beyond

    def power_sum(self, t: Tensor, power: int) -> Tensor:
        """sum_j (t - |y_i - y_j|)^power v_j over the window of every anchor, (rows, k); t is (rows, k)."""
        low, high = t - self.local, t + self.local
        result = self.equal * t.pow(power)
        for k in range(power + 1):
            sides = low.pow(power - k) * self.below[k] + (-1.0) ** k * high.pow(power - k) * self.above[k]
            result = result + comb(power, k) * sides
        return result
