"""The sites: every non-differentiable operation found, and the one decision about each.

A site is an operation at a place (module path, file, line, position); a loop's iterations share one. Its decision
is made from the policy the first time it is met and settled by `softfx.plan`; an operation first met while a
softened model runs is decided the same way and joins the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from softfx.policy import Policy, Resolved
from softfx.report import Consumer
from softfx.rules.rule import Rule
from softfx.source import Location

__all__ = ["SiteRecord", "Sites"]

Key = tuple[str, str, int, str, tuple[int, ...]]


@dataclass(eq=False)
class SiteRecord:
    """One site while it is being planned and run; `softfx.report.Site` is what is said of it."""

    id: int
    rule: Rule
    location: Location
    resolved: Resolved
    action: str
    softness: Any
    reason: str = ""
    live: bool = False  # a soft value of it reaches a real number
    cuts: dict[str, None] = field(default_factory=dict)  # why soft values of it were lost, in order
    consumers: dict[tuple[str, str, int, str], Consumer] = field(default_factory=dict)
    returned: str = ""  # the dtype in which its discrete value leaves the model

    @property
    def acts(self) -> bool:
        return self.action in ("soft", "straight_through", "guard")

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
        self.static: set[Key] = set()

    def __iter__(self) -> Iterator[SiteRecord]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def exact(self) -> bool:
        """Whether no decision changes a value: without a gradient there is nothing to do."""
        return not self.policy.softens and all(record.action != "soft" for record in self)

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

    def join(self, ids: frozenset[int]) -> None:
        """Say that these sites' soft values meet: they are one region."""
        roots = {self.region(i) for i in ids}
        if roots:
            first = min(roots)
            for root in roots:
                self._regions[root] = first

    def region(self, site: int) -> int:
        while (parent := self._regions.get(site, site)) != site:
            site = parent
        return site

    def by_id(self, ids: frozenset[int]) -> list[SiteRecord]:
        return [self._records[i] for i in sorted(ids)]
