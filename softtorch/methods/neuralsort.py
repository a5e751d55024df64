"""NeuralSort (Grover et al., arXiv 1903.08850): place p, from 1, scores entry j by -((n + 1 - 2p) x_j + A_j).

A_j = sum_i softabs(x_i - x_j) in the same mode and softness; both over the finite entries alone.
"""

from torch import Tensor

from softtorch.methods.base import ScoredMethod
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Positions

# Entries over softness stay below this over n, well inside of float32.
_FAR = 1e30


class NeuralSort(ScoredMethod):
    """The relaxation whose rows are unimodal; the distances A are n x n, whatever the number of places.

    Contract: rows sum to 1, columns do not; values do not keep the sum; equivariant under permutations; as smooth as
    its mode, at ties too; sparse in the modes c0, c1, c2; O(n^2) time and memory; ties share evenly; infinite entries
    keep their places to themselves; a NaN makes its whole row NaN. As softness -> 0: the exact order statistics.
    """

    name = "neuralsort"

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
