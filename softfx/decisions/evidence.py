"""Evidence: what runs saw of the sites, apart from the decisions that are made of it.

A run notes which soft values were used and lost where, which reached a real number or a result, and what the program
does besides: writes, detachments, blocks without gradients. Planning reads it and decides; the report shows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch

from softfx.decisions.control_evidence import ControlEvidence
from softfx.decisions.site import SiteKey
from softfx.locations import Location, shown_place
from softfx.values import Soft

__all__ = ["MANY", "Cut", "Evidence", "Left", "SiteEvidence", "Use"]

MANY = 32  # sites: who uses what more of them made is not told of each


class Use(NamedTuple):
    """One use of a site's value: by an operation at a line, soft or hard."""

    operation: str
    file: str
    line: int
    takes: Literal["soft", "hard"]


@dataclass
class SiteEvidence:
    """The observations of one site.

    reached_real: a soft value of it became a real number.
    delivered: and a result of the call carries its derivative.
    detached_at: where the program stops the derivative of what it reached.
    operands_detached_at: where the program detached the operands that it was met on.
    ends_without_gradients_at: the no_grad block that what it reached ends in.
    losses: why soft values of it were lost, and for each whether no derivative could have passed in any case.
    uses: who used its value, in order.
    ends: the operations that real numbers which it reached end in, for they give no derivative back.
    returned_as: the dtype in which its discrete value leaves the model.
    returned_rows: rows that a mask selects leave the model.
    joint: how many decisions and, or, any and all made one of, of which it is one.
    decided_by: the sites that decide about real numbers that it made.
    mixed: it chooses among, or is multiplied by, real numbers that have a derivative of their own.
    selects: it selects a part of rows: k of them, or those beyond an order statistic of their own.
    idioms: what it is a part of, as rules recognise it by what flows where.
    learns: what it decides about requires a gradient.
    meets_learned: what it made meets, in one call, numbers that require a gradient without it.
    of_one_row: it chooses once for the whole call.
    of_two: it orders two entries that are standardized, which are then as far apart as any other two.
    """

    reached_real: bool = False
    delivered: bool = False
    detached_at: Location | None = None
    operands_detached_at: frozenset[Location] = frozenset()
    ends_without_gradients_at: Location | None = None
    losses: dict[str, bool] = field(default_factory=dict)
    uses: dict[Use, None] = field(default_factory=dict)
    ends: dict[str, None] = field(default_factory=dict)
    returned_as: str = ""
    returned_rows: bool = False
    joint: int = 1
    decided_by: set[int] = field(default_factory=set)
    mixed: bool = False
    selects: bool = False
    learns: bool = False
    meets_learned: bool = False
    of_one_row: bool = False
    of_two: bool = False
    idioms: dict[str, None] = field(default_factory=dict)


class Cut(NamedTuple):
    """A place where the program itself ends a gradient."""

    reason: str
    file: str
    line: int


class Left(NamedTuple):
    """Why a no_grad block, or a detachment, that a policy would lift stays: what is done, and where."""

    reason: str
    location: Location

    def __str__(self) -> str:
        return f"{self.reason} ({shown_place(self.location.file, self.location.line)})"


