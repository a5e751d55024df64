"""The numbers that paths are drawn by: of a generator of the user's, of a seed, or of torch's, which is not touched."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import torch

__all__ = ["Draws", "Stream"]

_MASK = 2**64 - 1


class Stream:
    """The random numbers of one call, by splitmix64 (Steele, Lea and Flood 2014).

    Its state is one number: to make Python's own generator takes longer than many a small run.

    >>> numbers = Stream(7)
    >>> first = numbers.random()
    >>> numbers.begin_again()
    >>> 0.0 <= first < 1.0 and numbers.random() == first
    True
    """

    def __init__(self, seed: int) -> None:
        self._seed = self._state = seed

    def begin_again(self) -> None:
        """Go on as if nothing had been drawn."""
        self._state = self._seed

    def bits(self) -> int:
        """64 of them."""
        self._state = state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def random(self) -> float:
        """A number from [0, 1)."""
        return (self.bits() >> 11) * 2.0**-53


@dataclass(eq=False)
class Draws:
    """Seeds, one for each call.

    generator: what they are drawn from, if the user gives one.
    """

    generator: torch.Generator | None = None
    _own: Random = field(default_factory=lambda: Random(torch.initial_seed()), repr=False)
    _seeded_by: int | None = None

    def next(self, seed: int | None) -> Stream:
        """The randomness of one call. seed: the policy's, from which a sequence of its own begins."""
        if self.generator is not None:
            place = self.generator.device
            return Stream(int(torch.randint(2**62, (), generator=self.generator, device=place)))
        if seed is not None and seed != self._seeded_by:
            self._own, self._seeded_by = Random(seed), seed
        return Stream(self._own.getrandbits(62))
