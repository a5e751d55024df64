"""Isotonic regression for long or many rows whose numbers may be looked at: all violators are pooled, round by round.

Two neighbours in the wrong order share a block of the solution, so pooling any set of them at once is exact. A round
looks at the borders of blocks that the round before has made and at nothing else, for only these can be new violators;
it costs what there is to pool. project.py says what blocks are, laws.py what their values are; short_rows.py is for a
few short rows, merging.py for where nothing may be looked at.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from softtorch.kernels.isotonic.laws import BlockLaw, Sums

# Pooling runs of violators is the cheap round and nearly always ends by itself. Chains that fall one block at a time
# (an outlier beside a long slope) are then closed by bridging, which joins whole slopes: logarithmically many rounds.
CHEAP_ROUNDS = 64


def pooled(law: BlockLaw, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor] | None:
    """The place in its row of the first entry of each entry's block, and that block's value, (rows, n) each.

    None where every entry is a block of its own.

    Args:
        law: what a block's value is.
        z: (rows, n) in falling order.
        w: (rows, n) in falling order.
    """
    alone = law.alone(z, w)
    border = _places(pad(alone[:, :-1] < alone[:, 1:], (1, 0)).flatten())
    if not len(border):
        return None
    chain = _Chain(law, law.sums(z, w), alone)
    del alone
    rounds = 0
    while len(border):
        border = chain.violated(chain.join(border if rounds < CHEAP_ROUNDS else chain.bridged(border)))
        rounds += 1
    return chain.blocks()


class _Chain:
    """The blocks of all rows in one line; a block is named by the place of its first entry in the line."""

    def __init__(self, law: BlockLaw, sums: Sums, alone: Tensor) -> None:
        self.law, self.sums, self.shape, self.n = law, sums, alone.shape, alone.shape[-1]
        self.value = pad(alone.flatten(), (0, 1))
        """at the first entry of every block, its value; and a number more, for what is behind the last block"""
        self.begin = torch.arange(alone.numel(), device=alone.device)
        """at the last entry of every block, its first one"""
        self.end = self.begin + 1
        """at the first entry of every block, the place behind its last one"""
        self.true = torch.ones(1, dtype=torch.bool, device=alone.device)
        self.starts = torch.ones_like(self.begin, dtype=torch.bool)
        """which entries are the first of a block"""

    def violated(self, border: Tensor) -> Tensor:
        """Those of some rising places, (k,), where a block starts that lies above the one before it."""
        before = self.begin.index_select(0, (border - 1).clamp_(min=0))
        above = self.value.index_select(0, before) < self.value.index_select(0, border)
        # Rows are never joined, and what two blocks have for their border is there twice.
        inside = (border % self.n != 0).logical_and_(torch.cat([self.true, border[1:] != border[:-1]]))
        return border.index_select(0, _places(above.logical_and_(inside)))

    def join(self, border: Tensor) -> Tensor:
        """Joins the blocks on both sides of every border, (k,), rising; the borders of what results, rising."""
        left = self.begin.index_select(0, border - 1)
        apart = left[1:] != border[:-1]  # else the block on the left is joined to the one before it
        begin = left.index_select(0, _places(torch.cat([self.true, apart])))
        end = self.end.index_select(0, border.index_select(0, _places(torch.cat([apart, self.true]))))
        self.starts.index_fill_(0, border, False)
        self.end.index_copy_(0, begin, end)
        self.begin.index_copy_(0, end - 1, begin)
        row = begin // self.n  # running sums have n + 1 places a row
        self.value.index_copy_(0, begin, self.law.value(self.sums, begin + row, end + row))
        return torch.stack([begin, end], dim=-1).flatten()

    def bridged(self, border: Tensor) -> Tensor:
        """Violated borders, (k,), and those that fall with them when every one of them is closed at once."""
        start, violated = _places(self.starts), torch.zeros_like(self.starts)
        violated[border] = True
        violated = violated[start]
        bridge = _bridges(self.law, self.sums, start + start // self.n, self.value[start], violated, self.n)
        return start[violated | bridge]

    def blocks(self) -> tuple[Tensor, Tensor]:
        """For every entry the place in its row of its block's first entry, and the block's value, (rows, n) each."""
        del self.sums, self.begin, self.end  # they are half of what the search keeps, and it is over
        place = torch.arange(self.n, device=self.value.device)
        first = torch.where(self.starts.view(self.shape), place, 0).cummax(dim=-1).values
        return first, self.value[:-1].view(self.shape).gather(-1, first)


def _places(holds: Tensor) -> Tensor:
    """The places where a condition, (k,), holds."""
    return holds.nonzero().flatten()


def _bridges(law: BlockLaw, sums: Sums, start: Tensor, value: Tensor, violated: Tensor, n: int) -> Tensor:
    """True for blocks (blocks,) that join the one before them when every violated border is closed at once.

    On both sides of a border the values fall up to the next violation. The bridge takes from the left side the blocks
    below its own value and from the right side those above it; both ends are found by bisection. Blocks are named by
    where they start in the flattened (rows, n + 1) running sums.
    """
    end, border = _ends(start, n), _places(violated)
    slopes = torch.cat([_places(violated | (start % (n + 1) == 0)), border.new_tensor([len(start)])])
    place = torch.searchsorted(slopes, border)
    left, right = slopes[place - 1], slopes[place + 1]  # the slopes [left, border) and [border, right)

    def taken_right(g: Tensor) -> Tensor:
        return _bisect(border, right, lambda j: value[j] > g)

    def kept_left(i: Tensor) -> Tensor:
        return value[i] >= law.value(sums, start[i], end[taken_right(value[i]) - 1])

    first = _bisect(left, border, kept_left)
    last = _bisect(border, right, lambda j: (j == border) | (value[j] > law.value(sums, start[first], end[j - 1])))
    change = torch.zeros(len(start) + 1, dtype=border.dtype, device=border.device)
    change.index_add_(0, first + 1, torch.ones_like(first)).index_add_(0, last, -torch.ones_like(last))
    return change.cumsum(dim=0)[:-1] > 0


def _ends(start: Tensor, n: int) -> Tensor:
    """The last place of each block (blocks,); the last block of a row ends one place before the next row starts."""
    following = torch.cat([start[1:], start[-1:] - start[-1:] % (n + 1) + n + 1])
    return following - (following % (n + 1) == 0).to(start.dtype)


def _bisect(low: Tensor, high: Tensor, holds: Callable[[Tensor], Tensor]) -> Tensor:
    """The first place in [low, high) where `holds`, true up to some place, is false; `high` where it never is."""
    for _ in range(int((high - low).max()).bit_length()):
        middle = (low + high) // 2
        open_ = low < high
        true = open_ & holds(torch.where(open_, middle, 0))
        low, high = torch.where(true, middle + 1, low), torch.where(open_ & ~true, middle, high)
    return low
