"""NeuralSort (Grover et al., arXiv 1903.08850): place p, counted from 1, scores entry j by -((n+1-2p) x_j +
A_j).

A_j = sum_i softabs(x_i - x_j) in the same mode and softness; both over the finite entries alone.
"""

from torch import Tensor

from softtorch.methods.base import ScoredMethod
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Positions


class NeuralSort(ScoredMethod):
    """The relaxation whose rows are unimodal; the distances A are n x n, whatever the number of places."""

    name = "neuralsort"

    def scores(self, keys: Keys, positions: Positions) -> Tensor:
        x = keys.compared
        place = positions.index(keys.n, x.device) - keys.below  # (..., k) among the finite entries
        finite = keys.n - keys.below - keys.above  # (..., [1])
        slope = (finite - 1 - 2 * place).to(x.dtype)
        scores = slope.unsqueeze(-1) * x.unsqueeze(-2) + self._distances(keys).unsqueeze(-2)
        return -scores / keys.row_softness

    def _distances(self, keys: Keys) -> Tensor:
        """A, (..., [n])."""
        x = keys.compared
        apart = keys.mode.softabs(x.unsqueeze(-1) - x.unsqueeze(-2), keys.row_softness)
        return (apart * (keys.level == 0).unsqueeze(-1)).sum(dim=-2)
