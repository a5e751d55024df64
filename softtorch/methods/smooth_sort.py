"""SmoothSort: the projection onto the permutahedron with a barrier, infinitely differentiable; values and ranks.

It has the two uses of FastSoftSort, on the raw entries: sorted values are the projection of evenly spaced places with
the entries as vertex, ranks that of the entries with evenly spaced places as vertex. The projection is in
kernels/barrier.py.
"""

import torch
from torch import Tensor

from softtorch.kernels.barrier import smooth_permutahedron
from softtorch.kernels.scan import accumulated
from softtorch.methods.base import middle_rank, with_extremes
from softtorch.methods.keys import Keys
from softtorch.methods.mirrored import Mirrored
from softtorch.methods.positions import Positions
from softtorch.methods.scaled import wide_softness
from softtorch.modes import Mode


class SmoothSort(Mirrored):
    """Sorted values and ranks that have all derivatives; `standardize` does not apply to it.

    Contract: values keep the sum, ranks sum to n (n + 1) / 2; strictly monotone; values invariant and ranks
    equivariant under permutations; infinitely differentiable; O(n^2) memory and O(n^3) time; ties keep equal ranks;
    infinite entries get their own places, the others are as beside entries just beyond them; a NaN makes its whole row
    NaN. As softness -> 0: the exact values and ranks.
    """

    name = "smooth_sort"
    modes = ("smooth",)
    has_rows = False
    pairs_index = False

    def prepare(self, x: Tensor, softness: Tensor | float, mode: Mode, standardize: bool) -> Keys:
        return super().prepare(x, softness, mode, False)

    def _values(self, keys: Keys, positions: Positions) -> Tensor:
        w = accumulated(keys.compared).sort(dim=-1, descending=True).values
        z = _places(keys, w) / wide_softness(keys)
        values = smooth_permutahedron(z, w, _bound_softness(keys, w))
        chosen = values.index_select(-1, keys.n - 1 - positions.index(keys.n, w.device))
        return with_extremes(chosen.to(keys.raw.dtype), keys, positions)

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        keys = keys.negated() if descending else keys
        z, order = (accumulated(keys.compared) / wide_softness(keys)).sort(dim=-1, descending=True)
        steps = max(keys.n - 1, 1)
        w = _places(keys, z) + 1.0 / steps
        projected = smooth_permutahedron(z, w, _bound_softness(keys, z)) * steps
        ranks = torch.zeros_like(projected).scatter(-1, order, projected)
        return torch.where(keys.level == 0, ranks.to(keys.raw.dtype), middle_rank(keys))


def _places(keys: Keys, like: Tensor) -> Tensor:
    """1 .. 0 evenly spaced, (n,), or 0 for a single entry."""
    place = torch.arange(keys.n - 1, -1, -1, device=like.device, dtype=like.dtype)
    return place / max(keys.n - 1, 1)


def _bound_softness(keys: Keys, like: Tensor) -> Tensor:
    """min(softness, 1), broadcastable to (..., 1)."""
    softness = wide_softness(keys)
    return torch.as_tensor(softness, dtype=like.dtype, device=like.device).clamp(max=1.0)
