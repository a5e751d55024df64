"""Products with a matrix of softmax rows W_pj = softmax_j(a_p y_j - A_j) that is never formed.

The matrix is made again tile by tile, some places p times those entries j that count for them; the places and the
entries are in rising order, so that these lie together. Products with W and with its transpose are each other's
derivatives, so that every derivative exists. Linear memory; time is that of the entries that count.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.kernels.host import readable
from softtorch.kernels.pointwise import described

# Places in a tile, and so many entries between those that are looked at to see which count.
TILE = 64

# Entries whose weight is below e^-MARGIN of their row's largest do not count: 1e-26.
MARGIN = 60.0


class Rows(NamedTuple):
    """What defines the matrix of k rows and n columns; all but the tiles are tensors."""

    a: Tensor
    """slopes (k,) in rising order"""
    y: Tensor
    """places (rows, n) in rising order"""
    offset: Tensor
    """A, (rows, n)"""
    log_norm: Tensor
    """the logarithm of what a row is divided by, (rows, k)"""
    tiles: tuple[tuple[slice, slice], ...]
    """which rows, and which columns count for them"""


def rows_of(a: Tensor, y: Tensor, offset: Tensor) -> Rows:
    """The matrix for slopes a, (k,), rising, places y, (rows, n), rising, and A, (rows, n)."""
    fixed, shifts = y.detach(), offset.detach()
    tiles = _tiles(a, fixed, shifts)
    norms = [torch.logsumexp(_logits(a[p], fixed[:, j], shifts[:, j]), dim=-1) for p, j in tiles]
    return Rows(a, y, offset, torch.cat(norms, dim=-1), tiles)


def average(rows: Rows, v: Tensor) -> Tensor:
    """W v, (rows, k, c), for v, (rows, n, c)."""
    result: Tensor = _Average.apply(rows.tiles, *rows[:4], v)  # type: ignore[no-untyped-call]  # untyped in torch
    return result


def spread(rows: Rows, u: Tensor) -> Tensor:
    """The transpose of W times u, (rows, k, c): (rows, n, c)."""
    result: Tensor = _Spread.apply(rows.tiles, *rows[:4], u)  # type: ignore[no-untyped-call]
    return result


def _logits(a: Tensor, y: Tensor, offset: Tensor) -> Tensor:
    """a_p y_j - A_j, (rows, p, j)."""
    return torch.addcmul(-offset.unsqueeze(-2), a.unsqueeze(-1), y.unsqueeze(-2))


def _tiles(a: Tensor, y: Tensor, offset: Tensor) -> tuple[tuple[slice, slice], ...]:
    k, n = a.shape[0], y.shape[-1]
    parts = [slice(start, min(start + TILE, k)) for start in range(0, k, TILE)]
    if not readable(y):
        return tuple((part, slice(0, n)) for part in parts)
    # Every so many entries and the first and last place of each tile tell which entries count for it, and one more
    # step to either side is taken in, for what lies between those looked at.
    seen = torch.arange(0, n + TILE - 1, TILE).clamp(max=n - 1)
    first = torch.full((len(parts),), len(seen), dtype=torch.long)
    last = torch.zeros(len(parts), dtype=torch.long)
    for place in (0, -1):
        ends = torch.stack([a[part][place] for part in parts])
        edges = [_edges(some, y[:, seen], offset[:, seen]) for some in ends.split(TILE)]  # type: ignore[no-untyped-call]
        low, high = (torch.cat(edge) for edge in zip(*edges, strict=True))
        first, last = torch.minimum(first, low), torch.maximum(last, high)
    begin, end = (seen[(first - 1).clamp(min=0)]).tolist(), (seen[(last + 1).clamp(max=len(seen) - 1)] + 1).tolist()
    return tuple((part, slice(i, j)) for part, i, j in zip(parts, begin, end, strict=True))


def _edges(a: Tensor, y: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last of the entries, (rows, n), that count for each slope, (k,), in any row; (k,) each."""
    logits = _logits(a, y, offset)
    counts = (logits >= logits.amax(dim=-1, keepdim=True) - MARGIN).any(dim=0)
    order = torch.arange(y.shape[-1])
    return torch.where(counts, order, y.shape[-1]).amin(dim=-1), torch.where(counts, order, 0).amax(dim=-1)


def _weights(part: slice, columns: slice, a: Tensor, y: Tensor, offset: Tensor, log_norm: Tensor) -> Tensor:
    """A tile of W, (rows, p, j)."""
    return _logits(a[part], y[:, columns], offset[:, columns]).sub_(log_norm[:, part].unsqueeze(-1)).exp_()


def _slopes(rows: Rows, share: Tensor, factor: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives by y and A, (rows, n) each, where that by the logits is W_pj (sum_c share_pc factor_jc - ahead_p)."""
    a = rows.a.unsqueeze(-1)
    given = torch.cat([share, ahead.unsqueeze(-1)], dim=-1)
    spreads = spread(rows, torch.cat([given, a * given], dim=-1))
    plain, tilted = spreads.chunk(2, dim=-1)
    by_offset, by_y = ((factor * x[..., :-1]).sum(dim=-1) - x[..., -1] for x in (plain, tilted))
    return by_y, -by_offset


class _Average(torch.autograd.Function):
    @staticmethod
    @described
    def forward(tiles: Any, a: Tensor, y: Tensor, offset: Tensor, log_norm: Tensor, v: Tensor) -> Tensor:
        parts = [_weights(p, j, a, y, offset, log_norm) @ v[:, j] for p, j in tiles]
        return torch.cat(parts, dim=-2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.tiles = inputs[0]
        ctx.save_for_backward(*inputs[1:], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, y, offset, log_norm, v, mean = ctx.saved_tensors
        rows = Rows(a, y, offset, log_norm, ctx.tiles)
        if torch.is_grad_enabled():
            mean = average(rows, v)
        by_y, by_offset = _slopes(rows, grad, v, (grad * mean).sum(dim=-1))
        return None, None, by_y, by_offset, None, spread(rows, grad) if ctx.needs_input_grad[5] else None


class _Spread(torch.autograd.Function):
    @staticmethod
    @described
    def forward(tiles: Any, a: Tensor, y: Tensor, offset: Tensor, log_norm: Tensor, u: Tensor) -> Tensor:
        result = y.new_zeros(*y.shape, u.shape[-1])
        for p, j in tiles:
            result[:, j] += _weights(p, j, a, y, offset, log_norm).mT @ u[:, p]
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.tiles = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, y, offset, log_norm, u = ctx.saved_tensors
        rows = Rows(a, y, offset, log_norm, ctx.tiles)
        by_u = average(rows, grad)
        by_y, by_offset = _slopes(rows, u, grad, (u * by_u).sum(dim=-1))
        return None, None, by_y, by_offset, None, by_u
