"""How far a softness reaches, where no policy says how soft a site is and turns go along the program's own path.

A site none of whose conditions is near its threshold has no derivative at all, and what it decides stays as it is for
good. One near condition alone, among many, says what a step as small as its margin does, and not what the next ones do:
errors that fall to a tolerance by factors have a spread that is no measure of the last of them. So a site is softer for
this call, as far as the second nearest of its choices is within reach. With drawn paths this would be another smoothed
program at each call, and no derivative of any; there softness stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from softfx.control.path import Point
from softfx.decisions.site import Decision
from softfx.decisions.sites import CONTROL_SOFTNESS

__all__ = ["come_within_reach"]

# By how many units of its softness the second nearest choice of a site is away at most: sigma(-2) is .12. More programs
# were tuned so than with the nearest within 4 or 2 units, the second within 3, or the third or fourth within 2.
_NEAREST, _REACH = 2, 2.0
_WIDER = 8.0  # where the odds are 0 in the number format, which does not say how far away they are
_TRIES = 3


def come_within_reach(points: Sequence[Point]) -> None:
    """Have the points of one site, if they are far from every threshold, be decided by a softness that reaches one."""
    decision = points[0].decision
    if not _is_usual(decision):
        return
    softness = CONTROL_SOFTNESS
    for _ in range(_TRIES):
        distances = [point.choice.distance for point in points]
        known = sorted(filter(math.isfinite, distances))[:_NEAREST]
        far = known[-1] if known else math.inf
        if far <= _REACH:
            return
        factor = far / _REACH if known else _WIDER
        softness *= factor
        wider = decision.with_softness(softness)
        for point, distance in zip(points, distances, strict=True):
            if distance <= 2.0 * far:  # what is further away stays as it is: nothing
                point.widen(wider, factor)
        if known:
            return


def _is_usual(decision: Decision) -> bool:
    softness = decision.softness
    return isinstance(softness, float) and softness == CONTROL_SOFTNESS and "softness" not in decision.resolved.options
