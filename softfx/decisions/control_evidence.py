"""What runs saw of control sites: how often each was met, its probabilities, the turns that were made and dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from softfx.decisions.site import Decision
from softfx.decisions.spreads import Spreads

__all__ = ["ControlEvidence", "SiteControl"]


@dataclass
class SiteControl:
    """The observations of one control site.

    met: how often, in the runs whose choices were kept.
    least, most: of the probabilities of its answers.
    made, dropped: runs with another answer, and those of them without a result, by the reason.
    known: something that was read had a probability.
    unknown: how often what was read had no probability, by the reason.
    share: the sum of the sizes of the terms that it brought to gradients.
    """

    met: int = 0
    least: float = 1.0
    most: float = 0.0
    made: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    share: float = 0.0
    known: bool = False
    unknown: Counter[str] = field(default_factory=Counter)

    def meets(self, probabilities: Iterable[float], times: int = 1) -> None:
        """Note that choices were met, with the probabilities of their answers."""
        known = [self.least, self.most, *probabilities]
        self.met, self.least, self.most = self.met + times, min(known), max(known)


@dataclass
class ControlEvidence:
    """The observations of all control sites.

    spreads: the units of their softness.
    sites: what was seen of each, by its number.
    replaced: how many drawn runs raised or returned something else, and were replaced by the program's own path.
    drawn: how many were drawn.
    reads: Python read a value that depends on a source.
    rows: of masks whose rows may carry a derivative, by their sites, the decision to turn their elements if they do
        not, and the sites that the mask is made of. turned_members: the masks whose rows were seen not to.
    notes: what a reader should know, in order: results that carry nothing, sites that would act.
    """

    spreads: Spreads = field(default_factory=Spreads)
    sites: dict[int, SiteControl] = field(default_factory=dict)
    replaced: Counter[str] = field(default_factory=Counter)
    drawn: int = 0
    reads: bool = False
    rows: dict[int, tuple[Decision, frozenset[int]]] = field(default_factory=dict)
    turned_members: set[int] = field(default_factory=set)
    notes: dict[str, None] = field(default_factory=dict)

    def of(self, site: int) -> SiteControl:
        """The observations of one site."""
        found = self.sites.get(site)
        return self.sites.setdefault(site, SiteControl()) if found is None else found
