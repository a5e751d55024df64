"""The rule table: every operation softfx knows, one record each, and the two ways to look one up.

To add an operation, append one `Rule` to the file of its family here; everything else reads this table.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from softfx.ops.spelling import Spelled, Spelling
from softfx.rules import (
    arithmetic,
    axiswise,
    barriers,
    binning,
    casts,
    comparison,
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
    unsafe,
    writing,
)
from softfx.rules.rule import Cut, Rule, RuleContext

__all__ = ["RULES", "SPELLING", "Cut", "Rule", "RuleContext", "find", "rule_of"]

_TABLES = (
    elementwise,
    axiswise,
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
    reductions,
    shapes,
    random,
    unsafe,
    straight_through_idiom,
    barriers,
)

RULES: dict[str, Rule] = {rule.op: rule for table in _TABLES for rule in table.RULES}
SPELLING = Spelling({rule.op: rule.aliases for rule in RULES.values()})


def rule_of(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Spelled, Rule] | None:
    """How a call is spelled and the rule for it, or None for an operation without one."""
    spelled = SPELLING.find(func)
    if spelled is None:
        return None
    rule = RULES[spelled.op]
    other = rule.becomes(args, kwargs) if rule.becomes is not None else None
    return spelled, rule if other is None else RULES[other]


def find(name: str) -> Rule:
    """The rule of a code or a canonical name.

    >>> find("SX206").op
    'topk'
    """
    for rule in RULES.values():
        if name in (rule.code, rule.op) or name in rule.aliases:
            return rule
    known = [*RULES, *(rule.code for rule in RULES.values())]
    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise KeyError(f"unknown rule {name!r}.{hint} `softfx rules` lists all.")
