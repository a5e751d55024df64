"""SoftSort (Prillo and Eisenschlos, arXiv 2006.16038): rows are the projection of -|sorted(x)[p] - x| / softness."""

import torch
from torch import Tensor

from softtorch.kernels.sorted_line import compact, sums
from softtorch.methods.base import Method
from softtorch.methods.contract import Contract, Cost, Except
from softtorch.methods.keys import Keys
from softtorch.methods.ordered import ordered
from softtorch.methods.positions import Every, Positions

# Up to here, entries of the batch times places, the pairs themselves are cheaper.
PAIRS = 1 << 17

# Where infinite entries stand on the line of the others: beyond what any exponential or power link reaches.
_FAR = 1e30

# Moderate entries over a softness above this are well inside of float32.
_TINY = 1e-12


class SoftSort(Method):
    """The simplest relaxation: every place weighs the entries by their distance from its exact order statistic.

    Few places are averaged over all pairs, others by sums along the sorted line.
    """

    name = "softsort"
    contract = Contract(
        smoothness="the mode's, C^0 at ties",
        time=Cost("n log n", (Except("k n", ("indices",)),)),
        memory=Cost("n", (Except("k n", ("indices",)),)),
        source="arXiv 2006.16038",
    )

    def values(self, keys: Keys, positions: Positions, gated_grad: bool = True) -> Tensor:
        if _few(positions.count(keys.n), keys):
            return super().values(keys, positions, gated_grad)
        line = ordered(keys)
        y = line.y if gated_grad else line.y.detach()
        return line.restored(_line_averages(y, line.entries, positions, keys.mode.power), positions)

    def rows(self, keys: Keys, positions: Positions) -> Tensor:
        return keys.mode.project(_scores(keys, positions))

    def log_rows(self, keys: Keys, positions: Positions) -> Tensor:
        scores = _scores(keys, positions)
        # What is infinitely far gets exactly nothing, which the logarithm has to be told. Rows may be off by a
        # constant, beside which it would not be told apart.
        scores = scores - scores.detach().amax(dim=-1, keepdim=True)
        return keys.mode.log_project(scores.masked_fill(scores < -0.6 * _FAR, -torch.inf))

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        """Each entry projects its distances from all anchors: the mean place under that distribution."""
        if not _few(keys.n, keys):
            return _line_rank(keys, descending)
        # Symmetric in entry and place, so the columns of the scores are the rows of the transposed problem.
        places_of = keys.mode.project(_scores(keys, Every(descending)).transpose(-1, -2))  # (..., n, [k])
        ranks = torch.arange(1, keys.n + 1, device=places_of.device, dtype=places_of.dtype)
        return (places_of * ranks).sum(dim=-1)


def _few(k: int, keys: Keys) -> bool:
    """Return True if all k x n pairs cost less than sorting and summing along the line."""
    return k <= 4 or k * keys.raw.numel() <= PAIRS


def _line_averages(y: Tensor, v: Tensor, positions: Positions, power: int) -> Tensor:
    """Averages of v around k of the places y, both (..., n) in the order of y: (..., k)."""
    if power == 0:
        return positions.picked(sums.average(y, v))
    if positions.complete:
        return positions.picked(compact.average(y, v, None, power))
    return compact.average(y, v, positions.index(y.shape[-1], y.device), power)


def _line_rank(keys: Keys, descending: bool) -> Tensor:
    """The rank as an average of places under the weights of the anchors, (..., [n])."""
    line = ordered(keys)
    places = torch.arange(1, keys.n + 1, device=line.y.device, dtype=line.y.dtype)
    average = _line_averages(line.y, places.expand(line.y.shape), Every(), keys.mode.power)
    if not keys.moderate:
        # Entries that count as -inf share the first places, those that count as inf the last ones.
        ends = torch.where(line.level < 0, (keys.below + 1) / 2.0, keys.n + (1 - keys.above) / 2.0)
        average = torch.where(line.level == 0, average, ends.to(average.dtype))
    return line.ranks(average, descending)


def _scores(keys: Keys, positions: Positions) -> Tensor:
    """-|anchor - entry| over softness, (..., k, [n])."""
    if keys.moderate and not isinstance(keys.softness, Tensor) and keys.softness > _TINY:
        return positions.nearness(keys.compared / keys.softness)
    if keys.inside is not None and not isinstance(keys.softness, Tensor):
        inner = keys.compared * (1.0 / keys.softness)  # a division costs a compiled kernel as much as an exponential
    else:
        inner = keys.compared / keys.softness
    if isinstance(keys.softness, Tensor) or keys.softness <= _TINY or not keys.standardized:
        inner = inner.clamp(-_FAR / 4, _FAR / 4)  # others lie in (0, 1 / softness)
    far = keys.level * _FAR
    # Beside what is so far away `inner` is rounding.
    return positions.nearness(torch.where(keys.level == 0, inner, far) if keys.inside is None else inner + far)
