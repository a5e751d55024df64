"""NeuralSort (Grover et al., arXiv 1903.08850): place p, from 1, scores entry j by -((n + 1 - 2p) x_j + A_j).

A_j = sum_i softabs(x_i - x_j) in the same mode and softness; both over the finite entries alone.
"""

import torch
from torch import Tensor

from softtorch.kernels.sorted_line import softmax_rows
from softtorch.kernels.sorted_line.compact_distances import compact_distance_sums
from softtorch.kernels.sorted_line.distances import distance_sums
from softtorch.kernels.sorted_line.scan import accumulated
from softtorch.kernels.sorted_line.softmax_rows import Rows
from softtorch.methods.base import ScoredMethod
from softtorch.methods.contract import Contract, Cost, Except
from softtorch.methods.keys import Keys
from softtorch.methods.ordered import Ordered, ordered
from softtorch.methods.positions import Every, Positions
from softtorch.methods.scaled import wide_softness

# Entries over softness stay below this over n, well inside of float32.
_FAR = 1e30

# Moderate entries over a softness above this are well inside of float32, times n too.
TINY = 1e-12

# From here on, entries along the axis, sums along the sorted line are cheaper than over all pairs.
LINE = 512

# So they are from here on for shorter rows, if there are this many pairs in all.
SHORT, PAIRS = 128, 1 << 18

# Columns of this sum lose nothing by the weights that do not count for their rows: 1e-22 each (softmax_rows.py).
LEAST = 1e-6


class NeuralSort(ScoredMethod):
    """The relaxation whose rows are unimodal.

    The distances of many entries are summed along the sorted line. So are, in mode smooth, values and ranks of
    all places, of which about sqrt(n) entries count for each; otherwise a place weighs all entries.
    """

    name = "neuralsort"
    contract = Contract(
        smoothness="the mode's",
        time=Cost("n log n + k n", (Except("n^1.5", ("values", "ranks"), ("smooth",)), Except("n^2", ("ranks",)))),
        memory=Cost("n + k n", (Except("n", ("values", "ranks"), ("smooth",)), Except("n^2", ("ranks",)))),
        source="arXiv 1903.08850",
    )

    def values(self, keys: Keys, positions: Positions, gated_grad: bool = True) -> Tensor:
        if not _has_line(keys) or positions.count(keys.n) == 0:
            return super().values(keys, positions, gated_grad)
        line = ordered(keys)
        places, back = positions.index(keys.n, keys.raw.device).sort()
        means = softmax_rows.average(_line_rows(line, places, gated_grad), line.entries.reshape(-1, 1, keys.n))
        means = means.reshape(*keys.raw.shape[:-1], -1)
        return line.restored(torch.zeros_like(means).index_copy(-1, back, means), positions)

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        if not _has_line(keys):
            return super().rank(keys, descending)
        line = ordered(keys)
        rows = _line_rows(line, Every().index(keys.n, keys.raw.device), True)
        return line.ranks(_mean_places(rows).reshape(keys.raw.shape), descending)

    def scores(self, keys: Keys, positions: Positions) -> Tensor:
        place = positions.index(keys.n, keys.raw.device)
        finite: Tensor | int = keys.n
        if not keys.moderate:
            place = place - keys.below  # (..., k) among the finite entries
            finite = keys.n - keys.below - keys.above  # (..., [1])
        slope = 2 * place + (1 - finite)
        if keys.n >= SHORT and keys.n * keys.raw.numel() >= PAIRS:
            return _wide_scores(slope, keys)
        entries = _entries(keys.compared, keys.softness, keys)
        distances = _distances(entries, keys)
        return slope.to(entries.dtype).unsqueeze(-1) * entries.unsqueeze(-2) - distances.unsqueeze(-2)


def _entries(compared: Tensor, softness: Tensor | float, keys: Keys) -> Tensor:
    """compared, (..., [n]), over softness."""
    if keys.moderate and not isinstance(softness, Tensor) and softness > TINY:
        return compared / softness
    # Bounded so that neither n x nor A can overflow; what is this far apart is sorted exactly long before.
    return (compared / softness).clamp(-_FAR / keys.n, _FAR / keys.n)


def _distances(entries: Tensor, keys: Keys) -> Tensor:
    """A over softness, (..., [n]), of entries over softness, (..., [n]), by all pairs."""
    apart = keys.mode.softabs(entries.unsqueeze(-1) - entries.unsqueeze(-2), 1.0)
    return (apart if keys.moderate else apart * (keys.level == 0).unsqueeze(-1)).sum(dim=-2)


def _wide_scores(slope: Tensor, keys: Keys) -> Tensor:
    """The scores (..., k, [n]) for slopes (k,) or (..., k), with the largest finite entry's at 0.

    Slopes times entries, and A, are about n times as large as their difference, whose digits are what counts: it is
    taken in the dtype of long sums.
    """
    entries = _entries(accumulated(keys.compared), wide_softness(keys), keys)
    distances = _line_distances(entries, keys)
    wide = slope.to(entries.dtype).unsqueeze(-1)
    scores = torch.addcmul(-distances.unsqueeze(-2), wide, entries.unsqueeze(-2))
    fixed = scores.detach()
    if not keys.moderate:
        fixed = fixed.masked_fill((keys.level != 0).unsqueeze(-2), -torch.inf)
    top = fixed.amax(dim=-1, keepdim=True)
    return (scores - torch.where(top == -torch.inf, 0.0, top)).to(keys.raw.dtype)


def _line_distances(entries: Tensor, keys: Keys) -> Tensor:
    """`_distances` by sums along the sorted line, 0 for infinite entries."""
    y, order = entries.sort(dim=-1)
    counted = torch.ones_like(y) if keys.moderate else (keys.level == 0).to(y.dtype).expand(y.shape).gather(-1, order)
    sums = compact_distance_sums(y, counted, keys.mode.power) if keys.mode.power else distance_sums(y, counted)
    sums = sums * counted
    # Rounding is not to tell equal entries apart; NaN is equal to nothing.
    place = torch.arange(keys.n, device=y.device)
    rises = torch.nn.functional.pad(torch.diff(y.detach(), dim=-1) != 0, (1, 0), value=True)
    same = sums.detach().gather(-1, (place * rises).cummax(dim=-1).values)
    sums = sums + (same - sums.detach())
    return torch.zeros_like(sums).scatter(-1, order, sums)


def _has_line(keys: Keys) -> bool:
    """Return True if there are sums along the sorted line for these keys, and enough entries for them to pay."""
    return keys.moderate and keys.mode.power == 0 and keys.n >= LINE


def _line_rows(line: Ordered, places: Tensor, gated_grad: bool) -> Rows:
    """The rows of some places, (k,) in rising order, for every row of the batch."""
    y = line.y.reshape(-1, line.y.shape[-1])
    y = y if gated_grad else y.detach()
    slopes = (2 * places + 1 - y.shape[-1]).to(y.dtype).expand(y.shape[0], -1)
    return softmax_rows.rows_of(slopes, y, distance_sums(y, torch.ones_like(y)))


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
