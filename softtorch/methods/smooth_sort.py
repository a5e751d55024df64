"""SmoothSort: the projection onto the permutahedron with a barrier, infinitely differentiable; values and ranks.

It has the two uses of FastSoftSort, on the raw entries: sorted values are the projection of evenly spaced places with
the entries as vertex, ranks that of the entries with evenly spaced places as vertex. The projection is in
kernels/barrier.py.
"""

import torch
from torch import Tensor

from softtorch.kernels.barrier import smooth_bounds, smooth_permutahedron
from softtorch.kernels.numeric.promotion import as_tensor
from softtorch.kernels.sorted_line.scan import accumulated
from softtorch.methods.base import middle_rank, with_extremes
from softtorch.methods.contract import YES, Contract, Cost
from softtorch.methods.keys import Keys
from softtorch.methods.mirrored import Mirrored
from softtorch.methods.positions import Positions
from softtorch.methods.scaled import scaled, wide_softness
from softtorch.modes import Mode


class SmoothSort(Mirrored):
    """Sorted values and ranks that have all derivatives; `standardize` does not apply to it.

    Ranks are in the order of the entries.
    """

    name = "smooth_sort"
    modes = ("smooth",)
    has_rows = False
    pairs_index = False
    contract = Contract(
        smoothness="C^inf; ranks jump at ties",
        time=Cost("n^3 a step"),
        memory=Cost("n^2"),
        source="the smooth variant of fast_soft_sort",
        keeps_sum=YES,
        keeps_rank_sum=YES,
        ties="have ranks apart, by place",
    )

    def prepare(self, x: Tensor, softness: Tensor | float, mode: Mode, standardize: bool) -> Keys:
        return super().prepare(x, softness, mode, False)

    def _values(self, keys: Keys, positions: Positions) -> Tensor:
        slot, finite = _slots(keys)
        z = (finite - 1 - slot) / _steps(finite) / wide_softness(keys)
        values = _projected(keys, z, accumulated(keys.compared), keys.level == 0, finite > slot)
        place = positions.index(keys.n, z.device)
        slot = (keys.n - 1 - keys.above - place).clamp(0, keys.n - 1).expand(*values.shape[:-1], place.shape[-1])
        return with_extremes(keys.restored(values.gather(-1, slot)).to(keys.raw.dtype), keys, positions)

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        keys = keys.negated() if descending else keys
        # Infinite entries go last, where the kernel takes no notice of them.
        y = scaled(keys)
        z, order = torch.where(keys.level > 0, y.detach().amin(dim=-1, keepdim=True), y).sort(dim=-1, descending=True)
        slot, finite = _slots(keys)
        w = (finite - slot) / _steps(finite)
        projected = _projected(keys, z, w, finite > slot, finite > slot) * _steps(finite) + keys.below
        ranks = torch.zeros_like(projected).scatter(-1, order, projected)
        return torch.where(keys.level == 0, ranks.to(keys.raw.dtype), middle_rank(keys))


def _slots(keys: Keys) -> tuple[Tensor, Tensor]:
    """0 .. n-1, (n,), and the number of finite entries, (..., 1)."""
    slot = accumulated(torch.arange(keys.n, device=keys.raw.device))
    return slot, accumulated(keys.n - keys.below - keys.above)


def _steps(finite: Tensor) -> Tensor:
    """The number of steps between that many places, at least 1."""
    return (finite - 1.0).clamp(min=1.0)


def _projected(keys: Keys, z: Tensor, w: Tensor, counted: Tensor, present: Tensor) -> Tensor:
    """The projection of z, (..., n), in the `present` slots, onto the permutahedron of the `counted` entries of w.

    Its bounds are smoothed by min(softness, 1).
    """
    softness = as_tensor(wide_softness(keys), z.dtype, z.device)
    return smooth_permutahedron(z, smooth_bounds(w, counted, softness.clamp(max=1.0)), present)
