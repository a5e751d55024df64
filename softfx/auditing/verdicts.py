"""The verdict on a gradient, and one thing to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from softfx.auditing.agreement import Agreement

__all__ = ["NO_DATA", "SUGGESTIONS", "UNMOVED", "Verdict", "suggestion_of", "verdict_of"]

Verdict = Literal["good", "dead", "saturated", "noisy", "opposed", "cannot_tell"]

# Of the squared length, from which the reference is told from noise. It is about half of what the length itself is in
# its own: noise without any gradient reaches 2 in 1 of 700 trials at most (1 to 2000 numbers, rare answers or not).
_SIGNAL = 2.0
_WIDEST = 0.3  # half of an interval that still tells
_GOOD = 0.5  # the least cosine of a good gradient
_SATURATED = 0.02  # of the reference's length: below it a gradient is nearly nothing
_NOISY = 3.0  # lengths of the mean gradient that one draw is off

SUGGESTIONS: Mapping[Verdict, str] = {
    "good": "nothing to do",
    "dead": "softer, or lift what the report keeps: the program responds here, the gradient does not",
    "saturated": "softer: the decisions are far from their thresholds in units of the softness",
    "noisy": "another estimator or more draws for sites that draw, another softness for the others",
    "opposed": "keep hard, or use another method or scope: this gradient leads the wrong way",
}
UNMOVED = "a larger scale, or data near the thresholds: no perturbation changed the loss"
NO_DATA = "no data near the threshold: no perturbation changed a decision"
_FEW = "more samples"
_NO_NUMBER = "guard it: the gradient or the loss is not a number here"


def verdict_of(
    found: Agreement, length: float, noise: float | None, bounds: tuple[float, float] | None = None
) -> Verdict:
    """The verdict on a gradient of that length whose draws are that far off.

    bounds: the 95 % interval of a number that has the cosine's sign and is at most as large. It tells of gradients of
        so many numbers that the reference's length is lost in its noise.

    >>> verdict_of(Agreement(None, None, None, 0.0, 9.0, True), 0.0, 0.0)
    'dead'
    """
    if not found.responds or not math.isfinite(length):
        return "cannot_tell"
    if length > 0 and (noise is None or noise > _NOISY):  # its own draws say so, whatever the reference tells
        return "noisy"
    if not found.signal >= _SIGNAL:
        return "cannot_tell" if bounds is None or length == 0 else _by_bounds(*bounds)
    if length == 0:
        return "dead"
    if found.ratio is not None and found.ratio < _SATURATED:
        return "saturated"
    if found.cosine is None or found.low is None or found.high is None:
        return "cannot_tell"
    if found.high < 0:
        return "opposed"
    if found.high - found.low > 2 * _WIDEST:
        return "cannot_tell"
    return "good" if found.cosine >= _GOOD else "noisy"


def _by_bounds(low: float, high: float) -> Verdict:
    if low >= _GOOD:
        return "good"
    return "opposed" if high < 0 else "cannot_tell"


def suggestion_of(verdict: Verdict, found: Agreement, length: float, margins: Sequence[float] = ()) -> str:
    """What to do about it. margins: of the decisions behind it, from where they change."""
    if verdict != "cannot_tell":
        return SUGGESTIONS[verdict]
    if not math.isfinite(length) or math.isnan(found.signal):
        return _NO_NUMBER
    if found.responds:
        return _FEW
    one_sided = bool(margins) and (min(margins) > 0 or max(margins) < 0)
    return NO_DATA if one_sided else UNMOVED
