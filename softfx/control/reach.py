"""How far a softness reaches, where no policy says how soft a site is and turns go along the program's own path.

A site none of whose conditions is near its threshold has no derivative at all, and what it decides stays as it is for
good. One near condition alone, among many, says what a step as small as its margin does, and not what the next ones do:
errors that fall to a tolerance by factors have a spread that is no measure of the last of them. So a site is softer for
this call, as far as the second nearest of its choices is within reach. With drawn paths this would be another smoothed
program at each call, and no derivative of any; there softness stays as it is.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from softfx.control.path import Point
from softfx.decisions.site import Decision
from softfx.decisions.sites import CONTROL_SOFTNESS

__all__ = ["within_reach"]

# By how many units of its softness the second nearest choice of a site is away at most: sigma(-2) is .12. More programs
# were tuned so than with the nearest within 4 or 2 units, the second within 3, or the third or fourth within 2.
_NEAREST, _REACH = 2, 2.0
_WIDER = 8.0  # where the odds are 0 in the number format, which does not say how far away they are
_TRIES = 3


def within_reach(points: Sequence[Point]) -> list[Point]:
    """The points of a run; those of a site that is far from every threshold with a softness that reaches one."""
    found = list(points)
    by_site: dict[int, list[int]] = {}
    for place, point in enumerate(points):
        by_site.setdefault(point.decision.id, []).append(place)
    for places in by_site.values():
        if _is_usual(points[places[0]].decision):
            _reach(found, places)
    return found


def _reach(points: list[Point], places: Sequence[int]) -> None:
    """Have the nearest points of one site be decided more softly, if they are far."""
    decision = points[places[0]].decision
    softness = CONTROL_SOFTNESS
    for _ in range(_TRIES):
        distances = [points[place].choice.distance for place in places]
        known = heapq.nsmallest(_NEAREST, filter(math.isfinite, distances))
        far = known[-1] if known else math.inf
        if far <= _REACH:
            return
        factor = far / _REACH if known else _WIDER
        softness *= factor
        wider = decision.with_softness(softness)
        for place, distance in zip(places, distances, strict=True):
            if distance <= 2.0 * far:  # what is further away stays as it is: nothing
                points[place] = points[place].wider(wider, factor)
        if known:
            return


def _is_usual(decision: Decision) -> bool:
    softness = decision.softness
    return isinstance(softness, float) and softness == CONTROL_SOFTNESS and "softness" not in decision.resolved.options
