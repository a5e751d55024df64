"""The spreads that one measuring run finds, by site: a loop's turns, and several calls, are pooled.

Turns that are far apart, as those of a loop over columns in different units, keep each a spread of its own.
"""

from __future__ import annotations

from collections import defaultdict

from torch import Tensor

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
        self._turns: defaultdict[int, dict[int, Pool]] = defaultdict(dict)
        self._before: dict[int, Spread | None] = {}

    def add(self, site: int, turn: int, spread: Spread, before: Spread | None) -> Spread:
        """Note one more spread of a site that had another before, and return what it has now.

        turn: how often the call has met the site before.
        """
        first = self._before.setdefault(site, before)
        self._of[site].add(spread)
        self._turns[site].setdefault(turn, Pool()).add(spread)
        found = self._of[site].mean.in_turns(self._turns_of(site))
        return blended(first, found, self._momentum)

    def _turns_of(self, site: int) -> tuple[float, ...]:
        """The spread of each turn; none where one was left out, or has a spread for each threshold."""
        pools = self._turns[site]
        means = [pools[turn].mean.value for turn in range(len(pools)) if turn in pools]
        known = [mean for mean in means if not isinstance(mean, Tensor)]
        return tuple(known) if len(known) == len(pools) else ()
