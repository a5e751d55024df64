"""The record that everything about one operation is read from, and what a rule's functions are given.

A rule says how to find an operation (its spellings), what it costs the gradient (family, why), how it is relaxed
where its operands are real numbers (`relax`), and how it passes on operands that are already soft (`carry`).
Finding, planning, rewriting, `softfx explain`, the documentation and the tests all read this one record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from softfx.values.domains import Soft

__all__ = ["Barrier", "Cut", "Estimate", "Family", "Rule", "RuleContext"]

Family = Literal["discrete", "kink", "selection", "random", "unsafe", "normalization"]
# What becomes Python's: a condition, a number, or the shape of the result.
Barrier = Literal["branch", "number", "shape"]
# estimate(context, function, *operands): called in place of a rule's function, and returns a shadow as that does.
Estimate = Callable[..., Any]


class Cut(Exception):
    """A rule cannot take these operands softly: the operation gets hard values, and the report says why."""


class RuleContext(Protocol):
    """What a rule's functions are given beside the operands."""

    hard: Any
    """What the original call returned; an estimator that draws puts its draw here."""

    @property
    def exact(self) -> bool:
        """Whether values stay as they are: only the derivative of the shadow counts."""

    @property
    def options(self) -> dict[str, Any]:
        """mode, softness, method ...: what the policy gave, cut down to what the rule takes."""

    @property
    def func(self) -> Callable[..., Any]:
        """The function as the program spelled it."""

    def whole(self, operand: Any) -> bool:
        """Whether an operand stands for integers, whatever its type."""

    def fill(self, operand: Tensor) -> float | None:
        """The one number that a constant tensor is filled with, if that is known."""

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `function` as one visible step of the rewritten code."""

    def on(self, hard: Any) -> RuleContext:
        """The same with another hard result."""

    def soft(self, value: Tensor, domain: str, support: Tensor | None = None) -> Soft:
        """A shadow made of `value`, with the provenance of this call."""


@dataclass(frozen=True)
class Rule:
    """One operation of torch, as softfx knows it.

    relax(context, *args, **kwargs): the call's own arguments, all real; returns what stands beside the hard
        result, leaf by leaf: a Tensor (real, same shape), a `Soft`, or None (no shadow).
    carry(context, *args, **kwargs): the same with each soft operand replaced by its `Soft`.
    Both raise `Cut` for operands they cannot serve. Their signatures are the operation's own.
    """

    code: str
    op: str
    family: Family
    why: str
    keep: str
    source: str
    soft: str = ""
    relax: Callable[..., Any] | None = None
    carry: Callable[..., Any] | None = None
    aliases: tuple[str, ...] = ()
    options: tuple[str, ...] = ("softness", "mode")
    drop_in: bool = False
    preserves: bool = False  # its soft form has the hard value, bit for bit: it stands in for the call itself
    barrier: Barrier | None = None  # no soft value passes
    site: Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], bool] | None = None  # None: by family
    # Whether it is carried only on tensors of integers or bools, or where two of its operands are soft: a product of
    # matrices costs too much to be made twice if one factor alone is soft, and its derivative is right without that.
    discrete_only: bool = False
    # What else may give its straight-through form the derivative, by the name a policy uses.
    estimators: Mapping[str, Estimate] = field(default_factory=dict)
    # The operation that a call with these arguments is instead: x / y rounded down is a floor division.
    becomes: Callable[[tuple[Any, ...], dict[str, Any]], str | None] | None = None
    # What else a policy means by this name: of an operation that is never a site, what it becomes.
    stands_for: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.op

    def __reduce__(self) -> tuple[Callable[[str], Rule], tuple[str]]:
        return _rule_of, (self.code,)  # copies and pickles are the table's own record


def _rule_of(code: str) -> Rule:
    from softfx.rules import find

    return find(code)
