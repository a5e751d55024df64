"""Keys in ascending order, for methods that sum along the sorted line instead of over all pairs.

Infinite entries keep their places at both ends, so far out that no sum counts them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from softtorch.kernels.scan import accumulated
from softtorch.methods.keys import Keys
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

    @property
    def entries(self) -> Tensor:
        """The entries in the dtype of long sums, 0 in the place of infinite ones."""
        return accumulated(torch.where(self.level == 0, self.raw, 0.0))

    def restored(self, values: Tensor) -> Tensor:
        """Values of all places in the dtype of the entries, where infinite entries keep their places."""
        return torch.where(self.level == 0, values.to(self.raw.dtype), self.raw)


def ordered(keys: Keys) -> Ordered:
    """The keys sorted once."""
    raw, order = keys.raw.sort(dim=-1)
    level = keys.place_level(torch.arange(keys.n, device=raw.device))
    y = accumulated(keys.compared.gather(-1, order)) / wide_softness(keys)
    return Ordered(y + BEYOND * level, raw, order, level)
