"""Projection onto the permutahedron by isotonic regression (arXiv 2002.08871), batched, on any device.

Finding the blocks takes a number of rounds that depends on the data, so it is one opaque operator without gradient:
torch.compile, torch.export and vmap see a single node. Given the blocks, everything is ordinary differentiable torch.
The block equations are in block_laws.py; to add one, add it there.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from softtorch.kernels import host
from softtorch.kernels.block_laws import LAWS, BlockLaw, Sums
from softtorch.kernels.merging import merged
from softtorch.kernels.scan import together

# Pooling runs of violators is the cheap round and nearly always ends by itself. Chains that fall one block at a time
# (an outlier beside a long slope) are then closed by bridging, which joins whole slopes: logarithmically many rounds.
CHEAP_ROUNDS = 12


def permutahedron(z: Tensor, w: Tensor, power: int) -> Tensor:
    """Project z onto the permutahedron of w: both (..., n) in falling order, the result (..., n) in the same order.

    Args:
        z: what is projected, already divided by the softness.
        w: the vertex, in falling order.
        power: 0 the entropic projection, 1 the Euclidean one, 2 and 3 those with the links t|t| and t^3.
    """
    z, w = together(z, w)
    if z.numel() == 0:
        return z + w
    block, value = _blocks(z.detach(), w.detach(), power)
    return LAWS[power].solution(z, w, block, value)


@torch.library.custom_op("softtorch::isotonic_blocks", mutates_args=())
def _blocks(z: Tensor, w: Tensor, power: int) -> tuple[Tensor, Tensor]:
    """Each entry's block, named by the place of its first entry (..., n), and that block's value (..., n)."""
    n = z.shape[-1]
    sums = LAWS[power].sums(z.reshape(-1, n), w.reshape(-1, n))
    if not host.seen(z):
        first, value = merged(LAWS[power], sums, z.numel() // n, n)
        return first.view(z.shape), value.view(z.shape)
    start, value = _pool(LAWS[power], sums, z.numel() // n, n)
    length = _ends(start, n) - start
    first = (start % (n + 1)).repeat_interleave(length)
    return first.reshape(z.shape), value.repeat_interleave(length).reshape(z.shape)


@_blocks.register_fake
def _(z: Tensor, w: Tensor, power: int) -> tuple[Tensor, Tensor]:
    return torch.empty(z.shape, dtype=torch.int64, device=z.device), torch.empty(
        z.shape, dtype=z.dtype, device=z.device
    )


@_blocks.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], z: Tensor, w: Tensor, power: int
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    z, w = (
        x.expand(info.batch_size, *x.shape) if axis is None else x.movedim(axis, 0)
        for x, axis in zip((z, w), in_dims[:2], strict=True)
    )
    return _blocks(z, w, power), (0, 0)


# Blocks are named by where they start in the flattened (rows, n + 1) running sums of the law.


def _ends(start: Tensor, n: int) -> Tensor:
    """Where each block (blocks,) ends; the last one of a row ends one place before the next row starts."""
    following = torch.cat([start[1:], start[-1:] - start[-1:] % (n + 1) + n + 1])
    return following - (following % (n + 1) == 0).to(start.dtype)


def _pool(law: BlockLaw, sums: Sums, rows: int, n: int) -> tuple[Tensor, Tensor]:
    """Start and value of every block of the solution, (blocks,) each.

    Two neighbours in the wrong order share a block of the solution, so pooling any set of them at once is exact.
    """
    # One block behind the last, never pooled, says where that one ends.
    start = torch.arange(rows * (n + 1), device=sums[0].device).reshape(rows, n + 1)[:, :n].flatten()
    start = pad(start, (0, 1), value=rows * (n + 1))
    heads = pad(torch.ones(rows, 1, dtype=torch.bool, device=start.device), (0, n - 1)).flatten()
    heads = pad(heads, (0, 1), value=True)  # the first blocks of the rows
    value = pad(law.value(sums, start[:-1], start[:-1] + 1), (0, 1))
    rounds = 0
    while True:
        violated = pad(value[:-1] < value[1:], (1, 0)) & ~heads
        if not bool(violated.any()):
            return start[:-1], value[:-1]
        # Violators are pooled in any case, so that every round ends with fewer blocks, whatever rounding does.
        pooled = violated
        if rounds >= CHEAP_ROUNDS:
            pooled = violated | pad(_bridges(law, sums, start[:-1], value[:-1], violated[:-1], n), (0, 1))
        kept = (~pooled).nonzero().flatten()
        grown = pad(pooled[1:], (0, 1)).index_select(0, kept).nonzero().flatten()
        start, value, heads = (x.index_select(0, kept) for x in (start, value, heads))
        end = start.index_select(0, grown + 1) - heads.index_select(0, grown + 1).to(start.dtype)
        value.index_copy_(0, grown, law.value(sums, start.index_select(0, grown), end))
        rounds += 1


def _bridges(law: BlockLaw, sums: Sums, start: Tensor, value: Tensor, violated: Tensor, n: int) -> Tensor:
    """Which blocks (blocks,) join the one before them when every violated border is closed at once.

    On both sides of a border the values fall up to the next violation. The bridge takes from the left side the blocks
    below its own value and from the right side those above it; both ends are found by bisection.
    """
    end, border = _ends(start, n), violated.nonzero().flatten()
    slopes = torch.cat([(violated | (start % (n + 1) == 0)).nonzero().flatten(), border.new_tensor([len(start)])])
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


def _bisect(low: Tensor, high: Tensor, holds: Callable[[Tensor], Tensor]) -> Tensor:
    """The first place in [low, high) where `holds`, true up to some place, is false; `high` where it never is."""
    for _ in range(int((high - low).max()).bit_length()):
        middle = (low + high) // 2
        open_ = low < high
        true = open_ & holds(torch.where(open_, middle, 0))
        low, high = torch.where(true, middle + 1, low), torch.where(open_ & ~true, middle, high)
    return low
