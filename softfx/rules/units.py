"""The units of softness: for each kind of operation, what its softness is measured by, and the rule of thumb in it.

A comparison's softness is in spreads of its margins x - y, an ordering's in spreads of its rows, a rounding's in its
step. `auto` holds what softness = "auto" chooses for all that a policy does not say itself. A rule names its unit
(softfx.rules.rule.Rule.unit); to add a unit, add an instance here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from softfx.rules import spread
from softfx.rules.spread import Spread

__all__ = [
    "CAST",
    "CHOICE",
    "CHOICE_AMONG_ALL",
    "ENTRIES",
    "EXTREMES",
    "MARGINS",
    "OPERAND",
    "ORDER",
    "OTHER",
    "POSITION",
    "RUNNING",
    "SELECTION",
    "STEP",
    "Operands",
    "Unit",
]

Operands = Mapping[str, Any]
"""The arguments of a call by the names of the rule's parameters."""


@dataclass(frozen=True, eq=False)
class Unit:
    """What the softness of an operation is measured by.

    of: its name.
    measure: the spread of the operands of a call; None where there is nothing to measure. None for a fixed unit.
    decides: the numbers that the decision is about, where they cannot be read.
    relative: the softness that "auto" takes, in this unit.
    joins: what is decided is a bool, which others may be joined with.
    auto: the further options that "auto" takes, where a policy gives none.
    scope: the scope that "auto" takes, if not the policy's.
    """

    of: str
    measure: Callable[[Operands], Spread | None] | None = None
    decides: Callable[[Operands], Tensor | None] = lambda operands: None
    relative: float = 0.2
    joins: bool = False
    auto: Mapping[str, object] = field(default_factory=dict)
    scope: str | None = None

    @property
    def fixed(self) -> Spread | None:
        """The unit itself where nothing has to be measured."""
        return Spread(1.0, self.of) if self.measure is None else None

    def relative_of(self, joint: int) -> float:
        """The softness that "auto" takes where so many decisions are joined by and, or, any or all.

        Their smoothed joint decision differs from the hard one by what each of them blurs, so each blurs less: by the
        square root of their number, as independent errors add up, and of three at most.

        >>> [round(MARGINS.relative_of(joint), 3) for joint in (1, 2, 3, 9)]
        [0.2, 0.141, 0.115, 0.115]
        """
        return self.relative / math.sqrt(min(max(joint, 1), _MOST_JOINT)) if self.joins else self.relative


def _input(operands: Operands) -> Tensor:
    value = operands.get("input", operands.get("self"))
    if isinstance(value, Tensor):
        return value
    return next(value for value in operands.values() if isinstance(value, Tensor))


def _pair(operands: Operands) -> tuple[Tensor | float, Tensor | float]:
    values = [value for value in operands.values() if isinstance(value, Tensor | int | float)]
    return (values[0], values[1]) if len(values) > 1 else (values[0], 0.0)


def _of_margins(operands: Operands) -> Spread | None:
    return spread.between(*_pair(operands), "the margins")


def _difference(operands: Operands) -> Tensor:
    x, y = (value * 1 for value in _pair(operands))  # of bools there is no difference
    return torch.as_tensor(x - y)


def _of_operand(operands: Operands) -> Spread | None:
    return spread.of_entries(_input(operands), "the operand")


def _other(operands: Operands) -> Tensor:
    other: Tensor = operands["other"]
    return other


def _of_other(operands: Operands) -> Spread | None:
    return spread.of_entries(_other(operands), "the operand")


def _of_entries(operands: Operands) -> Spread | None:
    return spread.of_entries(_input(operands), "the entries", decided_at_zero=False)


def _of_rows(operands: Operands) -> Spread | None:
    dim, input = operands.get("dim"), _input(operands)
    other = dim if isinstance(dim, Tensor) else operands.get("other")
    if isinstance(other, Tensor):
        return spread.between(input, other, "the margins")
    return spread.of_rows(input, dim if isinstance(dim, int) else None, "the entries")


def _of_cast(operands: Operands) -> Spread | None:
    """A cast to bools asks whether a number is 0; one to integers has the step of its integers."""
    given = (operands["function"], *operands["args"], *operands["kwargs"].values())
    to_bool = any(value is torch.bool or value is Tensor.bool for value in given)
    return _of_operand(operands) if to_bool else Spread(1.0, "the step")


def _ordering(method: str, scope: str | None = None, **auto: object) -> Unit:
    return Unit("the rows", _of_rows, _input, auto={"method": method, "standardize": False, **auto}, scope=scope)


# With more of them it stays: boxes of 4 to 8 comparisons train as by hand from here on (0.115 spreads), and below it a
# few numbers decide the gradient (cosine 0.93 with the smoothed program's at 0.115, 0.90 at 0.1, 0.98 at 0.2).
_MOST_JOINT = 3
_TAILED = {"mode": "tailed"}

# Decisions about what these make are about jumps alone, and a margin that is hard says little of how near they were.
MARGINS = Unit("the margins", _of_margins, _difference, joins=True, auto=_TAILED, scope="decision")
OPERAND = Unit("the operand", _of_operand, _input, joins=True, auto=_TAILED, scope="decision")
OTHER = Unit("the operand", _of_other, _other, joins=True, auto=_TAILED, scope="decision")
ENTRIES = Unit("the entries", _of_entries, _input, auto=_TAILED)
STEP = Unit("the step", relative=0.3, auto={"mode": "smooth"})
CAST = replace(OPERAND, measure=_of_cast, relative=0.3, joins=False, auto={"mode": "smooth"}, scope=None)
ORDER = _ordering("lapsum")
# A few numbers near it decide one place of an order. More of them are heard at 0.3 spreads, and the gradient agrees
# better with the smoothed program's: cosine 0.91 where 0.2 have 0.84, of such values and of thresholds by them, of 12,
# 24 and 100 normal, uniform and skewed numbers. With 0.4 it is 0.93, but one least quantile of six ended at outliers.
POSITION = replace(ORDER, relative=0.3)
# A choice of k is trained more often than it is measured: what is not chosen needs a derivative too, from however far.
# So a third of the rows is seven times as soft, and another 49 times: scores that start at a hundredth of what a few
# steps move them by are still heard. Choices among parameters train much better (examples/studies/selection.py), at a
# small price: cosine 0.91 with the smoothed program's gradient where 0.2 spreads alone have 0.97 (idioms.py). Widths
# 1, 10, 100 and 1, 20, 400 train as well within the spread over seeds.
SELECTION = replace(_ordering("lapsum", scope="linear", **_TAILED), relative=0.3)
# At 0.25 spreads the cosine of argmax with the smoothed program is 0.98 where 0.2 have 0.96 (its value, what it looks
# up and its one-hot, of rows of 6), and choices train as well: a router 0.06 for 0.05 (13 seeds), the nearest of six
# codes 0.33 for 0.47 (6 seeds).
CHOICE = replace(_ordering("softsort"), relative=0.25)
# What has a running maximum is asked of the maximum itself as a rule (`x >= x.cummax(-1).values`): over 0.3 spreads the
# cosine with the smoothed program is 0.84 and 0.77 where 0.2 have 0.78 and 0.49 (rows of 6, and of 24), that of its
# values 0.98 for 0.97. Its places begin to lose beyond that.
RUNNING = replace(CHOICE, relative=0.3)
CHOICE_AMONG_ALL = replace(CHOICE, of="the entries", measure=_of_entries)
EXTREMES = replace(CHOICE_AMONG_ALL, auto={})
