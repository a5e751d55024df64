"""The spread of what a control site decides by: the unit of its softness.

It is Gini's mean difference of the margins that the first run met (of the numbers, where a number is read). A site that
met one margin, or equal ones, takes the mean of |margin|; one of which nothing is known yet the mean of the others'. A
spread stays as it was measured first, so that the smoothed program is one program, until a schedule has it measured
again between steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from softfx.decisions.site import Decision

__all__ = ["Spreads", "mean_difference"]

_MOST = 4096  # margins of a site that are looked at: the spread of more of them is hardly another


class Spreads:
    """The spread of each control site, by its number."""

    def __init__(self) -> None:
        self._of: dict[int, float] = {}
        self._met: dict[int, list[float]] = {}
        self._again: set[int] = set()  # those that are still to be measured again

    def of(self, site: int) -> float:
        """The spread of a site; of one that is not measured yet, the mean of the others, or 1.

        >>> spreads = Spreads()
        >>> spreads.met(0, [1.0, 3.0, 5.0]); spreads.settle()
        >>> spreads.of(0), spreads.of(1)
        (2.6666666666666665, 2.6666666666666665)
        """
        if (known := self._of.get(site)) is not None:
            return known
        return sum(self._of.values()) / len(self._of) if self._of else 1.0

    def scale(self, decision: Decision) -> float:
        """The softness of a site in units of what it decides by."""
        return float(decision.softness) * self.of(decision.id)

    def wants(self, site: int) -> bool:
        """Return True if the margins of a site are asked for: it has no spread, or is to be measured again."""
        return site not in self._of or site in self._again

    def met(self, site: int, margins: Iterable[float]) -> None:
        """A run met these margins at a site."""
        known = self._met.setdefault(site, [])
        if len(known) < _MOST:
            known.extend(margin for margin in margins if math.isfinite(margin))

    def settle(self) -> None:
        """Measure the sites of a run that has ended."""
        for site, margins in self._met.items():
            if self.wants(site) and (spread := _spread(margins[:_MOST])):
                self._of[site] = spread
                self._again.discard(site)
        self._met.clear()

    def measure_again(self, sites: Iterable[int]) -> None:
        """Have the next run that meets these sites measure them again."""
        self._again.update(sites)


def _spread(margins: Sequence[float]) -> float:
    if not margins:
        return 0.0
    return mean_difference(margins) or sum(map(abs, margins)) / len(margins)


def mean_difference(numbers: Sequence[float]) -> float:
    """Gini's mean difference: the mean of |x - y| over pairs of different entries; 0 for fewer than two numbers.

    >>> mean_difference([1.0, 2.0, 4.0])
    2.0
    """
    count = len(numbers)
    if count < 2:
        return 0.0
    weighted = sum((2 * rank - count + 1) * number for rank, number in enumerate(sorted(numbers)))
    return 2.0 * weighted / (count * (count - 1))
