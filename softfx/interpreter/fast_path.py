"""What functions and operands have in common from call to call, found once: what engine.quick looks up.

A habit is of a function: what it is in the rule table, and whether its calls are the engine's in any case. What a plain
call leaves depends on it and on what is known of the operands. Neither depends on a run, so they are kept with the
policy they were found under.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softfx import torch_private as private
from softfx.decisions.policy import Policy
from softfx.interpreter.backends import depends, detachments, is_blind, name_of, writes
from softfx.interpreter.inline import opened
from softfx.ops.integrality import BLANK, SHAPE_ONLY, STOPS, counts, filled_with, may_keep
from softfx.ops.spelling import Spelling
from softfx.rules import RULES, SPELLING
from softfx.values.domains import Facts, Known

__all__ = ["After", "Habit", "Habits"]


class After:
    """What a plain call leaves: what is known of its results, of whole numbers and others."""

    __slots__ = ("numbers", "other", "tainted", "whole")

    def __init__(self, op: str, known: list[Known], facts: Facts) -> None:
        self.tainted = depends(op, known)
        carries = frozenset[int]().union(*(operand.carries for operand in known))
        fill = filled_with(op, (), {}, [operand.fill for operand in known])
        stops = detachments(known)
        self.other = facts.of(Known(self.tainted, None, carries, False, None, 0, fill, stops))
        self.whole = facts.of(Known(self.tainted, None, carries, True, None, 0, fill, stops))
        # Whether the numbers among the arguments decide if a real result is whole.
        self.numbers = may_keep(op, [operand.whole for operand in known])


class Habit:
    """What is the same of all calls of one function."""

    __slots__ = (
        "after",
        "becomes",
        "counts",
        "leaves",
        "may_be_site",
        "op",
        "reflected",
        "rule",
        "simple",
        "spelled",
        "sums",
    )

    def __init__(self, func: Callable[..., Any], policy: Policy) -> None:
        self.spelled = SPELLING.find(func)
        rule = RULES[self.spelled.op] if self.spelled is not None else None
        if rule is not None and rule.family == "normalization" and not policy.asks_for(rule):
            rule = None
        self.rule = rule
        self.becomes = rule.becomes if rule is not None else None
        self.op = name_of(func, rule)
        self.may_be_site = rule is not None and rule.family != "selection" and not rule.barrier
        self.leaves = self.op not in SHAPE_ONLY
        self.counts = counts(self.op)
        self.simple = self.leaves and not self.counts and not self.may_be_site and self.op != "sub"
        self.sums = self.op in ("add", "sub")
        self.reflected = self.spelled is not None and self.spelled.reflected
        self.after: dict[Known | tuple[Known, ...], After] = {}

    def is_site(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a call needs a decision, if it depends on a source."""
        if not self.may_be_site or self.rule is None or self.spelled is None or self.rule.site is None:
            return self.may_be_site
        return self.rule.site(func, *Spelling.arguments(self.spelled, args, kwargs))

    def is_plain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether neither the values of its arguments make it another operation, nor does it write."""
        if self.becomes is not None and self.becomes(args, kwargs) is not None:
            return False
        if kwargs.get("out") is not None or kwargs.get("inplace"):
            return False
        return self.counts or not is_blind(self.op, kwargs)


class Habits:
    """What has been found of functions under one policy; a copy finds its own."""

    _MOST = 4096

    def __init__(self) -> None:
        self.facts = Facts()
        self.of: dict[Any, Habit | None] = {}
        self._taught = SPELLING.taught

    def __reduce__(self) -> tuple[type[Habits], tuple[()]]:
        return Habits, ()

    def current(self) -> Habits:
        """The same, without what was found before another rule was registered."""
        if self._taught != SPELLING.taught or len(self.of) > self._MOST:
            self.of, self._taught = {}, SPELLING.taught
        return self

    def meet(self, func: Callable[..., Any], policy: Policy) -> Habit | None:
        """A function that is called for the first time; None if its calls are the engine's in any case."""
        habit = Habit(func, policy)
        self.of[func] = None if func is private.set_grad_enabled or _is_the_engines(func, habit) else habit
        return self.of[func]

    def after(self, habit: Habit, known: list[Known]) -> After | None:
        """What a plain call on such operands leaves; None if it is not on plain ones."""
        for operand in known:
            if operand.soft is not None or operand.hard is not None:
                return None
        found = After(habit.op, known, self.facts)
        if len(habit.after) > self._MOST:
            habit.after.clear()
        habit.after[known[0] if len(known) == 1 else tuple(known)] = found
        return found


def _is_the_engines(func: Callable[..., Any], habit: Habit) -> bool:
    if opened(func) is not None:
        return True
    return writes(func, habit.spelled) or habit.op in BLANK or habit.op in STOPS or habit.op == "numpy"
