"""Control flow that Python decides by a tensor's value: branches, and numbers that leave torch.

They are no calls that a shadow could pass: a run is made again with one decision turned round (softfx.control), and the
difference of the results stands in for the derivative. A policy acts on them where an entry names them or their family.
"""

from __future__ import annotations

from softfx.ops import control_flow
from softfx.ops.operation import Operation
from softfx.rules.rule import Rule

__all__ = ["BRANCH", "COND", "ESTIMATORS", "MEMBERSHIP", "READ_INTEGER", "READ_REAL", "RULES", "WHILE_LOOP"]

ESTIMATORS = ("turn", "difference", "blend", "membership")  # what a derivative of control flow may be made by
_OPTIONS = ("softness", "mode", "samples", "turns", "exact", "limit", "seed", "remeasure")
_SOURCE = "Glasserman 1991, Gradient Estimation via Perturbation Analysis; arXiv 2210.08572; arXiv 2310.03585"
_KEEP = "Keep it where the run must not be made again: it writes files, or talks to something outside Python."


def _rule(code: str, operation: Operation, why: str, formula: str, *estimators: str) -> Rule:
    """A rule whose estimators, named here, are carried out by runs and not by calls."""
    return Rule(
        code,
        operation,
        "control",
        why,
        _KEEP,
        _SOURCE,
        formula=formula,
        soft="runs with a decision turned round",
        options=_OPTIONS,
        estimators=dict.fromkeys(("turn", *estimators)),
    )


_BRANCH = "Python takes one way or the other by the value: a branch has no derivative."
_TURN = "sum of grad p (f(True) - f(False)), p = sigma(margin / (s spread)), f the result by a run with the bool forced"
BRANCH = _rule("SX971", control_flow.branch, _BRANCH, _TURN)
READ_INTEGER = _rule(
    "SX972",
    control_flow.read_integer,
    "Python reads a whole number, by which it counts, indexes or sizes: it has no derivative.",
    "sum over v of grad P(v) (f(v) - f(value)), f the result by a run with the number forced; int(x) of a real x is "
    "a count x - 1/2 between two integers",
)
READ_REAL = _rule(
    "SX973",
    control_flow.read_real,
    "Python reads a real number: what it computes of that has no derivative.",
    "grad x (f(x + h) - f(x - h)) / (2 h), h = s spread, f the result by a run with the number forced",
    "difference",
)
COND = _rule(
    "SX974", control_flow.cond, _BRANCH, f"{_TURN}; blended, p f(True) + (1 - p) f(False) of its two branches", "blend"
)
WHILE_LOOP = _rule("SX975", control_flow.while_loop, "A loop goes on by the value: how often has no derivative.", _TURN)
MEMBERSHIP = _rule(
    "SX976",
    control_flow.membership,
    "A mask gives a result its shape: which elements are in it has no derivative.",
    "sum over the mask's elements of grad p (f(in) - f(out)), f the result by a run with the element forced",
    "membership",
)

RULES = (BRANCH, READ_INTEGER, READ_REAL, COND, WHILE_LOOP, MEMBERSHIP)