class Evidence:
    """The observations of all runs of one target."""

    def __init__(self) -> None:
        self._of: defaultdict[int, SiteEvidence] = defaultdict(SiteEvidence)
        self._regions: dict[int, int] = {}
        self._joined: set[frozenset[int]] = set()
        self.static: set[SiteKey] = set()  # operations on constants, integers or shapes
        self.writes = False  # the program writes tensors in place
        # Calls whose operands or results, which their softened derivative keeps, the program writes later.
        self.overwritten: set[tuple[str, Location]] = set()
        # Look-ups that the program answers with a view, of which one side is used after the other was written.
        self.written_views: set[tuple[str, Location]] = set()
        # Calls that clip numbers about which it is asked later whether they were clipped.
        self.asked_clips: set[tuple[str, Location]] = set()
        # Calls that make numbers of one decision, element by element, of which the mean is taken.
        self.pointwise: set[tuple[str, Location]] = set()
        self.copies: set[tuple[str, Location]] = set()  # comparisons of numbers with a copy of them
        self.spoilt: set[tuple[str, Location]] = set()  # sites that met NaN or infinities as softness was measured
        # Products of infinite or NaN factors with what has a derivative, as planning meets them.
        self.infinite_products: set[tuple[str, Location]] = set()
        self.spoiling: set[tuple[str, Location]] = set()  # other calls that make such numbers of such operands
        self.asks_histories = False  # the program asks tensors if they have a derivative, or which
        self.meets_infinities = False  # the call that was captured met such numbers
        self.refused: set[tuple[str, Location]] = set()  # calls whose soft form failed when it was tried
        self.cuts: dict[Cut, None] = {}  # where the program itself ends a gradient, in order
        self.left_buffers: tuple[str, ...] = ()  # the buffers in which a call leaves what has a derivative only softly
        self.left_attributes: tuple[str, ...] = ()  # the other attributes of which this is so
        self.gives_number = False  # all of the result that has a derivative is single numbers, as a loss is
        self.changes_given = False  # the call changes what it is given, or what its module or its objects keep
        self.awaits_learning = False  # no run has shown yet what learns of the choices that it makes
        self.exchanges: dict[str, None] = {}  # what is to be said of further runs with exchanged choices
        self.custom_functions = False  # a custom autograd.Function was met, through which no derivative is followed
        self.follows_all = False  # the derivative of every site was followed to wherever it goes
        self.blocks_to_lift: set[Location] = set()  # the no_grad blocks in which a site was met that is to be lifted
        self.control = ControlEvidence()  # of branches, and of numbers that Python reads
        # The blocks and detachments that must not be lifted.
        self.to_leave: dict[tuple[str, Location], Left] = {}

    @property
    def by_place(self) -> frozenset[str]:
        """The operations of which calls that are no sites are made in other ways too, which only their places tell."""
        noted = (self.overwritten, self.infinite_products, self.spoiling, self.written_views, self.asked_clips)
        return frozenset(name for calls in (*noted, self.pointwise) for name, _ in calls)

    @property
    def extent(self) -> tuple[int, ...]:
        """How much of it there is that decides how later runs are made: none is ever taken back."""
        noted = (self.overwritten, self.infinite_products, self.spoiling, self.written_views, self.asked_clips)
        return (
            self.writes,
            self.meets_infinities,
            self.asks_histories,
            *map(len, (*noted, self.pointwise, self.copies, self.spoilt, self.refused)),
        )

    def of(self, site: int) -> SiteEvidence:
        """The observations of one site."""
        return self._of[site]

    def lost(
        self, softs: Iterable[Soft], operation: str, location: Location, reason: str, hopeless: bool = False
    ) -> None:
        """A consumer took hard values where soft ones were to be had.

        hopeless: a branch in Python or a no_grad block, which has no derivative whatever reaches it.
        """
        for site in sorted(_sites_of(softs)):
            seen = self._of[site]
            seen.losses[f"{reason} ({shown_place(location.file, location.line)})"] = hopeless
            seen.uses[Use(operation, location.file, location.line, "hard")] = None

    def took(self, softs: Iterable[Soft], operation: str, location: Location) -> None:
        """A consumer took soft values.

        Not noted of what more than `MANY` sites made: everything behind a long sum would use every term of it.
        """
        use = Use(operation, location.file, location.line, "soft")
        for soft in softs:
            if len(soft.sites) <= MANY:
                for site in soft.sites:
                    self._of[site].uses[use] = None

    def joined(self, sites: frozenset[int], joint: int) -> None:
        """So many decisions became one, of which these sites made some."""
        for site in sites:
            self._of[site].joint = max(self._of[site].joint, joint)

    def decided_about(self, sites: frozenset[int], by: int) -> None:
        """A site decides about real numbers that these sites made."""
        for site in sites:
            self._of[site].decided_by.add(by)

    def mixed(self, softs: Iterable[Soft]) -> None:
        """Soft values meet real numbers that have a derivative of their own."""
        for site in _sites_of(softs):
            self._of[site].mixed = True

    def learns(self, site: int, of_one_row: bool) -> None:
        """A site decides about what requires a gradient, once for the whole call or row by row."""
        self._of[site].learns = True
        self._of[site].of_one_row = of_one_row

    def meets_learned(self, sites: Iterable[int]) -> None:
        """What these sites made meets numbers that learn without them."""
        for site in sites:
            self._of[site].meets_learned = True

    def selects(self, sites: Iterable[int]) -> None:
        """These sites select a part of rows."""
        for site in sites:
            self._of[site].selects = True

    def reached_real(self, sites: frozenset[int]) -> None:
        """Soft values of these sites became a real number."""
        for site in sites:
            self._of[site].reached_real = True

    def forget_sites(self) -> None:
        """Forget what runs saw of the sites, for another run to see what becomes of them."""
        self._of.clear()

    def forget_deliveries(self) -> None:
        """Forget which sites reached a result, for another run to see."""
        for seen in self._of.values():
            seen.delivered = False

    def detached(self, sites: frozenset[int], location: Location) -> None:
        """The program detaches a real number that these sites reached."""
        for site in sites:
            self._of[site].detached_at = location

    def met_detached(self, site: int, places: frozenset[Location]) -> None:
        """The site was met on operands that the program detached at these places."""
        self._of[site].operands_detached_at |= places

    def used_without_gradients(self, sites: frozenset[int], block: Location) -> None:
        """Note that the no_grad block entered there uses a value that these sites reached."""
        for site in sites:
            self._of[site].ends_without_gradients_at = block

    def delivered(self, sites: frozenset[int]) -> None:
        """A result of the call carries the derivative of these sites."""
        for site in sites:
            self._of[site].reached_real = self._of[site].delivered = True

    def returned(self, sites: frozenset[int], dtype: torch.dtype) -> None:
        """A result of the call is the discrete value of these sites."""
        for site in sites:
            self._of[site].returned_as = str(dtype).removeprefix("torch.")

    def ended(self, sites: frozenset[int], operation: str, location: Location) -> None:
        """The derivative of these sites ends in an operation that gives none back."""
        for site in sorted(sites):
            self._of[site].uses[Use(operation, location.file, location.line, "hard")] = None
            self._of[site].ends[f"{operation} at {shown_place(location.file, location.line)}"] = None

    def cut(self, reason: str, location: Location) -> None:
        """The program ends a gradient here."""
        self.cuts[Cut(reason, location.file, location.line)] = None

    def returned_rows(self, sites: frozenset[int]) -> None:
        """A result of the call is rows that these sites select, or made of such."""
        for site in sites:
            self._of[site].returned_rows = True

    # -- regions -------------------------------------------------------------------------------------------------

    def join(self, sites: frozenset[int]) -> None:
        """The soft values of these sites meet: they are one region."""
        if len(sites) < 2 or sites in self._joined:
            return
        self._joined.add(sites)
        roots = {self.region(site) for site in sites}
        first = min(roots)
        for root in roots:
            self._regions[root] = first

    def region(self, site: int) -> int:
        """The first site of the region that a site belongs to."""
        while (parent := self._regions.get(site, site)) != site:
            site = parent
        return site


def _sites_of(softs: Iterable[Soft]) -> frozenset[int]:
    return frozenset[int]().union(*(soft.sites for soft in softs))
