"""The decision about one site: an operation at a place, and what becomes of it. It is never changed.

A site is an operation at a place (module path, file, line, position); a loop's iterations share one, and have at most a
softness each, where it is in units of the data. Planning, setting
the softness and later runs make new decisions (softfx.decisions.sites holds the present ones); the observations that
they are made from are `evidence`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from softfx.decisions.policy import Resolved
from softfx.locations import Location
from softfx.ops.calls import Options
from softfx.report.record import SiteAction
from softfx.rules.rule import Estimate, Rule
from softfx.rules.spread import Spread
from softfx.rules.units import SELECTION

__all__ = ["EXCHANGE", "Decision", "SiteKey", "Softness"]

# Ten thousand times the `epsilon` of comparisons.
_FINE = 1e-6
# What else follows of a decision than how large its softness is.
_BESIDE_SOFTNESS = (
    "id", "rule", "location", "resolved", "action", "reason", "turn", "joint", "selects", "alone", "runs_on",
    "neighbours", "is_fine", "has_turns", "pending", "is_measured",
)  # fmt: skip
# The estimator that takes a further run, with some of what a site chooses exchanged.
EXCHANGE = "exchange"
# A number, a 0-dim tensor, a Parameter that is learned, or a number for each threshold.
Softness = float | Tensor


class SiteKey(NamedTuple):
    """The identity of a site."""

    module: str
    file: str
    line: int
    operation: str
    position: tuple[int, ...]

    @classmethod
    def of(cls, rule: Rule, location: Location) -> SiteKey:
        """The site of `rule`'s operation at a place."""
        return cls(location.module, location.file, location.line, rule.name, location.position)


