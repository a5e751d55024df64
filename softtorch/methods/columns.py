"""The columns of a transport plan for places that an operator asks for: one for each place, one for each gap.

Neighbouring places that are not asked for share a column, whose mass is their number. Quantiles are laid out each for
itself. To add a layout: a function here and a line in `columns_for`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from softtorch.kernels.numeric.constants import listed
from softtorch.methods.positions import Median, Neighbours, Positions


@dataclass(frozen=True)
class Columns:
    """The places that each of m columns stands for, [start, end), and the columns of the positions asked for.

    With a leading axis Q: of Q plans, for as many quantiles.
    """

    start: Tensor
    """(m,) or (Q, ..., m)"""
    end: Tensor
    """(m,) or (Q, ..., m)"""
    slot: Tensor
    """(k,)"""
    stays: Tensor
    """whether a column without mass keeps its anchor, 0-dim or (Q, ..., 1)"""
    apart: bool = False
    """whether there is that leading axis"""

    def beside(self, x: Tensor) -> "Columns":
        """The same with axes of size 1 for the batch of x, (..., n)."""
        if not self.apart:
            return self
        start, end, stays = (
            part.reshape(part.shape[0], *[1] * (x.ndim - 1), part.shape[-1])
            for part in (self.start, self.end, self.stays)
        )
        return Columns(start, end, self.slot, stays, True)

    def asked(self, plan: Tensor) -> Tensor:
        """Of a plan (..., n, m) the rows (..., k, [n]); of one (Q, ..., n, m) the rows (..., k Q, [n])."""
        rows = plan.index_select(-1, self.slot).transpose(-1, -2)
        return rows.movedim(0, -2).flatten(-3, -2) if self.apart else rows


def columns_for(positions: Positions, n: int, device: torch.device) -> Columns:
    """The columns for places among n."""
    if positions.complete:
        every = torch.arange(n, device=device)
        return Columns(every, every + 1, positions.index(n, device), _no(device))
    places = positions.places(n)
    if isinstance(positions, Median):
        positions = Neighbours(places, places, (False,), paired=False)
    if isinstance(positions, Neighbours):
        return _around(positions, n, device)
    if isinstance(places, Tensor):
        return _of_tensor(places.to(device), n)
    spans, end = [], 0
    for place in _rising(places):
        spans += [(end, place)] if end < place else []
        spans.append((place, place + 1))
        end = place + 1
    spans += [(end, n)] if end < n else []
    starts = [start for start, _ in spans]
    from_, upto = (listed(bound, torch.long, device) for bound in zip(*spans, strict=True))
    # `index` compares, where a dictionary's hash would fix a symbolic size.
    slot = listed([starts.index(place) for place in places], torch.long, device)
    return Columns(from_, upto, slot, _no(device))


def _around(positions: Neighbours, n: int, device: torch.device) -> Columns:
    """For each quantile by itself, as SoftTorch 0.1.1 has them: what is below, its place, its successor, what is above.

    Gaps keep their anchors when they are empty, but for q = 0 and 1, which are the minimum and the maximum.
    """
    lower, ends = _tensor(positions.lower, torch.long, device), _tensor(positions.ends, torch.bool, device)
    next_one = lower + 1
    bounds = [torch.zeros_like(lower), lower, next_one, torch.full_like(lower, n)]
    if positions.paired:
        bounds.insert(3, next_one + (~ends).to(next_one.dtype))
    border = torch.stack(bounds, dim=-1).clamp(max=n)  # (Q, m + 1)
    slot = torch.arange(1, 1 + positions.count(n) // lower.shape[0], device=device)
    return Columns(border[:, :-1], border[:, 1:], slot, ~ends.unsqueeze(-1), True)


def _tensor(part: tuple[int, ...] | Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One number for each quantile, (Q,)."""
    return part if isinstance(part, Tensor) else listed(part, dtype, device)


def _rising(places: Iterable[int]) -> list[int]:
    """The places, each once, from low to high; by comparisons alone, which symbolic sizes allow and `sorted` not."""
    rising: list[int] = []
    for place in places:
        low, high = 0, len(rising)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if rising[middle] < place else (low, middle)
        if low == len(rising) or rising[low] != place:
            rising.insert(low, place)
    return rising


def _of_tensor(places: Tensor, n: int) -> Columns:
    """For places (k,) that only the data knows: 2 k + 1 columns, some of them empty."""
    ordered = places.sort().values
    reached = torch.nn.functional.pad(ordered + 1, (1, 0))  # where the gap before each place, and the last gap, start
    border = torch.nn.functional.pad(ordered, (0, 1), value=n)
    single = torch.maximum(ordered, reached[:-1])  # empty for the second of two equal places
    start = torch.stack([reached[:-1], single], dim=-1).flatten()
    end = torch.stack([border[:-1], ordered + 1], dim=-1).flatten()
    slot = 2 * torch.searchsorted(ordered, places.contiguous()) + 1
    return Columns(torch.cat([start, reached[-1:]]), torch.cat([end, border[-1:]]), slot, _no(places.device))


def _no(device: torch.device) -> Tensor:
    return torch.zeros((), dtype=torch.bool, device=device)
