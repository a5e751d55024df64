"""What an audit found: a verdict for each parameter, with its numbers and one thing to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from softfx.auditing.agreement import Agreement

__all__ = ["AuditReport", "Audited", "Verdict", "verdict_of"]

Verdict = Literal["good", "dead", "saturated", "noisy", "opposed", "cannot_tell"]

_SIGNAL = 3.0  # standard errors from which the reference is told from noise
_WIDEST = 0.3  # half of an interval that still tells
_GOOD = 0.5  # the least cosine of a good gradient
_SATURATED = 0.02  # of the reference's length: below it a gradient is nearly nothing
_NOISY = 3.0  # lengths of the mean gradient that one draw is off

SUGGESTIONS: dict[Verdict, str] = {
    "good": "nothing to do",
    "dead": "softer, or lift what the report keeps: the program responds here, the gradient does not",
    "saturated": "softer: the decisions are far from their thresholds in units of the softness",
    "noisy": "another estimator or more draws for sites that draw, another softness for the others",
    "opposed": "keep hard, or use another method or scope: this gradient leads the wrong way",
}
_UNMOVED = "a larger scale, or data near the thresholds: no perturbation changed the loss"
_FEW = "more samples"


@dataclass(frozen=True)
class Audited:
    """One parameter, or one example input: `name` (or `input 0`), its gradients and their agreement.

    before, after: the length of the original's gradient and of the softened one. zeros: the share of exact zeros in
    the latter. noise: how far one draw of it is off the mean, in lengths of the mean, None where
    no mean can be told from it. sigma: the standard deviation of
    the perturbations. cosine, low, high, ratio, signal: as in `Agreement`.
    """

    name: str
    verdict: Verdict
    suggestion: str
    before: float
    after: float
    zeros: float
    noise: float | None
    sigma: float
    cosine: float | None
    low: float | None
    high: float | None
    ratio: float | None
    signal: float | None


@dataclass(frozen=True)
class AuditReport:
    """The findings of `softfx.audit`: `.parameters`, and what they were measured with.

    scale: the perturbations' standard deviation in spreads of each parameter. samples: the antithetic pairs. runs:
    the calls of the original that they took.
    """

    parameters: tuple[Audited, ...]
    scale: float
    samples: int
    runs: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without infinities."""
        return {"version": 1, **asdict(self), "parameters": [asdict(each) for each in self.parameters]}

    def __str__(self) -> str:
        width = max((len(each.name) for each in self.parameters), default=0)
        lines = [_line(each, width) for each in self.parameters]
        lines.append(f"reference: {self.samples} pairs at {self.scale:g} of each spread, seed {self.seed}")
        return "\n".join(lines)


def _line(each: Audited, width: int) -> str:
    numbers = f"|gradient| {each.before:.3g} -> {each.after:.3g}"
    if each.cosine is not None:
        numbers += f", cosine {each.cosine:.2f} ({each.low:.2f} to {each.high:.2f})"
    return f"{each.verdict:11} {each.name:{width}}  {numbers}; {each.suggestion}"


def verdict_of(found: Agreement, length: float, noise: float | None) -> tuple[Verdict, str]:
    """The verdict on a gradient of that length, and what to do.

    >>> verdict_of(Agreement(None, None, None, 0.0, 9.0, True), 0.0, 0.0)[0]
    'dead'
    """
    verdict = _verdict(found, length, noise)
    if verdict == "cannot_tell":
        return verdict, _FEW if found.responds else _UNMOVED
    return verdict, SUGGESTIONS[verdict]


def _verdict(found: Agreement, length: float, noise: float | None) -> Verdict:
    if not found.responds or found.signal < _SIGNAL:
        return "cannot_tell"
    if length == 0:
        return "dead"
    if noise is None or noise > _NOISY:
        return "noisy"
    if found.ratio is not None and found.ratio < _SATURATED:
        return "saturated"
    if found.cosine is None or found.low is None or found.high is None:
        return "cannot_tell"
    if found.high < 0:
        return "opposed"
    if found.high - found.low > 2 * _WIDEST:
        return "cannot_tell"
    return "good" if found.cosine >= _GOOD else "noisy"
