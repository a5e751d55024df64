"""The sites: every non-differentiable operation found, and the one decision about each.

A site is an operation at a place (module path, file, line, position); a loop's iterations share one. Its decision
is made from the policy the first time it is met and settled by `softfx.pipeline.plan`; an operation first met while a
softened model runs is decided the same way and joins the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from softfx.decisions.policy import Policy, Resolved
from softfx.locations import Location
from softfx.report.record import Consumer, SiteAction
from softfx.rules.rule import Estimate, Rule
from softfx.values.domains import Soft

__all__ = ["SiteRecord", "Sites"]

Key = tuple[str, str, int, str, tuple[int, ...]]


@dataclass(eq=False)
class SiteRecord:
    """One site while it is being planned and run; `softfx.report.record.Site` is what is said of it."""

    id: int
    rule: Rule
    location: Location
    resolved: Resolved
    action: SiteAction
    softness: Any
    reason: str = ""
    live: bool = False  # a soft value of it reaches a real number
    delivered: bool = False  # and a result of the call
    detached: Location | None = None  # where the program stops the derivative of what it reached
    of_detached: frozenset[Location] = frozenset()  # where the program detaches the operands it was met on
    switched_off: Location | None = None  # the no_grad block that what it reached ends in
    cuts: dict[str, bool] = field(default_factory=dict)  # why soft values of it were lost; whether it had to be
    consumers: dict[tuple[str, str, int, str], Consumer] = field(default_factory=dict)
    returned: str = ""  # the dtype in which its discrete value leaves the model
    alone: frozenset[int] = field(init=False)  # its id, where it is the only site

    def __post_init__(self) -> None:
        self.alone = frozenset({self.id})

    @property
    def acts(self) -> bool:
        return self.action in ("soft", "straight_through", "guard")

    @property
    def estimate(self) -> Estimate | None:
        """What gives it its derivative, if that is not its soft form."""
        if self.action != "straight_through" or self.resolved.estimator is None:
            return None
        return self.rule.estimators.get(self.resolved.estimator)

    @property
    def draws(self) -> bool:
        """Whether its hard value is a draw, another one at each call."""
        return self.action == "straight_through" and self.resolved.estimator == "gumbel"

    def consumed(self, op: str, location: Location, takes: Literal["soft", "hard"]) -> None:
        """Write down who uses its value, once per place."""
        key = (op, location.file, location.line, takes)
        if key not in self.consumers:
            self.consumers[key] = Consumer(op, location.file, location.line, takes)

    def block(self, reason: str) -> None:
        self.action, self.reason = "blocked", reason

    def keep(self, reason: str) -> None:
        self.action, self.reason = "keep", reason


class Sites:
    """All sites of one target under one policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._by_key: dict[Key, SiteRecord] = {}
        self._records: list[SiteRecord] = []
        self._regions: dict[int, int] = {}
        self._joined: set[frozenset[int]] = set()
        self._scopes: dict[frozenset[int], str] = {}
        self.static: set[Key] = set()
        self.writes = False  # the program writes tensors in place
        self.refusals: set[tuple[str, Location]] = set()  # calls whose soft form failed when it was tried
        self.opaque = False  # a custom autograd.Function was met, through which derivatives cannot be followed
        self._lifted: set[tuple[str, str, int]] = set()
        self._to_lift: set[tuple[str, str, int]] = set()  # found in this run; lifted from the next one on

    def __iter__(self) -> Iterator[SiteRecord]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, site: int) -> SiteRecord:
        return self._records[site]

    @property
    def exact(self) -> bool:
        """Whether no decision changes a value: without a gradient there is nothing to do."""
        changed = any(record.action == "soft" or record.draws for record in self)
        return not (self.policy.softens or changed or self.distributions)

    @property
    def distributions(self) -> bool:
        """Whether a result may be given as a distribution, with an axis more."""
        return any(record.acts and record.resolved.outputs == "distribution" for record in self)

    @staticmethod
    def key(rule: Rule, location: Location) -> Key:
        return (location.module, location.file, location.line, rule.op, location.position)

    def at(self, rule: Rule, location: Location) -> SiteRecord:
        """The site of `rule`'s operation at `location`, decided by the policy if it is new."""
        key = self.key(rule, location)
        record = self._by_key.get(key)
        if record is None:
            record = self._by_key[key] = self._decide(rule, location)
            self._records.append(record)
            self.static.discard(key)
        return record

    def note_static(self, rule: Rule, location: Location) -> None:
        key = self.key(rule, location)
        if key not in self._by_key:
            self.static.add(key)

    def _decide(self, rule: Rule, location: Location) -> SiteRecord:
        resolved = self.policy.resolve(
            op=rule.op,
            code=rule.code,
            family=rule.family,
            module=location.module,
            file=location.file,
            line=location.line,
        )
        softness = resolved.options.get("softness", 0.1)
        record = SiteRecord(len(self._records), rule, location, resolved, resolved.action, softness)
        if record.action == "keep":
            record.reason = "the policy keeps it"
        elif rule.relax is None and rule.carry is None:
            record.block(f"{rule.op} has no relaxation")
        return record

    # -- what the engine has to say ------------------------------------------------------------------------------

    def lost(self, softs: Iterable[Soft], op: str, location: Location, reason: str, hopeless: bool = False) -> None:
        """A consumer took hard values where soft ones were to be had.

        hopeless: a branch in Python or a no_grad block, which has no derivative whatever reaches it.
        """
        for record in self._behind(softs):
            record.cuts[f"{reason} ({location.file}:{location.line})"] = hopeless
            record.consumed(op, location, "hard")

    def took(self, softs: Iterable[Soft], op: str, location: Location) -> None:
        """A consumer took soft values."""
        for soft in softs:
            for site in soft.sites:
                self._records[site].consumed(op, location, "soft")

    def reached(self, ids: frozenset[int]) -> None:
        """Soft values became a real number."""
        for site in ids:
            self._records[site].live = True

    def detached(self, ids: frozenset[int], location: Location) -> None:
        """The program detaches a real number that they reached."""
        for record in self.by_id(ids):
            record.detached = location

    def returned(self, ids: frozenset[int], dtype: torch.dtype | None = None, exact: bool = False) -> None:
        """A result of the call carries their derivative, or (dtype given) is their discrete value."""
        for record in self.by_id(ids):
            if dtype is None or not exact:
                record.live = record.delivered = True
            if dtype is not None:
                record.returned = str(dtype).removeprefix("torch.")

    def lift(self, place: Location, what: str = "no_grad") -> None:
        """The no_grad block entered at `place`, or detach there, is to be lifted: by the next run, not in this one."""
        self._to_lift.add((what, place.file, place.line))

    def switched_off(self, ids: frozenset[int], switch: Location) -> None:
        """What they reached is used in the no_grad block entered at `switch`."""
        for record in self.by_id(ids):
            record.switched_off = switch

    def lift_found(self) -> bool:
        """Lift what a run found, the blocks and detachments included that all of a site ends in; whether any is new."""
        for record in self:
            if not record.acts or record.delivered:
                continue
            if record.resolved.lift_no_grad and record.switched_off:
                self.lift(record.switched_off)
                record.switched_off = None
            if record.resolved.lift_detach:
                for place in (*record.of_detached, *((record.detached,) if record.detached else ())):
                    self.lift(place, "detach")
                record.of_detached, record.detached = frozenset(), None
        new = not self._to_lift <= self._lifted
        self._lifted |= self._to_lift
        return new

    def lifts(self, place: Location, what: str = "no_grad") -> bool:
        return (what, place.file, place.line) in self._lifted

    @property
    def lifts_any(self) -> bool:
        return bool(self._lifted)

    def scope(self, ids: frozenset[int]) -> str:
        """How far a straight-through region of these sites extends."""
        if (scope := self._scopes.get(ids)) is None:
            scopes = {record.resolved.scope for record in self.by_id(ids)}
            scope = "model" if "model" in scopes else "operation" if scopes == {"operation"} else "region"
            self._scopes[ids] = scope
        return scope

    def outputs(self, ids: frozenset[int]) -> str | None:
        """What the policy wants a result to be given as that these sites made."""
        return next((r.resolved.outputs for r in reversed(self.by_id(ids)) if r.resolved.outputs is not None), None)

    def _behind(self, softs: Iterable[Soft]) -> list[SiteRecord]:
        return self.by_id(frozenset[int]().union(*(soft.sites for soft in softs)))

    # -- regions -------------------------------------------------------------------------------------------------

    def join(self, ids: frozenset[int]) -> None:
        """Say that these sites' soft values meet: they are one region."""
        if len(ids) < 2 or ids in self._joined:
            return
        self._joined.add(ids)
        roots = {self.region(i) for i in ids}
        first = min(roots)
        for root in roots:
            self._regions[root] = first

    def region(self, site: int) -> int:
        while (parent := self._regions.get(site, site)) != site:
            site = parent
        return site

    def by_id(self, ids: frozenset[int]) -> list[SiteRecord]:
        return [self._records[i] for i in sorted(ids)]
