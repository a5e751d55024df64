"""How far a softness reaches, where no policy says how soft a site is and turns go along the program's own path.

A site none of whose conditions is near its threshold has no derivative at all, and what it decides stays as it is for
good. Such a site is softer for this call: so that the nearest of its choices is within reach. With drawn paths this
would be another smoothed program at each call, and no derivative of any; there softness stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from softfx.control.path import Point
from softfx.decisions.site import Decision
from softfx.decisions.sites import CONTROL_SOFTNESS

__all__ = ["within_reach"]

# By how many units of its softness the nearest choice of a site is away at most: sigma(-4) is .018, and what it may
# decide is heard beside the others. With 6 fewer programs were tuned, with 2.5 as many.
_REACH = 4.0
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
    """Have the nearest points of one site be decided more softly, if all are far."""
    decision = points[places[0]].decision
    softness = CONTROL_SOFTNESS
    for _ in range(_TRIES):
        distances = [points[place].choice.distance for place in places]
        nearest = min(distances)
        if nearest <= _REACH:
            return
        factor = nearest / _REACH if math.isfinite(nearest) else _WIDER
        softness *= factor
        wider = decision.with_softness(softness)
        for place, distance in zip(places, distances, strict=True):
            if distance <= 2.0 * nearest:  # what is further away stays as it is: nothing
                points[place] = points[place].wider(wider, factor)
        if math.isfinite(nearest):
            return


def _is_usual(decision: Decision) -> bool:
    softness = decision.softness
    return isinstance(softness, float) and softness == CONTROL_SOFTNESS and "softness" not in decision.resolved.options
