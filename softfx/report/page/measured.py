"""What was measured of sites and parameters, as the page shows it: numbers, a verdict, and margins as a histogram."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from softfx.visible import visible

__all__ = ["Histogram", "Measured", "Seen", "measured_of"]

_BINS = 12


@dataclass(frozen=True)
class Histogram:
    """The margins of a site in softnesses, as bars: (left edge, height from 0 to 1, count).

    one: where one softness lies, from 0 to 1, None outside; within: the share of the margins that are smaller.
    """

    low: float
    high: float
    bars: tuple[tuple[float, float, int], ...]
    one: float | None
    within: float


@dataclass(frozen=True)
class Measured:
    """What was measured of one site, or of a parameter by its name."""

    module: str
    before: float | None
    after: float | None
    agreement: float | None
    interval: tuple[float, float] | None
    margins: Histogram | None
    verdict: str
    suggestion: str
    gap: float | None = None


@dataclass(frozen=True)
class Seen:
    """What was measured of sites that share a row, as texts: a number, or the smallest and the largest."""

    before: str
    after: str
    agreement: str
    verdict: str

    @classmethod
    def of(cls, measured: Sequence[Measured]) -> Self:
        verdicts = dict.fromkeys(each.verdict for each in measured if each.verdict)
        return cls(
            _ends(each.before for each in measured),
            _ends(each.after for each in measured),
            _ends(each.agreement for each in measured),
            ", ".join(verdicts),
        )


def measured_of(module: str, data: Mapping[str, Any]) -> Measured:
    """What `data`, an object of a page's JSON, tells of one site or parameter."""
    interval = data.get("interval")
    return Measured(
        module,
        _number(data.get("before")),
        _number(data.get("after")),
        _number(data.get("agreement")),
        (float(interval[0]), float(interval[1])) if interval else None,
        _histogram(data.get("margins") or ()),
        visible(str(data.get("verdict") or "")),
        visible(str(data.get("suggestion") or "")),
        _number(data.get("gap")),
    )


def _histogram(margins: Iterable[float]) -> Histogram | None:
    """The margins as bars between the smallest and the largest."""
    finite = [float(value) for value in margins if math.isfinite(value)]
    if not finite:
        return None
    low, high = min(finite), max(finite)
    width = (high - low) / _BINS or 1.0
    counts = Counter(min(int((value - low) / width), _BINS - 1) for value in finite)
    most = max(counts.values())
    bars = tuple((place / _BINS, counts[place] / most, counts[place]) for place in range(_BINS))
    one = (1 - low) / (high - low) if low < 1 < high else None
    return Histogram(low, high, bars, one, sum(abs(value) <= 1 for value in finite) / len(finite))


def _ends(values: Iterable[float | None]) -> str:
    found = [value for value in values if value is not None]
    return " .. ".join(dict.fromkeys(f"{end:.3g}" for end in (min(found), max(found)))) if found else "-"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
