"""The present decisions about all sites of one target under one policy.

A site is decided by the policy the first time it is met and settled by planning (softfx.pipeline.plan); one that is
first met while a softened model runs is decided in the same way and joins the report.
"""

from __future__ import annotations

import fnmatch
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from typing import Literal, NamedTuple

from softfx.decisions.policy import Policy
from softfx.decisions.policy.schema import RELATIVE
from softfx.decisions.site import Decision, SiteKey, Softness
from softfx.locations import Location
from softfx.rules.comparison import as_written
from softfx.rules.rule import Rule

__all__ = ["CONTROL_SOFTNESS", "DEFAULT_SOFTNESS", "Lift", "Setting", "Sites"]

# A softness, or one in units of the data: {"relative": 0.2}, or "auto".
Setting = Softness | str | Mapping[str, float]

DEFAULT_SOFTNESS = 0.1
CONTROL_SOFTNESS = 0.05  # of a control site, in units of the spread of its margins
_ADDING = threading.Lock()  # not of one object: sites are copied and pickled


class Lift(NamedTuple):
    """A no_grad block, or a detachment, of the program that is not carried out."""

    what: Literal["no_grad", "detach"]
    file: str
    line: int

    @classmethod
    def at(cls, place: Location, what: Literal["no_grad", "detach"] = "no_grad") -> Lift:
        """The block entered, or the detachment made, at a place."""
        return cls(what, place.file, place.line)


