"""The record of what softness makes of one operation: relaxed, handed on, and explained.

A rule refers to the operation's own record (softfx.ops), says what the operation costs the gradient (family, why), how
it is relaxed where its operands are real numbers (`relax`), and how it propagates operands that are already soft
(`propagate`). Finding, planning, rewriting, `softfx explain`, the documentation and the tests all read this one record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from torch import Tensor

from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Effect, Operation
from softfx.rules.context import RuleFunction
from softfx.rules.units import Unit
from softfx.vocabulary import Family

__all__ = ["Barrier", "Estimate", "Family", "Rule", "following"]

# Python gets a condition, a number, or a shape: no soft value passes.
Barrier = Literal["branch", "number", "shape"]
# estimate(context, function, *operands): called in place of a rule's function, and returns a shadow as that does.
Estimate = RuleFunction

_BARRIERS: dict[Effect, Barrier] = {
    Effect.BRANCHES: "branch",
    Effect.READS_NUMBER: "number",
    Effect.SHAPE_FROM_DATA: "shape",
}


@dataclass(frozen=True)
class Rule:
    """Softness of one operation of torch.

    code: the rule's code, such as SX203.
    operation: the record of the operation.
    family: what a policy counts it among.
    why, keep, reference: what `softfx explain` says: the cost to the gradient, when to keep it hard, the literature.
    formula: the soft form as a formula, which every rule with `relax` has: clauses that `softfx explain` shows as they
        are, the meaning of their symbols in softfx.report.mathematics.NOTATION.
    soft: the name of the soft form.
    relax(context, *args, **kwargs): the call's own arguments, all real; returns what stands beside the hard result,
        leaf by leaf: a Tensor (real, same shape), a `Soft`, or None (no shadow).
    propagate(context, *args, **kwargs): the same with each soft operand replaced by its `Soft`.
        Both raise `CannotSoften` for operands they cannot serve. Their signatures are the operation's own.
    options: the options of a policy that its soft form takes.
    drop_in: the soft form has the shape and dtype of the hard result.
    keeps_value: the soft form has the hard value, bit for bit: it stands in for the call itself.
    moves: its result holds elements of its operands, each as it was. Of real tensors, which carry their derivative
        themselves, the program's own call is made, so that a view stays a view.
    is_site(func, args, kwargs): whether a call needs a decision; None leaves it to the family.
    only_discrete: it is propagated only on tensors of integers or bools, or where two of its operands are soft: a
        product of matrices costs too much to be made twice if one factor alone is soft, and its derivative is right
        without that.
    estimators: what else may give its straight-through form the derivative, by the name that a policy uses; None for
        one that is no function of a call: it takes further runs (softfx.control).
    becomes(args, kwargs): the operation that a call with these arguments is instead: x / y rounded down is a floor
        division.
    stands_for: further operations that a policy means by this name: what an operation that is never a site becomes.
    reads_numbers: it takes shadows as the numbers that they are worth, whatever kind they are of.
    ties(*args, **kwargs): where the call's own operands lie on a jump.  # -> (...) bool
    tied_places(*args, **kwargs): the place that torch takes where several tie, -1 where none do.  # -> (...) int
    unit: what its softness is measured by, for a softness relative to the data; None where that has no meaning.
    note: the meaning of the rule, where policies treat it otherwise than its family.
    """

    code: str
    operation: Operation
    family: Family
    why: str
    keep: str
    reference: str
    formula: str = ""
    soft: str = ""
    relax: RuleFunction | None = None
    propagate: RuleFunction | None = None
    options: tuple[str, ...] = ("softness", "mode")
    drop_in: bool = False
    keeps_value: bool = False
    moves: bool = False
    is_site: Callable[[Function, Args, Kwargs], bool] | None = None
    only_discrete: bool = False
    estimators: Mapping[str, Estimate | None] = field(default_factory=dict)
    becomes: Callable[[Args, Kwargs], Operation | None] | None = None
    stands_for: tuple[Operation, ...] = ()
    reads_numbers: bool = False
    ties: Callable[..., Tensor] | None = None
    tied_places: Callable[..., Tensor] | None = None
    unit: Unit | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.relax is not None and not self.formula:
            raise ValueError(
                f"Rule {self.code}: {self.name!r} is relaxed and has no formula. Every soft form has one, which "
                "`softfx explain` shows. Give `formula` in the line of the rule."
            )

    @property
    def name(self) -> str:
        """The canonical name of the operation."""
        return self.operation.name

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its further names."""
        return self.operation.spellings

    @cached_property
    def barrier(self) -> Barrier | None:
        """The kind of value that Python gets of its result, where no soft value passes; else None."""
        return next((barrier for effect, barrier in _BARRIERS.items() if effect & self.operation.effect), None)

    @cached_property
    def decides(self) -> bool:
        """True if its calls may be sites: an operation that only uses a decision, or leaves torch, is none."""
        return self.family != "selection" and self.barrier is None

    def __reduce__(self) -> tuple[Callable[[str], Rule], tuple[str]]:
        return _rule_of, (self.code,)  # copies and pickles are the table's own record


def _rule_of(code: str) -> Rule:
    from softfx.rules import find

    return find(code)


def following(code: str, operation: Operation, propagate: RuleFunction) -> Rule:
    """The record of an operation that is never decided on."""
    return Rule(
        code,
        operation,
        "selection",
        "Arithmetic follows what reaches it.",
        "It follows what reaches it.",
        "",
        soft=f"torch.{operation.name}",
        propagate=propagate,
        options=(),
    )
