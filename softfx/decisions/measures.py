"""The spreads that one measuring run finds, by site: a loop's iterations, and several calls, are pooled."""

from __future__ import annotations

from collections import defaultdict

from softfx.rules.spread import Pool, Spread, blended

__all__ = ["Measures"]


class Measures:
    """The spreads of what each site decides about, as the run has met them so far.

    Args:
        momentum: the part that a site keeps of the spread that it had before the run, for a moving average.
    """

    def __init__(self, momentum: float = 0.0) -> None:
        self._momentum = momentum
        self._of: defaultdict[int, Pool] = defaultdict(Pool)
        self._before: dict[int, Spread | None] = {}

    def add(self, site: int, spread: Spread, before: Spread | None) -> Spread:
        """Note one more spread of a site that had another before, and return what it has now."""
        first = self._before.setdefault(site, before)
        self._of[site].add(spread)
        return blended(first, self._of[site].mean, self._momentum)
