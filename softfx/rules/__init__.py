"""The rule table: every operation that is relaxed or hands soft values on, one record each, and how to look one up.

To add a rule, append one `Rule` to the file of its family here; everything else reads this table.
"""

from __future__ import annotations

import difflib

from softfx.ops.calls import Args, Kwargs
from softfx.ops.operation import Operation
from softfx.ops.spelling import Spelled
from softfx.rules import (
    arithmetic,
    axiswise,
    barriers,
    binning,
    casts,
    comparison,
    contractions,
    control,
    corners,
    elementwise,
    indexing,
    logic,
    normalization,
    pooling,
    random,
    reductions,
    selection,
    shapes,
    straight_through_idiom,
    unruled,
    unsafe,
    writing,
)
from softfx.rules.context import RuleContext
from softfx.rules.refusals import CannotSoften
from softfx.rules.rule import Rule

__all__ = ["RULES", "CannotSoften", "Rule", "RuleContext", "find", "rule_of", "rule_of_call"]

_TABLES = (
    elementwise,
    axiswise,
    corners,
    pooling,
    normalization,
    binning,
    comparison,
    logic,
    selection,
    writing,
    indexing,
    casts,
    arithmetic,
    contractions,
    reductions,
    shapes,
    random,
    unsafe,
    straight_through_idiom,
    barriers,
    control,
    unruled,
)

RULES: dict[str, Rule] = {rule.name: rule for table in _TABLES for rule in table.RULES}


def rule_of(operation: Operation) -> Rule | None:
    """The rule of an operation, or None for one that is neither relaxed nor hands soft values on."""
    return RULES.get(operation.name)


def rule_of_call(spelled: Spelled, args: Args, kwargs: Kwargs) -> Rule | None:
    """The rule of a call, whose arguments may make it another operation than its function's."""
    rule = RULES.get(spelled.operation.name)
    if rule is None or rule.becomes is None:
        return rule
    other = rule.becomes(args, kwargs)
    return rule if other is None else RULES[other.name]


def find(name: str) -> Rule:
    """The rule of a code or of any name of an operation.

    >>> find("SX206").name
    'topk'
    """
    for rule in RULES.values():
        if name in (rule.code, rule.name) or name in rule.aliases:
            return rule
    known = [*RULES, *(rule.code for rule in RULES.values())]
    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise KeyError(f"unknown rule {name!r}.{hint} `softfx rules` lists all.")
