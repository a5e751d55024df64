"""Random draws whose parameters are learned: named in a policy, never touched by default."""

from __future__ import annotations

from softfx.rules.rule import Rule

__all__ = ["RULES"]

_WHY = "A draw is a discrete choice: the parameters it was drawn with receive no gradient."
_KEEP = "Keep it where the noise is wanted as noise, or where a score-function estimator trains it."

RULES = (
    Rule("SX801", "multinomial", "random", _WHY, _KEEP, "Gumbel-max; arXiv 1611.01144"),
    Rule("SX802", "bernoulli", "random", _WHY, _KEEP, "logistic noise; arXiv 1611.00712"),
)
