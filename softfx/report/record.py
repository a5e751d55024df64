"""The data of a report: every site, where it is, the decision about it and the reason.

This module only holds data. The formats (text, markdown, sarif, terminal) read it and are not known here; `Report` in
`softfx.report.report` adds the text to it. `to_dict` is the documented format of `--format json`; new keys go at the
end of their object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

__all__ = ["ACTIONS", "Break", "Consumer", "ReportData", "Site", "SiteAction"]

SiteAction = Literal["soft", "straight_through", "guard", "keep", "blocked"]
ACTIONS: tuple[SiteAction, ...] = ("soft", "straight_through", "guard", "keep", "blocked")


@dataclass
class Consumer:
    """An operation that uses the result of a site, and the value that it gets: the soft one or only the hard one."""

    op: str
    file: str
    line: int
    takes: Literal["soft", "hard"]


@dataclass
class Site:
    """One non-differentiable operation at one place, and the one decision about it."""

    id: int
    code: str
    op: str
    module: str
    file: str
    line: int
    source: str
    family: str
    action: SiteAction
    mode: str | None = None
    method: str | None = None
    softness: float | None = None
    region: int | None = None
    decided_by: str = ""
    reason: str = ""
    consumers: list[Consumer] = field(default_factory=list)
    estimator: str | None = None  # the source of the derivative where that is not the soft form
    unit: str = ""  # what the softness is made of, where it is relative to the data
    standardize: bool | None = None  # where the policy or softness = "auto" says
    scope: str | None = None  # where that is not "region"


SHAPED_BY_DATA = "has a shape that depends on data"
"""The end of the reason of a break where an operation gives as many elements as data decide."""
BESIDE_INFINITIES = "has infinite or NaN factors: beside them its derivative is 0, also where the original's is NaN"
"""The end of the reason of a cut at a product, once sites are acted on."""


@dataclass
class Break:
    """A place where one captured graph ends and another begins, or where the program itself ends a gradient."""

    reason: str
    file: str
    line: int


@dataclass
class ReportData:
    """The sites found in a target, the decisions about them, and how the target was captured.

    static: the number of operations that depend on no float input or parameter. They are left alone and not listed.
    starved: the parameters and inputs that receive no gradient at all in the original.
    cuts: where the program itself ends a gradient: it detaches, or switches gradients off.
    known: how many sites a baseline has taken out.
    policy: the name of the policy that decided.
    upstream: for each starved name the ids of the sites that cut it.
    gained: the starved names that a gradient reaches as decided; None where nothing acts, or it was not tried.
    not_tried: why it was not.
    control: what is to be said of control flow: its cost, and what limits its derivative.
    """

    target: str
    frontend: str
    why_frontend: str = ""
    graphs: int = 0
    breaks: list[Break] = field(default_factory=list)
    executor: str = "eager"
    static: int = 0
    sites: list[Site] = field(default_factory=list)
    starved: list[str] = field(default_factory=list)
    cuts: list[Break] = field(default_factory=list)
    known: int = 0
    policy: str = ""
    upstream: dict[str, list[int]] = field(default_factory=dict)
    gained: list[str] | None = None
    not_tried: str = ""
    control: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The number of sites found and the number with each decision; the latter sum to the former."""
        by_action = Counter(site.action for site in self.sites)
        return {"found": len(self.sites)} | {action: by_action[action] for action in ACTIONS}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready data."""
        capture = {
            "frontend": self.frontend,
            "graphs": self.graphs,
            "breaks": [asdict(item) for item in self.breaks],
            "why": self.why_frontend,
        }
        return {
            "version": 1,
            "target": self.target,
            "capture": capture,
            "executor": self.executor,
            "static": self.static,
            "sites": [asdict(site) for site in self.sites],
            "counts": self.counts,
            "starved": list(self.starved),
            "cuts": [asdict(item) for item in self.cuts],
            "known": self.known,
            "policy": self.policy,
            "upstream": {name: list(sites) for name, sites in self.upstream.items()},
            "gained": None if self.gained is None else list(self.gained),
            "not_tried": self.not_tried,
            "control": list(self.control),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The report that `to_dict` turned into `data`."""
        capture = data["capture"]
        sites = [
            Site(**{**site, "consumers": [Consumer(**consumer) for consumer in site["consumers"]]})
            for site in data["sites"]
        ]
        return cls(
            data["target"],
            capture["frontend"],
            capture.get("why", ""),
            capture["graphs"],
            [Break(**item) for item in capture["breaks"]],
            data["executor"],
            data["static"],
            sites,
            list(data.get("starved", ())),
            [Break(**item) for item in data.get("cuts", ())],
            data.get("known", 0),
            data.get("policy", ""),
            {name: list(found) for name, found in data.get("upstream", {}).items()},
            None if data.get("gained") is None else list(data["gained"]),
            data.get("not_tried", ""),
            list(data.get("control", ())),
        )