class Sites:
    """The decision about each site, by identity and by number, and what of the program is lifted."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._ids: dict[SiteKey, int] = {}
        self._decisions: list[Decision] = []
        self._assigned: dict[str, Setting] = {}
        self._lifts: frozenset[Lift] = frozenset()
        self._scopes: dict[frozenset[int], str] = {}
        self._by_scope: defaultdict[str, set[int]] = defaultdict(set)
        self._exchanged = frozenset[int]()

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._decisions)

    def __len__(self) -> int:
        return len(self._decisions)

    def __getitem__(self, site: int) -> Decision:
        return self._decisions[site]

    def __contains__(self, key: SiteKey) -> bool:
        return key in self._ids

    def at(self, rule: Rule, location: Location) -> Decision:
        """The decision about `rule`'s operation at a place, made by the policy if the site is new."""
        rule = as_written(rule, location.symbol)
        key = SiteKey.of(rule, location)
        site = self._ids.get(key)
        if site is None:
            site = self._add(key, rule, location)
        return self._decisions[site]

    def known(self, rule: Rule, location: Location) -> Decision | None:
        """The decision about `rule`'s operation at a place, or None if it was not met yet."""
        site = self._ids.get(SiteKey.of(as_written(rule, location.symbol), location))
        return None if site is None else self._decisions[site]

    def _add(self, key: SiteKey, rule: Rule, location: Location) -> int:
        """The number of a new site; of several threads that meet it at once, one decides."""
        with _ADDING:
            site = self._ids.get(key)
            if site is None:
                site = len(self._decisions)
                decision = self._decided(rule, location)
                self._decisions.append(decision)
                self._by_scope[decision.scope].add(site)
                self._note_exchanged(decision)
                self._ids[key] = site
            return site

    def replace(self, decision: Decision) -> Decision:
        """Put a decision in the place of the one about the same site."""
        before = self._decisions[decision.id].scope
        if decision.scope != before:
            self._by_scope[before].discard(decision.id)
            self._by_scope[decision.scope].add(decision.id)
            self._scopes.clear()
        self._note_exchanged(decision)
        self._decisions[decision.id] = decision
        return decision

    def _note_exchanged(self, decision: Decision) -> None:
        others = self._exchanged - decision.ids
        self._exchanged = others | decision.ids if decision.is_exchanged else others

    def assign(self, pattern: str, softness: Setting) -> bool:
        """Give the sites that a pattern names another softness; False if there is none.

        It is that of sites of such names, too, that are met later.
        """
        matched = [decision for decision in self if _matches(decision, pattern)]
        if not matched and pattern != "*":
            return False
        for decision in matched:
            self.replace(_with_setting(decision, softness))
        self._assigned.pop(pattern, None)  # the last is first in force
        self._assigned[pattern] = softness
        return True

    def copied(self, changed: Iterable[Decision] = ()) -> Sites:
        """Sites of their own with the same decisions but for these."""
        own = copy(self)
        own._ids, own._decisions, own._scopes = dict(self._ids), list(self._decisions), {}
        own._by_scope = defaultdict(set, {scope: set(ids) for scope, ids in self._by_scope.items()})
        own._assigned = dict(self._assigned)
        for decision in changed:
            own.replace(decision)
        return own

    def by_id(self, sites: frozenset[int]) -> list[Decision]:
        """The decisions about these sites, in order."""
        return [self._decisions[site] for site in sorted(sites)]

    def _decided(self, rule: Rule, location: Location) -> Decision:
        resolved = self.policy.resolve(
            op=rule.name,
            code=rule.code,
            family=rule.family,
            module=location.module,
            file=location.file,
            line=location.line,
        )
        usual = CONTROL_SOFTNESS if rule.family == "control" else DEFAULT_SOFTNESS
        softness = resolved.options.get("softness", usual)
        number = usual if isinstance(softness, Mapping) else softness
        decision = Decision(len(self._decisions), rule, location, resolved, resolved.action, number)
        if isinstance(softness, Mapping):
            decision = decision.with_relative(softness[RELATIVE])
        for pattern, setting in self._assigned.items():
            if _matches(decision, pattern):
                decision = _with_setting(decision, setting)
        if decision.action == "keep":
            return decision.kept("the policy keeps it")
        if rule.relax is None and rule.propagate is None and rule.family != "control":
            return decision.blocked(f"{rule.name} has no relaxation")
        return decision

    # -- what follows from the decisions together ----------------------------------------------------------------

    @property
    def exact(self) -> bool:
        """True if no decision changes a value, so that without gradients there is nothing to do."""
        changed = any(not decision.is_exact or decision.draws for decision in self)
        return not (self.policy.softens or changed or self.gives_distributions)

    @property
    def exact_but_for_control(self) -> bool:
        """True if no decision about a call changes a value: a run without gradients is the program's own calls."""
        decisions = (decision for decision in self if decision.rule.family != "control")
        changed = any(not decision.is_exact or decision.draws for decision in decisions)
        return not (self.policy.softens_calls or changed or self.gives_distributions)

    @property
    def acts(self) -> bool:
        """True if any site is acted on."""
        return any(decision.acts for decision in self)

    @property
    def exchanges(self) -> bool:
        """True if calls are made once more, with some of what sites choose exchanged."""
        return bool(self._exchanged)

    @property
    def measures(self) -> bool:
        """True if the softness of any site that acts is relative to a spread of the data."""
        return any(decision.acts and decision.is_measured for decision in self)

    @property
    def awaits_measure(self) -> bool:
        """True if the softness of a site that acts is relative to a spread that no call has shown yet."""
        return any(decision.pending and decision.is_measured for decision in self)

    @property
    def gives_distributions(self) -> bool:
        """True if a result may be given as a distribution, with an axis more."""
        return any(decision.acts and decision.resolved.outputs == "distribution" for decision in self)

    def scope(self, sites: frozenset[int]) -> str:
        """How far a straight-through region of these sites extends."""
        if (scope := self._scopes.get(sites)) is None:
            scopes = {scope for scope, ids in self._by_scope.items() if not ids.isdisjoint(sites)}
            if "model" in scopes or scopes == {"decision"}:
                scope = "model"
            elif "linear" in scopes:
                scope = "linear"
            else:
                scope = "operation" if scopes == {"operation"} else "region"
            self._scopes[sites] = scope
        return scope

    def outputs(self, sites: frozenset[int]) -> str | None:
        """The form in which the policy wants a result that these sites made."""
        wanted = (decision.resolved.outputs for decision in reversed(self.by_id(sites)))
        return next((outputs for outputs in wanted if outputs is not None), None)

    # -- what is lifted ------------------------------------------------------------------------------------------

    @property
    def lifts_any(self) -> bool:
        """True if anything is lifted."""
        return bool(self._lifts)

    def lifts(self, place: Location, what: Literal["no_grad", "detach"] = "no_grad") -> bool:
        """Return True if the block entered, or the detachment made, at this place is lifted."""
        return Lift.at(place, what) in self._lifts

    def lift(self, lifts: frozenset[Lift], leave: frozenset[Lift] = frozenset()) -> bool:
        """Lift these from the next run on, but for those to leave, and return True if anything changes."""
        before, self._lifts = self._lifts, (self._lifts | lifts) - leave
        return before != self._lifts


def _matches(decision: Decision, pattern: str) -> bool:
    names = (decision.rule.name, decision.rule.code, "@" + decision.rule.family)
    return pattern in names or fnmatch.fnmatchcase(decision.location.module, pattern)


def _with_setting(decision: Decision, value: Setting) -> Decision:
    """The decision with this softness; rows that are standardized have a unit of their own."""
    unit = decision.rule.unit
    standardizes = unit is not None and "standardize" in unit.auto
    if standardizes and decision.resolved.options.get("standardize") is not False:
        unit = None
    if isinstance(value, str):
        if unit is not None:
            return decision.with_relative(unit.relative_of(decision.joint))
        return decision.with_softness(CONTROL_SOFTNESS if decision.rule.family == "control" else DEFAULT_SOFTNESS)
    if isinstance(value, Mapping):
        return decision.with_softness(value[RELATIVE]) if unit is None else decision.with_relative(value[RELATIVE])
    return decision.with_softness(value)
