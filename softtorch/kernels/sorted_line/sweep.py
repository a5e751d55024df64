"""The decayed sums of scan.py without a derivative, in one pass along the places, piece by piece.

A piece fits the processor's cache and its memory is used again by the next one, which is several times faster than
whole vectors. Nothing depends on where the pieces are cut but rounding. What is done with the sums is up to the caller.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from softtorch.kernels.numeric.host import is_at_most, readable
from softtorch.kernels.sorted_line.scan import SPAN, Decay

PIECE = 1 << 16
"""Numbers of one vector in a piece on the CPU, all rows together; other devices take everything at once."""


class Swept(NamedTuple):
    """The sums of m weights in one piece, (m, ..., k) each."""

    piece: slice
    """which places, of the last axis"""
    upto: Tensor
    """over the places passed so far, each one's own included"""
    passed: Tensor
    """over those passed before the run of places equal to this one"""


def sweep(
    y: Tensor, weights: Callable[[slice], Tensor], backwards: bool = False, strictly: bool = True
) -> Iterator[Swept]:
    """sum_j e^-|y_i - y_j| v_j over the places passed, for every weight v.

    Args:
        y: places (..., n) in rising order.
        weights: for a piece of the last axis, (m, ..., k) in memory that may be written to.
        backwards: pass the places from the highest to the lowest.
        strictly: whether `passed` is wanted; without it is `upto` once more.
    """
    first, last = (slice(-1, None), slice(0, 1)) if backwards else (slice(0, 1), slice(-1, None))
    end, sums, passed = y[..., first], torch.zeros(()), torch.zeros(())
    for piece in pieces(y, backwards):
        places, v = y[..., piece], weights(piece)
        sums = sums.to(v) * torch.exp(-(places[..., first] - end).abs())
        v[..., first] += sums
        decay = Decay(places, narrow=is_narrow(places))
        before = upto = decay.behind(v) if backwards else decay.before(v)
        if strictly:
            entering = torch.where(places[..., first] == end, passed.to(v), sums).expand(v[..., first].shape)
            before = _passed(decay.gap[..., 1:], upto, entering, backwards)
        yield Swept(piece, upto, before)
        end, sums, passed = places[..., last], upto[..., last], before[..., last]


def is_narrow(places: Tensor) -> bool:
    """Return True if places (..., k) are seen, at no cost, to span little in every row."""
    if places.dtype != torch.float64 or not readable(places):
        return False
    fixed = places.detach()
    return is_at_most(fixed[..., -1] - fixed[..., 0], SPAN)


def _passed(gap: Tensor, upto: Tensor, entering: Tensor, backwards: bool) -> Tensor:
    """The sums over those passed before every run, (m, ..., k), for the gaps between places, (..., k - 1)."""
    step, rises = torch.exp(-gap), gap > 0
    place = torch.arange(upto.shape[-1], device=gap.device)
    if backwards:
        before = torch.cat([upto[..., 1:] * step, entering], dim=-1)
        edge = place[-1] - (place * pad(rises.flip(-1), (1, 0), value=True)).cummax(dim=-1).values.flip(-1)
    else:
        before = torch.cat([entering, upto[..., :-1] * step], dim=-1)
        edge = (place * pad(rises, (1, 0), value=True)).cummax(dim=-1).values
    return before.gather(-1, edge.expand(before.shape))


def pieces(y: Tensor, backwards: bool = False) -> Iterator[slice]:
    """The last axis of y, (..., n), in pieces; from the end with `backwards`."""
    n = y.shape[-1]
    size = n if y.device.type != "cpu" else max(PIECE * n // max(y.numel(), 1), 1 << 10)
    starts = range(0, n, max(size, 1))
    for start in reversed(starts) if backwards else starts:
        yield slice(start, min(start + size, n))
