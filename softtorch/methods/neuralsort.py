"""NeuralSort (Grover et al., arXiv 1903.08850): place p, from 1, scores entry j by -((n + 1 - 2p) x_j + A_j).

A_j = sum_i softabs(x_i - x_j) in the same mode and softness; both over the finite entries alone.
"""

import torch
from torch import Tensor

from softtorch.kernels.sorted_line import softmax_rows
from softtorch.kernels.sorted_line.distances import distance_sums
from softtorch.kernels.sorted_line.softmax_rows import Rows
from softtorch.methods.base import ScoredMethod
from softtorch.methods.contract import Contract, Cost, Except
from softtorch.methods.keys import Keys
from softtorch.methods.ordered import Ordered, ordered
from softtorch.methods.positions import Every, Positions

# Entries over softness stay below this over n, well inside of float32.
_FAR = 1e30

# Moderate entries over a softness above this are well inside of float32, times n too.
TINY = 1e-12

# From here on, entries along the axis, sums along the sorted line are cheaper than over all pairs.
LINE = 512

# Columns of this sum lose nothing by the weights that do not count for their rows: 1e-22 each (softmax_rows.py).
LEAST = 1e-6


class NeuralSort(ScoredMethod):
    """The relaxation whose rows are unimodal.

    In mode smooth, values and ranks of LINE finite entries or more are summed along the sorted line, where about
    sqrt(n) entries count for a place. Everything else is made of all pairs of entries.
    """

    name = "neuralsort"
    contract = Contract(
        smoothness="the mode's",
        time=Cost("n^2", (Except("n^1.5", ("values", "ranks"), ("smooth",)),)),
        memory=Cost("n^2", (Except("n", ("values", "ranks"), ("smooth",)),)),
        source="arXiv 1903.08850",
    )

    def values(self, keys: Keys, positions: Positions, gated_grad: bool = True) -> Tensor:
        if not _has_line(keys) or positions.count(keys.n) == 0:
            return super().values(keys, positions, gated_grad)
        line = ordered(keys)
        places, back = positions.index(keys.n, keys.raw.device).sort()
        means = softmax_rows.average(_line_rows(line, places, gated_grad), line.entries.reshape(-1, 1, keys.n))
        means = means.reshape(*keys.raw.shape[:-1], -1)
        return torch.zeros_like(means).index_copy(-1, back, means).to(keys.raw.dtype)

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        if not _has_line(keys):
            return super().rank(keys, descending)
        line = ordered(keys)
        rows = _line_rows(line, Every().index(keys.n, keys.raw.device), True)
        return line.ranks(_mean_places(rows).reshape(keys.raw.shape), descending)

    def scores(self, keys: Keys, positions: Positions) -> Tensor:
        place = positions.index(keys.n, keys.raw.device)
        if keys.moderate and not isinstance(keys.softness, Tensor) and keys.softness > TINY:
            finite: Tensor | int = keys.n
            entries = keys.compared / keys.softness
        else:
            place = place - keys.below  # (..., k) among the finite entries
            finite = keys.n - keys.below - keys.above  # (..., [1])
            # Bounded so that neither n x nor A can overflow; what is this far apart is sorted exactly long before.
            entries = (keys.compared / keys.softness).clamp(-_FAR / keys.n, _FAR / keys.n)
        slope = (2 * place + (1 - finite)).to(entries.dtype)
        distances = _distances(entries, keys)
        return slope.unsqueeze(-1) * entries.unsqueeze(-2) - distances.unsqueeze(-2)


def _distances(entries: Tensor, keys: Keys) -> Tensor:
    """A over softness, (..., [n]), of entries over softness, (..., [n])."""
    apart = keys.mode.softabs(entries.unsqueeze(-1) - entries.unsqueeze(-2), 1.0)
    return (apart if keys.moderate else apart * (keys.level == 0).unsqueeze(-1)).sum(dim=-2)


def _has_line(keys: Keys) -> bool:
    """Return True if there are sums along the sorted line for these keys, and enough entries for them to pay."""
    return keys.moderate and keys.mode.power == 0 and keys.n >= LINE


def _line_rows(line: Ordered, places: Tensor, gated_grad: bool) -> Rows:
    """The rows of some places, (k,) in rising order, for every row of the batch."""
    y = line.y.reshape(-1, line.y.shape[-1])
    y = y if gated_grad else y.detach()
    slopes = (2 * places + 1 - y.shape[-1]).to(y.dtype).expand(y.shape[0], -1)
    return softmax_rows.rows_of(slopes, y, distance_sums(y))


def _mean_places(rows: Rows) -> Tensor:
    """The mean place, from 1, under each column of the matrix of all rows, the column normalized: (rows, n)."""
    n = rows.y.shape[-1]
    number = torch.arange(1, n + 1, dtype=rows.y.dtype, device=rows.y.device)
    both = torch.stack([torch.ones_like(number), number]).expand(len(rows.y), 2, n)
    spreads, norm = softmax_rows.spread_and_norm(rows, both)
    mass, total = spreads.unbind(1)
    enough = mass > LEAST
    means = total / torch.where(enough, mass, 1.0)
    thin = (~enough).any(dim=0).nonzero().squeeze(-1)
    if len(thin) == 0:
        return means
    # What counts for no row may count for a column, which is a row of the same kind, entries and places exchanged:
    # what its entry adds to the logits is the same for all places.
    columns = softmax_rows.rows_of(rows.y.index_select(-1, thin), rows.a, norm)
    return means.index_copy(-1, thin, softmax_rows.average(columns, both[:, 1:]).squeeze(1))
