"""Keys in ascending order, for methods that sum along the sorted line instead of over all pairs.

Infinite entries keep their places at both ends, so far out that no sum counts them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from softtorch.kernels.sorted_line.scan import accumulated
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Positions
from softtorch.methods.scaled import BEYOND, wide_softness


class Ordered(NamedTuple):
    """Shapes (..., [n]), the smallest entry first."""

    y: Tensor
    """compared / softness in the dtype of long sums, infinite entries far out on their side"""
    raw: Tensor
    """the entries as given"""
    order: Tensor
    """where each comes from"""
    level: Tensor
    """int8, as in `Keys`"""
    moderate: bool
    """as in `Keys`"""
    anchor: Tensor | None
    """(..., [1]) as in `Keys`"""

    @property
    def entries(self) -> Tensor:
        """The entries in the dtype of long sums, counted from the anchor, 0 in the place of infinite ones."""
        raw = accumulated(self.raw)
        counted = raw if self.anchor is None else raw - self.anchor
        return counted if self.moderate else torch.where(self.level == 0, counted, 0.0)

    def restored(self, values: Tensor, positions: Positions) -> Tensor:
        """Averages of `entries`, (..., k), as values in their dtype, where infinite entries keep their places."""
        values = values if self.anchor is None else values + self.anchor
        if self.moderate:
            return values.to(self.raw.dtype)
        return torch.where(positions.picked(self.level) == 0, values.to(self.raw.dtype), positions.picked(self.raw))

    def ranks(self, ascending: Tensor, descending: bool) -> Tensor:
        """Ascending ranks, (..., n), of the sorted entries as ranks of the entries as given, in their dtype."""
        ascending = ascending.to(self.raw.dtype)
        turned = ascending.shape[-1] + 1 - ascending if descending else ascending
        return torch.zeros_like(turned).scatter(-1, self.order, turned)


def ordered(keys: Keys) -> Ordered:
    """The keys sorted once."""
    raw, order = keys.raw.sort(dim=-1)
    level = keys.place_level(torch.arange(keys.n, device=raw.device))
    y = accumulated(keys.compared.gather(-1, order)) / wide_softness(keys)
    y = y if keys.moderate else y + BEYOND * level
    return Ordered(y, raw, order, level, keys.moderate, keys.anchor)
