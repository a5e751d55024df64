"""FastSoftSort (Blondel et al., arXiv 2002.08871): values and ranks by projection onto a permutahedron.

Q(z, w) projects z / softness onto the permutahedron of w, by isotonic regression (kernels/isotonic). Sorted values are
Q of evenly spaced places with the entries as vertex, ranks Q of the entries with evenly spaced places as vertex.
"""

import torch
from torch import Tensor

from softtorch.kernels.isotonic.project import permutahedron
from softtorch.kernels.sorted_line.scan import accumulated, together
from softtorch.methods.base import middle_rank, with_extremes
from softtorch.methods.contract import PIECEWISE, Contract, Cost, Law
from softtorch.methods.keys import Keys
from softtorch.methods.mirrored import Mirrored
from softtorch.methods.positions import Positions
from softtorch.methods.scaled import wide_softness


class FastSoftSort(Mirrored):
    """Near-linear sorted values and ranks, without soft indices.

    In mode smooth it is the sum of exponentials that values and ranks keep.
    """

    name = "fast_soft_sort"
    has_rows = False
    pairs_index = False
    contract = Contract(
        smoothness="C^0",
        time=Cost("n log n"),
        memory=Cost("n"),
        source="arXiv 2002.08871",
        keeps_sum=Law(("c0", "c1", "c2"), plain=True),
        keeps_rank_sum=PIECEWISE,
        monotone=Law(plain=True),
        ties="have equal ranks",
    )

    def _values(self, keys: Keys, positions: Positions) -> Tensor:
        keys = keys if keys.mode.power < 2 else keys.in_place()  # roots of w depend on where the entries lie
        w = accumulated(keys.compared.sort(dim=-1, descending=True).values)
        place = _falling_places(w)
        below, steps = _within(keys)
        z, w = together((place - below) / (steps * wide_softness(keys)), w)
        projected = permutahedron(_apart(z, w, keys, place), w, keys.mode.power)
        chosen = positions.picked_falling(projected).to(keys.raw.dtype)
        return with_extremes(keys.restored(chosen), keys, positions)

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        keys = keys.negated() if descending else keys
        ordered, order = keys.compared.sort(dim=-1, descending=True)
        z = accumulated(ordered) / wide_softness(keys)
        place = _falling_places(z)
        below, steps = _within(keys)
        z, w = together(z, (place + (1 - below)) / steps)
        projected = permutahedron(_apart(z, w, keys, place), w, keys.mode.power)
        falling = (projected * steps).to(keys.raw.dtype)
        ranks = torch.zeros_like(falling).scatter(-1, order, falling)
        return ranks if keys.moderate else torch.where(keys.level == 0, ranks + below, middle_rank(keys))


def _falling_places(like: Tensor) -> Tensor:
    """n - 1, ..., 1, 0 as numbers (n,) like those of a tensor (..., n)."""
    return torch.arange(like.shape[-1] - 1, -1, -1, dtype=like.dtype, device=like.device)


def _within(keys: Keys) -> tuple[Tensor | int, Tensor | int]:
    """The number of entries that count as -inf, and the steps from the first to the last of the others, (..., 1)."""
    if keys.moderate:
        return 0, max(keys.n - 1, 1)
    below = keys.below
    # As wide numbers: a tensor of integers times a softness would be a float32.
    return accumulated(below), accumulated((keys.n - below - keys.above - 1).clamp(min=1))


def _apart(z: Tensor, w: Tensor, keys: Keys, place: Tensor) -> Tensor:
    """z (..., n), of the places (n,), with those of infinite level moved so far that no block joins them to others."""
    if keys.moderate:
        return z
    fixed = z.detach()
    reach = fixed.amax(dim=-1, keepdim=True) - fixed.amin(dim=-1, keepdim=True)
    # A block's value is within max(1, |w|) of its z whatever the link.
    shift = reach + 2.0 * (w.detach().abs().amax(dim=-1, keepdim=True) + 1.0)
    return z + shift * keys.place_level(place)
