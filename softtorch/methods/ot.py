"""Sorting by optimal transport (arXiv 1905.11885, 2002.06504 for top-k) with an entropic or a p-norm regularizer.

Entries are carried to evenly spaced anchors, one for each place asked for and one for each gap between such places.
The plan and its derivative are in kernels/transport.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softtorch.kernels import transport
from softtorch.kernels.scan import accumulated
from softtorch.methods.base import Method, settled
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Positions
from softtorch.methods.scaled import count_like, wide_softness


class OptimalTransport(Method):
    """Soft indices as columns of a transport plan.

    Contract: rows sum to 1 and, when all places are asked for, columns too; values keep the sum then; masks sum to k
    exactly; equivariant under permutations; infinitely differentiable in mode smooth, C^0, C^1, C^2 in the others,
    where rows are sparse; O(n m) memory and O(m^3) time a step for m places and gaps; ties share evenly; infinite
    entries keep the first and last places to themselves; a NaN makes its whole row NaN. As softness -> 0: the exact
    order statistics.
    """

    name = "ot"
    has_mask = True
    doubly_stochastic = True

    def with_ot_kwargs(self, ot_kwargs: dict[str, Any] | None) -> "OptimalTransport":
        """Itself: the options steer a solver that stops early, and this one always converges to rounding."""
        return self

    def rows(self, keys: Keys, positions: Positions) -> Tensor:
        spans = _spans(positions, keys.n, keys.raw.device)
        first, last = keys.below, keys.n - keys.above  # the places of finite entries, (..., 1) each
        mass = torch.minimum(spans.end, last) - torch.maximum(spans.start, first)
        plan = _plan(keys, accumulated(mass.clamp(min=0)))
        rows = plan.index_select(-1, spans.slot).transpose(-1, -2).to(keys.raw.dtype)
        return settled(rows, keys, positions)

    def mask(self, keys: Keys, k: Tensor | float) -> Tensor:
        x = accumulated(keys.compared)
        below, finite = keys.below, keys.n - keys.below - keys.above
        chosen = count_like(k, x) - keys.above
        # Infinite entries are in or out before any finite one, and share evenly where there are too many.
        inside = torch.minimum(chosen.clamp(min=0.0), finite.to(x.dtype))
        high = 1.0 + chosen.clamp(max=0.0) / keys.above.clamp(min=1)
        low = (chosen - finite).clamp(min=0.0) / below.clamp(min=1)
        member = _plan(keys, torch.cat([finite - inside, inside], dim=-1))[..., 1]
        member = torch.where(keys.level == 0, member, torch.where(keys.level > 0, high, low))
        return member.to(keys.raw.dtype)


@dataclass(frozen=True)
class _Spans:
    """The places that each of m columns stands for, [start, end), and the column of each position asked for."""

    start: Tensor
    """(m,)"""
    end: Tensor
    """(m,)"""
    slot: Tensor
    """(k,)"""


def _spans(positions: Positions, n: int, device: torch.device) -> _Spans:
    if positions.complete:
        every = torch.arange(n, device=device)
        return _Spans(every, every + 1, positions.index(n, device))
    places = positions.places(n)
    if isinstance(places, Tensor):
        return _spans_of_tensor(places.to(device), n)
    spans, end = [], 0
    for place in _rising(places):
        spans += [(end, place)] if end < place else []
        spans.append((place, place + 1))
        end = place + 1
    spans += [(end, n)] if end < n else []
    starts = [start for start, _ in spans]
    bounds = torch.tensor(spans, dtype=torch.long, device=device)
    # `index` compares, where a dictionary's hash would fix a symbolic size.
    slot = torch.tensor([starts.index(place) for place in places], dtype=torch.long, device=device)
    return _Spans(bounds[:, 0], bounds[:, 1], slot)


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


def _spans_of_tensor(places: Tensor, n: int) -> _Spans:
    """The same for places (k,) that only the data knows: 2 k + 1 columns, some of them empty."""
    ordered = places.sort().values
    reached = torch.nn.functional.pad(ordered + 1, (1, 0))  # where the gap before each place, and the last gap, start
    border = torch.nn.functional.pad(ordered, (0, 1), value=n)
    single = torch.maximum(ordered, reached[:-1])  # empty for the second of two equal places
    start = torch.stack([reached[:-1], single], dim=-1).flatten()
    end = torch.stack([border[:-1], ordered + 1], dim=-1).flatten()
    slot = 2 * torch.searchsorted(ordered, places.contiguous()) + 1
    return _Spans(torch.cat([start, reached[-1:]]), torch.cat([end, border[-1:]]), slot)


def _plan(keys: Keys, mass: Tensor) -> Tensor:
    """The plan (..., n, [m]) to columns of the given masses, (..., m), anchors evenly spaced over those with any."""
    x = accumulated(keys.compared)
    some = mass > 0
    place = some.cumsum(dim=-1) - 1
    anchors = place.clamp(min=0).to(x.dtype) / (some.sum(dim=-1, keepdim=True) - 1).clamp(min=1)
    softness = torch.as_tensor(wide_softness(keys), dtype=x.dtype, device=x.device)
    present = (keys.level == 0).to(x.dtype).expand(x.shape)
    return transport.plan(x, present, transport.Columns(anchors, mass), softness, keys.mode.power)
