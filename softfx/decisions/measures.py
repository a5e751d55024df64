"""The spreads that one measuring run finds, by site: a loop's iterations, and several calls, are pooled."""

from __future__ import annotations

from collections import defaultdict

from softfx.rules.spread import Spread, pooled

__all__ = ["Measures"]


class Measures:
    """The spreads of what each site decides about, as the run has met them so far."""

    def __init__(self) -> None:
        self._of: defaultdict[int, list[Spread]] = defaultdict(list)

    def add(self, site: int, spread: Spread) -> Spread:
        """Note one more spread of a site, and return the mean of all that it had."""
        self._of[site].append(spread)
        return pooled(self._of[site])
