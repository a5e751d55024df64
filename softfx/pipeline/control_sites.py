"""Finds the control site that a run reads at, and the decision about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from softfx.control.guards import guards, is_condition
from softfx.control.light import Light, Shown
from softfx.control.modes import Watch
from softfx.control.path import Path, Reading
from softfx.control.provenance import Margin, Provenance
from softfx.decisions.site import Decision
from softfx.decisions.sites import Sites
from softfx.interpreter.state import RunState
from softfx.locations import Location, is_user_file
from softfx.rules import RULES
from softfx.rules.control import MEMBERSHIP, READ_REAL
from softfx.rules.rule import Rule

__all__ = ["ReadingSites"]


@dataclass(eq=False, slots=True)
class ReadingSites:
    """Finds the site that reads now.

    run: knows which instruction that is. says_all: an instruction alone says which module runs it.
    state: of the interpreter, by which new sites are met; without it there are none but the known.
    """

    sites: Sites
    run: Watch | Light
    path: Path
    shown: Shown
    where: Callable[[], Location]
    says_all: Callable[[], bool]
    state: RunState | None = None

    def __call__(self, reading: Reading, tensor: Tensor) -> Decision | None:
        if reading == "branch" and self._is_asked_by_python(tensor):
            return None
        rule = RULES[self.run.operation_of(reading)]
        decision = self.known(rule)
        if self.state is not None and (decision is None or not decision.acts or self._may_carry_rows(decision)):
            depends = _depends_on_source(self.state, self.path.provenance, tensor)
            decision = self._acting(self.sites.at(rule, self.where()), tensor) if depends else None
        return decision if decision is not None and decision.acts else None

    def _is_asked_by_python(self, tensor: Tensor) -> bool:
        """Return True for an equality of two real numbers that the program does not ask for.

        Tuples are compared, and lists are searched, by asking first whether two numbers are one. They never are but by
        chance, and a turn of that would compare what stands behind them: the numbers of equal events in a heap.
        """
        if not self.path.provenance.equates(tensor) or is_condition(self.run.code, self.run.reader[1]):
            return False
        self.path.conditions.note(
            "an equality of real numbers that Python asks for, in comparing tuples, is no decision"
        )
        return True

    def known(self, rule: Rule) -> Decision | None:
        """The site, if it is known; where no other module runs the program's code the instruction says which it is."""
        key = (*self.run.reader, rule.name)
        if (site := self.shown.sites.get(key)) is not None:
            return self.sites[site]
        if self.shown.siteless.get(key) == len(self.sites):
            return None
        decision = self.sites.known(rule, self.where())
        if self.says_all() and is_user_file(self.run.code.co_filename):
            if decision is None:
                self.shown.siteless[key] = len(self.sites)
            else:
                self.shown.sites[key] = decision.id
        return decision

    def _acting(self, decision: Decision, tensor: Tensor) -> Decision:
        """The decision about a site that a run has met: some are not turned, and it says why."""
        if not decision.acts:
            return decision
        if guards(self.run.code, self.run.reader[1]):
            return self.sites.replace(decision.kept("one way of it raises an error, and has no result"))
        if decision.rule is MEMBERSHIP and decision.resolved.estimator != "membership" and tensor.dtype is torch.bool:
            return self._unless_rows_carry(decision, tensor)
        if decision.rule is READ_REAL and decision.resolved.estimator != "difference":
            reason = "a real number is read into Python: estimator = 'difference' acts on it, by two runs a read"
            return self.sites.replace(decision.kept(reason))
        return decision

    def _may_carry_rows(self, decision: Decision) -> bool:
        """Return True for a mask whose rows may be soft by now: blocks are lifted after the first run."""
        state = self.state
        if decision.rule is not MEMBERSHIP or state is None or not state.planning:
            return False
        return state.sites.lifts_any and decision.id not in state.evidence.control.turned_members

    def _unless_rows_carry(self, decision: Decision, mask: Tensor) -> Decision:
        """The decision about a mask: its elements are not turned where the rows that it selects are soft ones.

        Whether these arrive a planning run has to show first (softfx.pipeline.plan).
        """
        soft = None if self.state is None else self.state.environment.facts(mask).soft
        if soft is None:
            return decision
        if self.state is not None and self.state.planning:
            self.state.evidence.control.rows[decision.id] = decision, soft.sites
        return self.sites.replace(
            decision.kept("the rows that it selects are soft; estimator = 'membership' turns its elements instead")
        )


def _depends_on_source(state: RunState, provenance: Provenance, tensor: Tensor) -> bool:
    """Return True if what is read depends on a source, or what it is made of out of the interpreter's sight does."""
    if state.environment.get(tensor) is not None or (made := provenance.get(tensor)) is None:
        return state.environment.facts(tensor).depends_on_source
    if isinstance(made, Margin):
        return made.has_derivative
    return any(_depends_on_source(state, provenance, operand) for operand in made.tensors)
