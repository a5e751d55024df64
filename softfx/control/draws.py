"""The numbers that paths are drawn by: of a generator of the user's, of a seed, or of torch's, which is not touched."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import torch

__all__ = ["Draws"]


@dataclass(eq=False)
class Draws:
    """Seeds, one for each call.

    generator: what they are drawn from, if the user gives one.
    """

    generator: torch.Generator | None = None
    _own: Random = field(default_factory=lambda: Random(torch.initial_seed()), repr=False)
    _seeded_by: int | None = None

    def next(self, seed: int | None) -> Random:
        """The randomness of one call. seed: the policy's, from which a sequence of its own begins."""
        if self.generator is not None:
            place = self.generator.device
            return Random(int(torch.randint(2**62, (), generator=self.generator, device=place)))
        if seed is not None and seed != self._seeded_by:
            self._own, self._seeded_by = Random(seed), seed
        return Random(self._own.getrandbits(62))
