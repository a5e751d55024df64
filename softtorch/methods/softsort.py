"""SoftSort (Prillo and Eisenschlos, arXiv 2006.16038): rows are the projection of -|sorted(x)[p] - x|."""

import torch
from torch import Tensor

from softtorch.methods.base import ScoredMethod
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Every, Positions


class SoftSort(ScoredMethod):
    """The simplest relaxation: every place weighs the entries by their distance from its exact order
    statistic.
    """

    name = "softsort"

    def scores(self, keys: Keys, positions: Positions) -> Tensor:
        anchors = positions.exact(keys.compared)[0]
        return -(anchors.unsqueeze(-1) - keys.compared.unsqueeze(-2)).abs() / keys.row_softness

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        """Each entry projects its distances from all anchors: the mean place under that distribution."""
        every = Every(descending)
        # Symmetric in entry and place, so the columns of the scores are the rows of the transposed problem.
        places_of = keys.mode.project(self._admitted(keys, every).transpose(-1, -2))  # (..., n, [k])
        ranks = torch.arange(1, keys.n + 1, device=places_of.device, dtype=places_of.dtype)
        return (places_of * ranks).sum(dim=-1)
