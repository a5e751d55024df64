"""Operations without a rule whose result has no derivative: found by what they do, and told as sites of their own.

Which operations these are is judged when they are called (softfx.interpreter.derivatives). Each is told under its own
name and one code; none is relaxed. What is known of one in advance belongs in a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from softfx import ops
from softfx.ops.operation import Operation
from softfx.ops.verbs import computes
from softfx.rules.rule import Rule

__all__ = ["NUMBER_TESTS", "RULES", "unruled"]

# Whether a number is one at all: constant wherever there is a derivative.
NUMBER_TESTS = frozenset({ops.isnan, ops.isinf, ops.isfinite, ops.isposinf, ops.isneginf, ops.isreal})


@dataclass(frozen=True)
class UnruledRule(Rule):
    """The rule of an operation that no table lists, made when one is met."""

    def __reduce__(self) -> tuple[Callable[[str], Rule], tuple[str]]:
        return _named, (self.name,)


_WHY = "Its result has no derivative with respect to real numbers that it is made of: nothing upstream learns from it."
_KEEP = (
    "It always stays hard. Name a soft form of it by softfx.register_rule, or write it with operations that have one."
)


def unruled(operation: Operation) -> Rule:
    """The rule of an operation that has none and of which a derivative does not come back."""
    return UnruledRule("SX991", operation, "discrete", _WHY, _KEEP, "", options=())


def _named(name: str) -> Rule:
    return unruled(computes(name))


RULES = (
    Rule("SX991", ops.unruled, "discrete", _WHY, _KEEP, "", options=(), note="any operation without a rule of its own"),
)
