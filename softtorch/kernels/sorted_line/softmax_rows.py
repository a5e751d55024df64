"""Products with a matrix of softmax rows W_pj = softmax_j(a_p y_j - A_j) that is never formed.

The matrix is made again tile by tile, some places p times those entries j that count for them; the places and the
entries are in rising order, so that these lie together. Products with W and with its transpose are each other's
derivatives, so that every derivative exists. Linear memory; time is that of the entries that count.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from softtorch.kernels.numeric.constants import listed
from softtorch.kernels.numeric.host import readable
from softtorch.torch_private import Function

# So many entries of the matrix are made at once: enough to hide what an operator costs, few enough to stay in a cache.
TOGETHER = 1 << 17

# Entries whose weight is below e^-MARGIN of their row's largest do not count: a million of them are 2e-16.
MARGIN = 50.0


class Group(NamedTuple):
    """t tiles that are made at once, m places high and w entries wide."""

    row: Tensor
    """which row of the batch each is of, (t,)"""
    part: Tensor
    """which of the row's places it has, counted in tiles, (t,)"""
    start: Tensor
    """the first of its entries, (t,)"""
    width: int
    """w"""


class Rows(NamedTuple):
    """The definition of matrices of k rows and n columns, one for each row of the batch."""

    a: Tensor
    """slopes (rows, k) in rising order"""
    y: Tensor
    """places (rows, n) in rising order"""
    offset: Tensor
    """A, (rows, n)"""
    groups: tuple[Group, ...]
    """of tiles, row after row, from the lowest places to the highest"""


def rows_of(a: Tensor, y: Tensor, offset: Tensor) -> Rows:
    """The matrices for slopes a, (rows, k), rising, places y, (rows, n), rising, and A, (rows, n)."""
    return Rows(a, y, offset, tuple(_groups(a.detach(), y.detach(), offset.detach())))


def average(rows: Rows, v: Tensor) -> Tensor:
    """W times every v of (rows, c, n): (rows, c, k)."""
    result: Tensor = _Average.apply(rows.groups, *rows[:3], v)
    return result


def spread(rows: Rows, u: Tensor) -> Tensor:
    """The transpose of W times every u of (rows, c, k): (rows, c, n)."""
    return spread_and_norm(rows, u)[0]


