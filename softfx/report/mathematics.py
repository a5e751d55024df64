"""The mathematics that `softfx explain` shows beside a formula: the meaning of its symbols, and the limit it has.

The formula itself stands in its rule (`Rule.formula`), one line of clauses. `tests/softfx/rules/formula_language.py`
evaluates it, and `tests/softfx/rules/test_formulas.py` compares each with the operator's own values. To use a further
symbol, write its meaning in NOTATION.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from softfx.rules.rule import Rule

__all__ = ["NOTATION", "limit", "notation"]

# The meaning of a symbol in a formula, by the pattern that finds the symbol.
NOTATION: Mapping[str, str] = {
    r"\bs\b": "s is the softness",
    r"\bsigma\b": "sigma is the step of the mode (smooth: the logistic function; c0, c1, c2: piecewise polynomials, 0 "
    "and 1 from five softnesses on; tailed: a normal distribution function with a tenth of a Cauchy one)",
    r"\bsoftmax_": "softmax is that of mode smooth, and in the other modes the projection of the mode onto "
    "distributions",
    r"\bu_j\b": "u is x itself where standardize = false",
    r" soft\b": "a function that is called soft stands for its own formula, |.| for that of abs",
}


def notation(text: str) -> str:
    """The meaning of the symbols that occur in a formula."""
    return "; ".join(meaning for symbol, meaning in NOTATION.items() if re.search(symbol, text))


def limit(rule: Rule) -> str:
    """The limit of the soft form as the softness falls, and the places where its derivative does not help."""
    if rule.family == "control":
        return (
            "the smoothed program tends to the original as s -> 0, and its derivative to that of the path alone with a"
            " variance that grows: most runs then meet no decision that is open"
        )
    if rule.relax is None:
        return ""
    if rule.family == "unsafe":
        return "no value changes; a derivative of 0 still passes nothing on"
    if rule.family == "random":
        return "the frequencies are those of the original; straight-through gradients are biased for losses that bend"
    if "method" in rule.options:
        return (
            "torch's result as s -> 0 where nothing ties; equal entries share a place at any s, and entries much"
            " further apart than s (as u, unless standardize = false) hardly feel each other"
        )
    if "softness" in rule.options:
        return (
            "torch's result as s -> 0 away from the jump or corner; further than some s from it only torch's own"
            " derivative is left"
        )
    return ""