@dataclass(frozen=True, eq=False)
class Decision:
    """The decision about one site.

    id: its number, in the order in which sites were met.
    resolved: the policy's answer for it.
    action: the policy's action, or "blocked" where that cannot be done.
    reason: why it is kept or blocked, or what else a reader should know.
    relative: the softness in spreads of what is decided about; None where it is a number of its own.
    spread: that spread, once it is measured.
    turn: how often the present call has met the site before, where each turn of a loop has a softness of its own.
    joint: how many decisions it is one of, which and, or, any and all make one of.
    selects: it selects a part of rows, as topk does.
    alone: what it decides about learns, and nothing else that meets what it made.
    runs_on: under scope = "decision": another decision is about what it makes, and its soft values run on to there.
    neighbours: "auto" has what it did not choose learn in a further run (softfx.interpreter.exchanging).
    """

    id: int
    rule: Rule
    location: Location
    resolved: Resolved
    action: SiteAction
    softness: Softness
    reason: str = ""
    relative: float | None = None
    spread: Spread | None = None
    turn: int | None = None
    joint: int = 1
    selects: bool = False
    alone: bool = False
    runs_on: bool = False
    neighbours: bool = False

    @property
    def key(self) -> SiteKey:
        """The identity of the site."""
        return SiteKey.of(self.rule, self.location)

    @cached_property
    def ids(self) -> frozenset[int]:
        """The set of this site alone."""
        return frozenset({self.id})

    @cached_property
    def acts(self) -> bool:
        """True if the operation is replaced."""
        return self.action in ("soft", "straight_through", "guard")

    @cached_property
    def options(self) -> Options:
        """The options of its soft form, but for the softness."""
        takes = self.rule.options
        chosen = {**SELECTION.auto, **self.resolved.options} if self._selects_by_auto else self.resolved.options
        options = {key: value for key, value in chosen.items() if key in takes}
        if "epsilon" in takes and self.is_fine:  # equality needs no help where only a derivative is looked for
            options.setdefault("epsilon", 0.0)
        return options

    @cached_property
    def is_exact(self) -> bool:
        """True if it leaves values as they are."""
        return self.action != "soft"

    @property
    def estimate(self) -> Estimate | None:
        """The estimator of its derivative, if that is not its soft form."""
        if self.action != "straight_through" or self.resolved.estimator is None:
            return None
        return self.rule.estimators.get(self.resolved.estimator)

    @property
    def estimator(self) -> str | None:
        """The name of what gives it a derivative, as reports have it; None for its soft form."""
        if self.action != "straight_through":
            return None
        return self.resolved.estimator or (EXCHANGE if self.neighbours else None)

    @property
    def is_exchanged(self) -> bool:
        """True if a further run is made in which some of what it chooses is exchanged."""
        return self.estimator == EXCHANGE

    @property
    def draws(self) -> bool:
        """True if its hard value is a draw, another one at each call."""
        return self.action == "straight_through" and self.resolved.estimator == "gumbel"

    def blocked(self, reason: str) -> Decision:
        """The decision that the site cannot be softened."""
        return replace(self, action="blocked", reason=reason)

    def kept(self, reason: str) -> Decision:
        """The decision that the site stays hard."""
        return replace(self, action="keep", reason=reason)

    def with_softness(self, softness: Softness) -> Decision:
        """The same decision with another softness."""
        return replace(self, softness=softness, relative=None)

    def with_relative(self, relative: float) -> Decision:
        """The same decision with a softness of so many spreads; of its own number where its operation has none."""
        unit = self.rule.unit
        if unit is None:
            return self.with_softness(relative)
        decision = replace(self, relative=relative)
        spread = self.spread or unit.fixed
        return decision if spread is None else decision.measured(spread)

    def joined(self, joint: int) -> Decision:
        """The same decision where it is one of so many: what "auto" makes of that."""
        return self if joint == self.joint else replace(self, joint=joint)._by_auto()

    def _by_auto(self) -> Decision:
        """The same decision with the softness that "auto" takes for it, if it takes one."""
        if not self.resolved.auto or self.rule.unit is None:
            return self
        unit = SELECTION if self._selects_by_auto else self.rule.unit
        return self.with_relative(unit.relative_of(self.joint))

    @property
    def share(self) -> float:
        """The part of the softness of a decision by itself that "auto" takes for it."""
        if not self.resolved.auto or self.rule.unit is None or self._selects_by_auto:
            return 1.0
        return self.rule.unit.relative_of(self.joint) / self.rule.unit.relative

    def decided_about(self, again: bool) -> Decision:
        """The same decision where another one is about what it makes, or none is."""
        again = again and self.resolved.scope == "decision"
        return self if again == self.runs_on else replace(self, runs_on=again)

    def selecting(self, selects: bool) -> Decision:
        """The same decision where it selects a part of rows, or does not."""
        return self if selects == self.selects else replace(self, selects=selects)._by_auto()

    def learning_alone(self, alone: bool) -> Decision:
        """The same decision where nothing else learns of what it made, or something does."""
        return self if alone == self.alone else replace(self, alone=alone)

    def with_neighbours(self, has: bool) -> Decision:
        """The same decision where what it does not choose learns nothing otherwise, or where it does."""
        has = has and self.resolved.auto_estimator
        return self if has == self.neighbours else replace(self, neighbours=has)

    @property
    def _selects_by_auto(self) -> bool:
        """True if "auto" chooses for a choice of a part of rows, which is that of `topk`, however it is written."""
        return self.selects and self.resolved.auto_scope

    @property
    def is_selection_by_auto(self) -> bool:
        """True if "auto" chose what a choice of a part of rows has."""
        return self._selects_by_auto or (self.resolved.auto and self.rule.unit is SELECTION)

    @property
    def scope(self) -> str:
        """How far its soft values run, as reports and policies have it.

        A choice of a part of rows has the scope of `topk`. Under "auto" one of numbers that nobody learns runs on to
        the end: what is soft there is the choice alone, and no weight learns to be good with a little of everything.
        """
        if self._selects_by_auto or (self.resolved.auto_scope and self.resolved.scope == "linear"):
            return "model" if self.alone else "linear"
        return "region" if self.resolved.scope == "decision" and not self.runs_on else self.resolved.scope

    def measured(self, spread: Spread) -> Decision:
        """The same decision where its spread is known."""
        softness = self.softness if self.relative is None else spread.times(self.relative)
        return replace(self, softness=softness, spread=spread)

    @property
    def has_turns(self) -> bool:
        """True if each turn of a loop has a softness of its own."""
        return self.relative is not None and self.spread is not None and bool(self.spread.turns)

    def at(self, turn: int) -> Decision:
        """The decision for one meeting in a call, from 0 on."""
        return replace(self, turn=turn, softness=self.softness_at(turn))

    def softness_at(self, turn: int | None) -> Softness:
        """The softness at a turn of a loop; the one that it has where turns have none of their own."""
        if turn is None or self.relative is None or self.spread is None:
            return self.softness
        return self.spread.at(turn) * self.relative

    def is_like(self, other: Decision) -> bool:
        """Return True if the other differs from it in nothing but in how large a softness is that is a number."""
        if self is other:
            return True
        if isinstance(self.softness, Tensor) or isinstance(other.softness, Tensor):
            return False
        return all(getattr(self, name) == getattr(other, name) for name in _BESIDE_SOFTNESS)

    def is_as_soft(self, other: Decision) -> bool:
        """Return True if the other, which is like it, has the same softness, in each turn of a loop."""
        if self.has_turns and (self.spread is not other.spread or self.relative != other.relative):
            return False
        return self.softness is other.softness or bool(self.softness == other.softness)

    @property
    def is_measured(self) -> bool:
        """True if its softness is relative to something that is measured."""
        return self.relative is not None and self.rule.unit is not None and self.rule.unit.measure is not None

    @property
    def pending(self) -> bool:
        """True if its softness is relative to a spread that has not been measured."""
        return self.acts and self.relative is not None and self.spread is None

    @property
    def is_fine(self) -> bool:
        """True if what operators take for rounding, 1e-10, is not nothing beside its softness: data in small units."""
        if isinstance(self.softness, Tensor):
            return self.spread is not None and self.relative is not None and self.spread.least * self.relative < _FINE
        return self.softness < _FINE

    @property
    def unit(self) -> str:
        """What its softness is made of, such as "0.2 x spread 412 of the margins at t.py:7"; "" for a number alone."""
        if self.relative is None or self.rule.unit is None:
            return ""
        where = f"{os.path.basename(self.location.file)}:{self.location.line}"
        if self.rule.unit.measure is None:
            return f"{self.relative:g} of {self.rule.unit.of}"
        if self.spread is None:
            return f"{self.relative:.3g} x the spread of {self.rule.unit.of} at {where}, measured at the next call"
        joined = f"; joined with others, so less than {self.rule.unit.relative:g}" if self._is_less else ""
        return f"{self.relative:.3g} x {self.spread} at {where}{joined}"

    @property
    def _is_less(self) -> bool:
        """True if its softness is what "auto" makes of a decision that is joined with others."""
        unit = self.rule.unit
        return unit is not None and self.joint > 1 and self.relative == unit.relative_of(self.joint)