def spread_and_norm(rows: Rows, u: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and the logarithms of sum_j e^(a_p y_j - A_j), (rows, k)."""
    result: tuple[Tensor, Tensor] = _Spread.apply(rows.groups, *rows[:3], u)
    return result


def _height(k: int, n: int) -> int:
    """Places in a tile: finding out which entries count takes less time than they do, and a tile little more.

    Of few places, which may be far apart, it has fewer, for all entries between them may count.
    """
    return math.isqrt(min(k, n))


def _tiled(x: Tensor, n: int) -> Tensor:
    """x, (..., k), cut into tiles for n entries, (..., parts, m), and filled up with zeros."""
    k = x.shape[-1]
    size = _height(k, n)
    return pad(x, (0, -k % size)).reshape(*x.shape[:-1], -1, size)


def _groups(a: Tensor, y: Tensor, offset: Tensor) -> Iterator[Group]:
    """All tiles, as many neighbours in a group as may be made at once."""
    k, n = a.shape[-1], y.shape[-1]
    size = _height(k, n)
    parts = -(-k // size)
    count = parts * y.shape[0]
    begin, end = _edges(a, y, offset) if readable(y) else ([0] * count, [n] * count)
    last = 0
    while last < count:
        first, width = last, 0
        while last < count:
            wider = max(width, end[last] - begin[last])
            if last > first and wider * size * (last + 1 - first) > TOGETHER:
                break
            width, last = wider, last + 1
        tile = torch.arange(first, last, device=y.device)
        start = listed(begin[first:last], torch.long, y.device).clamp(max=n - width)
        yield Group(tile // parts, tile % parts, start, width)


def _edges(a: Tensor, y: Tensor, offset: Tensor) -> tuple[list[int], list[int]]:
    """The first entry that counts for each tile, row after row, and the one behind the last.

    An entry below the largest one of some place, that does not count for it, counts for no higher place either, since
    higher slopes favour what is higher; what is above and does not count counts for no lower place.
    """
    k, n = a.shape[-1], y.shape[-1]
    size = _height(k, n)
    between = a[:, torch.arange(0, k + size, size).clamp(max=k - 1)]  # the first of each tile, and the last one of all
    begin, end = [], []
    for some in torch.split(between, max(1, TOGETHER // y.numel()), dim=-1):
        logits = torch.addcmul(-offset.unsqueeze(-2), some.unsqueeze(-1), y.unsqueeze(-2))
        counts = (logits >= logits.amax(dim=-1, keepdim=True) - MARGIN).view(torch.uint8)
        begin.append(counts.argmax(dim=-1))  # the first of several
        end.append(n - counts.flip(-1).argmax(dim=-1))
    return torch.cat(begin, dim=-1)[:, :-1].flatten().tolist(), torch.cat(end, dim=-1)[:, 1:].flatten().tolist()


class _Tiles:
    """The tiles of one group: the matrix there, and what is cut out of vectors for them and put back."""

    def __init__(self, group: Group, line: Tensor, slopes: Tensor, memory: Tensor) -> None:
        """The places and -A in powers of 2, (rows, 2, n), the slopes in tiles, (rows, 1, parts, m)."""
        self._group = group
        y, shift = self.entries(line).chunk(2, dim=1)
        self.slopes = self.places(slopes)
        """(t, 1, m)"""
        size = (*self.slopes.shape[::2], group.width)
        weights = torch.addcmul(shift, self.slopes.mT, y, out=memory[: math.prod(size)].view(size))
        self._top = weights.amax(dim=-1, keepdim=True)
        self._weights = weights.sub_(self._top).exp2_()
        """the matrix times the mass, (t, m, w)"""
        self._mass = weights.sum(dim=-1).unsqueeze(1)
        """(t, 1, m)"""

    @property
    def log_norm(self) -> Tensor:
        """The logarithm of what the rows are divided by, (t, 1, m)."""
        return (self._top.mT + self._mass.log2()) / _BITS

    def places(self, tiled: Tensor) -> Tensor:
        """Of something tiled, (rows, c, parts, m), what belongs to the places of each tile, (t, c, m)."""
        return tiled[self._group.row, :, self._group.part]

    def entries(self, v: Tensor) -> Tensor:
        """Of v, (rows, c, n), what belongs to the entries of each tile, (t, c, w)."""
        return v.unfold(-1, self._group.width, 1)[self._group.row, :, self._group.start]

    def average(self, v: Tensor) -> Tensor:
        """The matrix times every v of (t, c, w): (t, c, m)."""
        return torch.bmm(v, self._weights.mT) / self._mass

    def spread(self, u: Tensor) -> Tensor:
        """Its transpose times every u of (t, c, m): (t, c, w)."""
        return torch.bmm(u / self._mass, self._weights)

    def add(self, total: Tensor, part: Tensor) -> None:
        """Add a part for the entries of each tile, (t, c, w), to a total in one piece, (rows, c, n)."""
        _, c, n = total.shape
        first = (self._group.row * (c * n) + self._group.start).view(-1, 1, 1)
        across = torch.arange(0, c * n, n, device=part.device).unsqueeze(-1)
        index = first + (across + torch.arange(part.shape[-1], device=part.device))
        total.view(-1).index_add_(0, index.view(-1), part.view(-1))


_BITS = math.log2(math.e)  # powers of 2 are faster than those of e


def _tiles(rows: Rows) -> Iterator[_Tiles]:
    """The tiles of every group, made when they are asked for, in memory that those before them had."""
    n = rows.y.shape[-1]
    line = torch.stack([rows.y, -rows.offset], dim=1).mul_(_BITS)
    slopes = _tiled(rows.a, n).unsqueeze(1)
    most = max(len(group.row) * group.width for group in rows.groups)
    memory = line.new_empty(most * slopes.shape[-1])
    return (_Tiles(group, line, slopes, memory) for group in rows.groups)


def _joined(parts: list[Tensor], rows: Rows) -> Tensor:
    """Results for the places of all tiles, (t, c, m) for each group, put together as (rows, c, k)."""
    tiles = torch.cat(parts)
    tiles = tiles.reshape(rows.y.shape[0], -1, *tiles.shape[1:])  # (rows, parts, c, m)
    return tiles.transpose(1, 2).flatten(-2)[..., : rows.a.shape[-1]]


def _slopes(rows: Rows, u: Tensor, v: Tensor, by_norm: Tensor, by_places: bool) -> tuple[Tensor | None, ...]:
    """Derivatives of sum_cpj u_cp W_pj v_cj by a, y, A and v.

    Args:
        rows: the matrix W.
        u: (rows, c, k).
        v: (rows, c, n).
        by_norm: that by the logarithm of what a row is divided by, where that is made use of too, (rows, k).
        by_places: whether the derivative by y is wanted rather than that by a; the other is None.
    """
    c, n = v.shape[1:]
    result = torch.zeros_like(v[:, :1]).repeat(1, c + 1 + by_places, 1)
    tiled = _tiled(torch.cat([u, by_norm.unsqueeze(1)], dim=1), n)
    factors = v if by_places else torch.cat([v, v * rows.y.unsqueeze(1), rows.y.unsqueeze(1)], dim=1)
    by_a = []
    for tiles in _tiles(rows):
        given, factor = tiles.places(tiled), tiles.entries(factors)
        share, mean = given[:, :c], tiles.average(factor)
        ahead = given[:, c:].neg_().add_((share * mean[:, :c]).sum(dim=1, keepdim=True))
        if by_places:
            given = torch.cat([given, tiles.slopes * given], dim=1)
        else:
            by_a.append((share * mean[:, c:-1]).sum(dim=1, keepdim=True) - ahead * mean[:, -1:])
        spreads = tiles.spread(given)
        by_logits = [
            (x[:, :c] * factor[:, :c]).sum(dim=1, keepdim=True) - x[:, c:] for x in torch.split(spreads, c + 1, dim=1)
        ]
        tiles.add(result, torch.cat([spreads[:, :c], *by_logits], dim=1))
    by_y = result[:, c + 1] if by_places else None
    return None if by_places else _joined(by_a, rows).squeeze(1), by_y, -result[:, c], result[:, :c]


def _recorded_slopes(rows: Rows, u: Tensor, v: Tensor, by_norm: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first three of `_slopes` with derivatives of their own; mean is W v, (rows, c, k)."""
    a, y = rows.a.unsqueeze(1), rows.y.unsqueeze(1)
    ahead = (u * mean).sum(dim=1, keepdim=True) - by_norm.unsqueeze(1)
    given = torch.cat([u, ahead], dim=1)
    plain, tilted = spread(rows, torch.cat([given, a * given], dim=1)).chunk(2, dim=1)
    by_offset, by_y = ((x[:, :-1] * v).sum(dim=1) - x[:, -1] for x in (plain, tilted))
    means = average(rows, torch.cat([v * y, y], dim=1))
    by_a = (u * means[:, :-1]).sum(dim=1) - (ahead * means[:, -1:]).squeeze(1)
    return by_a, by_y, -by_offset


class _Average(Function):
    @staticmethod
    def forward(groups: Any, a: Tensor, y: Tensor, offset: Tensor, v: Tensor) -> Tensor:
        rows = Rows(a, y, offset, groups)
        return _joined([tiles.average(tiles.entries(v)) for tiles in _tiles(rows)], rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.groups = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, y, offset, v = ctx.saved_tensors
        rows = Rows(a, y, offset, ctx.groups)
        by_a, by_y, by_offset, _ = ctx.needs_input_grad[1:]
        if not (by_a or by_y or by_offset):
            return None, None, None, None, spread(rows, grad)
        none = torch.zeros_like(a)
        if torch.is_grad_enabled() or (by_a and by_y):  # a second derivative may be asked for
            return None, *_recorded_slopes(rows, grad, v, none, average(rows, v)), spread(rows, grad)
        return None, *_slopes(rows, grad, v, none, by_places=by_y)


class _Spread(Function):
    """`spread_and_norm`."""

    @staticmethod
    def forward(groups: Any, a: Tensor, y: Tensor, offset: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        rows, tiled, norms = Rows(a, y, offset, groups), _tiled(u, y.shape[1]), []
        result = u.new_zeros(y.shape[0], u.shape[1], y.shape[1])
        for tiles in _tiles(rows):
            tiles.add(result, tiles.spread(tiles.places(tiled)))
            norms.append(tiles.log_norm)
        return result, _joined(norms, rows).squeeze(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.groups = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, by_norm: Tensor) -> tuple[Tensor | None, ...]:
        a, y, offset, u = ctx.saved_tensors
        rows = Rows(a, y, offset, ctx.groups)
        if not (torch.is_grad_enabled() or ctx.needs_input_grad[1]):
            by_u = average(rows, grad) if ctx.needs_input_grad[4] else None
            return None, *_slopes(rows, u, grad, by_norm, by_places=True)[:3], by_u
        by_u = average(rows, grad)
        return None, *_recorded_slopes(rows, u, grad, by_norm, by_u), by_u
