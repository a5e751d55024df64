"""NeuralSort (Grover et al., arXiv 1903.08850): place p, from 1, scores entry j by -((n + 1 - 2p) x_j + A_j).

A_j = sum_i softabs(x_i - x_j) in the same mode and softness; both over the finite entries alone.
"""

import torch
from torch import Tensor

from softtorch.kernels import exponential_rows
from softtorch.kernels.distances import distance_sums
from softtorch.kernels.exponential_rows import Rows
from softtorch.methods.base import ScoredMethod
from softtorch.methods.keys import Keys
from softtorch.methods.ordered import Ordered, ordered
from softtorch.methods.positions import Every, Positions

# Entries over softness stay below this over n, well inside of float32.
_FAR = 1e30

# From here on, entries along the axis, sums along the sorted line are cheaper than over all pairs.
LINE = 512


class NeuralSort(ScoredMethod):
    """The relaxation whose rows are unimodal.

    Contract: rows sum to 1, columns do not; values do not keep the sum; equivariant under permutations; as smooth as
    its mode, at ties too; sparse in the modes c0, c1, c2; O(n^2) time and memory, but in mode smooth, for values and
    ranks of finite entries, O(n) memory and about O(n^1.5) time; ties share evenly; infinite entries keep their places
    to themselves; a NaN makes its whole row NaN. As softness -> 0: the exact order statistics.
    """

    name = "neuralsort"

    def values(self, keys: Keys, positions: Positions, gated_grad: bool = True) -> Tensor:
        if not _has_line(keys):
            return super().values(keys, positions, gated_grad)
        line = ordered(keys)
        places, back = positions.index(keys.n, keys.raw.device).sort()
        rows = _line_rows(line, places, gated_grad)
        means = exponential_rows.average(rows, line.entries.unsqueeze(-1)).squeeze(-1)
        return torch.zeros_like(means).index_copy(-1, back, means).to(keys.raw.dtype)

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        if not _has_line(keys):
            return super().rank(keys, descending)
        line = ordered(keys)
        places = Every().index(keys.n, keys.raw.device)
        number = (places + 1).to(line.y.dtype)
        both = torch.stack([torch.ones_like(number), number], dim=-1).expand(*line.y.shape, 2)
        mass, total = exponential_rows.spread(_line_rows(line, places, True), both).unbind(-1)
        return line.ranks(torch.where(mass > 0, total / torch.where(mass > 0, mass, 1.0), number), descending)

    def scores(self, keys: Keys, positions: Positions) -> Tensor:
        place = positions.index(keys.n, keys.raw.device) - keys.below  # (..., k) among the finite entries
        finite = keys.n - keys.below - keys.above  # (..., [1])
        slope = (2 * place + 1 - finite).to(keys.compared.dtype)
        # Bounded so that neither n x nor A can overflow; what is this far apart is sorted exactly long before.
        entries = (keys.compared / keys.softness).clamp(-_FAR / keys.n, _FAR / keys.n)
        distances = _distances(entries, keys)
        return slope.unsqueeze(-1) * entries.unsqueeze(-2) - distances.unsqueeze(-2)


def _distances(entries: Tensor, keys: Keys) -> Tensor:
    """A over softness, (..., [n]), of entries over softness, (..., [n])."""
    apart = keys.mode.softabs(entries.unsqueeze(-1) - entries.unsqueeze(-2), 1.0)
    return (apart * (keys.level == 0).unsqueeze(-1)).sum(dim=-2)


def _has_line(keys: Keys) -> bool:
    """Whether there are sums along the sorted line for these keys, and enough of them to pay."""
    return keys.moderate and keys.mode.power == 0 and keys.n >= LINE


def _line_rows(line: Ordered, places: Tensor, gated_grad: bool) -> Rows:
    """The rows of some places, (k,) in rising order."""
    y = line.y if gated_grad else line.y.detach()
    return exponential_rows.rows_of((2 * places + 1 - y.shape[-1]).to(y.dtype), y, distance_sums(y))
