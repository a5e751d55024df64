"""LapSum (arXiv 2503.06242): order statistics from sums of Laplace distribution functions, in near-linear time.

With S(b) = sum_j F((b - x_j) / softness), row p is F at S^-1(p + 1) minus F at S^-1(p). Values, ranks and masks never
form the rows. The sums and their inverse are in kernels/laplace.py.
"""

import torch
from torch import Tensor

from softtorch.kernels import laplace, laplace_pairs, large_top_mask
from softtorch.kernels.sorted_line.scan import accumulated
from softtorch.methods.base import Method, with_extremes
from softtorch.methods.contract import NO, YES, Contract, Cost, Except
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Positions
from softtorch.methods.scaled import count_like, mixed, scaled, wide_softness

_COARSE = 0.05  # standardized entries over this softness are numbers below 20, exact to 1e-6 in float32


class LapSum(Method):
    """The doubly stochastic relaxation without n x n memory.

    It is twice differentiable almost everywhere.
    """

    name = "lapsum"
    modes = ("smooth", "tailed")
    has_mask = True
    contract = Contract(
        smoothness="C^1",
        time=Cost("n log n", (Except("k n", ("indices",)),)),
        memory=Cost("n", (Except("k n", ("indices",)),)),
        source="arXiv 2503.06242",
        doubly_stochastic=YES,
        keeps_sum=YES,
        keeps_rank_sum=YES,
        sparse=NO,
    )

    def rows(self, keys: Keys, positions: Positions) -> Tensor:
        return mixed(keys, lambda keys: self._rows(scaled(keys), positions)).to(keys.raw.dtype)

    @staticmethod
    def _rows(y: Tensor, positions: Positions) -> Tensor:
        """The rows, (..., k, [n]), of entries y (..., n) in units of the softness."""
        return laplace.rows(y, _ends(positions, y))

    def values(self, keys: Keys, positions: Positions, gated_grad: bool = True) -> Tensor:
        return mixed(keys, lambda keys: self._values(keys, positions, gated_grad))

    def _values(self, keys: Keys, positions: Positions, gated_grad: bool) -> Tensor:
        y = scaled(keys)
        y, v = y if gated_grad else y.detach(), accumulated(keys.entries).expand(y.shape)
        if laplace_pairs.is_small(y):
            averages = (self._rows(y, positions) * v.unsqueeze(-2)).sum(dim=-1)
            return self._restored(averages, keys, positions)
        y, order = y.sort(dim=-1)
        v = v.gather(-1, order)
        if positions.complete:  # each place ends where the next one begins
            places = torch.arange(keys.n + 1, device=y.device, dtype=y.dtype)
            sums = laplace.weighted_sum(y, v, laplace.levels(y, places))
            return self._restored(positions.picked(sums.diff(dim=-1)), keys, positions)
        low, high = laplace.weighted_sum(y, v, laplace.levels(y, _ends(positions, y))).chunk(2, dim=-1)
        return self._restored(high - low, keys, positions)

    def _restored(self, averages: Tensor, keys: Keys, positions: Positions) -> Tensor:
        """Averages of `keys.entries`, (..., k), as values."""
        return with_extremes(keys.valued(averages).to(keys.raw.dtype), keys, positions)

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        """1/2 + S(x_i), or its mirror image; ranks sum to n (n + 1) / 2."""
        return mixed(keys, lambda keys: self._rank(scaled(keys), descending)).to(keys.raw.dtype)

    @staticmethod
    def _rank(y: Tensor, descending: bool) -> Tensor:
        return laplace.soft_ranks(-y if descending else y)

    def mask(self, keys: Keys, k: Tensor | float) -> Tensor:
        """F((x_i - b) / softness) with b so that the sum is k; gradients reach k."""
        return mixed(keys, lambda keys: self._mask(keys, k)).to(keys.raw.dtype)

    @staticmethod
    def _mask(keys: Keys, k: Tensor | float) -> Tensor:
        y = _modest(keys) if large_top_mask.is_large(keys.raw) else scaled(keys)
        return laplace.top_mask(y, count_like(k, y))

    def crossing(self, keys: Keys, share: Tensor | float) -> Tensor:
        """The point, (..., 1), in units of the keys, where S reaches a share in (0, 1) of the finite entries."""
        return mixed(keys, lambda keys: self._crossing(keys, share))

    @staticmethod
    def _crossing(keys: Keys, share: Tensor | float) -> Tensor:
        y = scaled(keys)
        level = keys.below + count_like(share, y) * (keys.n - keys.below - keys.above)
        softness = wide_softness(keys)
        return keys.restored(laplace.quantile(y, level) * softness).to(keys.raw.dtype)


def _modest(keys: Keys) -> Tensor:
    """`scaled` of many entries: in their own dtype where no sum along a line is needed and that has enough digits."""
    if keys.moderate and keys.standardized and not isinstance(keys.softness, Tensor) and keys.softness >= _COARSE:
        return keys.compared / keys.softness
    return scaled(keys)


def _ends(positions: Positions, y: Tensor) -> Tensor:
    """Where each position begins and where it ends, (2 k,), in the sums S over y, (..., n)."""
    place = positions.index(y.shape[-1], y.device)
    return torch.cat([place, place + 1]).to(y.dtype)
