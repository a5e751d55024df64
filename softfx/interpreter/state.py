"""The state of one run: everything that its calls read and write, in one object."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import torch
from torch import Tensor

from softfx.decisions.evidence import Evidence
from softfx.decisions.measures import Measures
from softfx.decisions.sites import Sites
from softfx.interpreter.backends import Backend
from softfx.interpreter.observer import Observer
from softfx.interpreter.records import (
    ByPlace,
    Clip,
    Exchange,
    Foreign,
    Lookup,
    Moved,
    Pointwise,
    Statistic,
    Term,
    ViewRead,
)
from softfx.interpreter.writes import Writes
from softfx.locations import Location
from softfx.torch_private import StorageReference
from softfx.values import Environment, Storages, TensorTable

__all__ = ["GradMode", "RunState"]


@dataclass
class GradMode:
    """The grad mode around the run, and the place where the program last switched gradients off.

    lifted_at: where it did so for the block that runs now, if that is lifted.
    """

    ambient: bool = field(default_factory=torch.is_grad_enabled)
    switched_off_at: Location | None = None
    lifted_at: Location | None = None

    @property
    def is_switched_off(self) -> bool:
        """True if it is the program that has switched gradients off."""
        return self.ambient and not torch.is_grad_enabled()


@dataclass
class RunState:
    """The state of one run of a program.

    sites: the decisions.
    evidence: what the run sees of the sites.
    backend: carries out its calls.
    planning: the run is a trial, on which is settled what stands against softening a site.
    tracks_gradients: it is noted which sites' derivative each real number carries.
    environment: the facts of its tensors.
    sums: the few tensors that a tensor is the sum of, where that may be straight-through code of the program.
    lookups: where a tensor was looked up by a soft index, and what was added to it since.
    statistics: what the order statistics among its tensors were taken of.
    clips: what was clipped, of clipped numbers that may be compared with the number at which they were.
    points: how real numbers were made of one decision, element by element, where that may be asked.
    moved: how tensors were moved out of others, of which statistics may be taken.
    by_place: what calls have made of what a choice looked up, each place by itself.
    storages: those that several tensors share and that were written softly.
    whole: whether constants hold whole numbers, with the version that was read.
    seen: the number of the last write to such a storage that the facts of a tensor on it follow.
    writes: those that its calls have made in place.
    reads: for each storage the calls whose derivative may keep it, by operation and place, as planning meets them.
    read_storages: references to these storages, so that no later one has the key of one that is gone.
    foreign: the storages of tensors that the call has not made itself, as planning meets them.
    observer: sees calls as they are made.
    turns: how often the run has met each site whose softness is in spreads.
    measures: the spreads of what sites decide about, while these are measured.
    met: the sites that a planning run met.
    looks_for_learning: it is noted what learns of the choices that sites make.
    exchange: the exchanges of a further run, in which some of what sites choose is exchanged.
    live: a planning run is a call whose result counts, and no trial before.
    view_reads: look-ups that the original answers with a view, as planning meets them.
    read_views: the tensors that these gave, and views of them.
    """

    sites: Sites
    evidence: Evidence
    backend: Backend
    planning: bool = False
    tracks_gradients: bool = True
    environment: Environment = field(default_factory=Environment)
    grad_mode: GradMode = field(default_factory=GradMode)
    sums: TensorTable[tuple[Term, ...]] = field(default_factory=TensorTable)
    lookups: TensorTable[Lookup] = field(default_factory=TensorTable)
    statistics: TensorTable[Statistic] = field(default_factory=TensorTable)
    clips: TensorTable[Clip] = field(default_factory=TensorTable)
    points: TensorTable[Pointwise] = field(default_factory=TensorTable)
    moved: TensorTable[Moved] = field(default_factory=TensorTable)
    by_place: TensorTable[ByPlace] = field(default_factory=TensorTable)
    storages: Storages = field(default_factory=Storages)
    whole: TensorTable[tuple[int, bool]] = field(default_factory=TensorTable)
    seen: TensorTable[int] = field(default_factory=TensorTable)
    writes: Writes = field(default_factory=Writes)
    reads: dict[int, set[tuple[str, Location]]] = field(default_factory=dict)
    read_storages: dict[int, StorageReference] = field(default_factory=dict)
    foreign: Foreign = field(default_factory=Foreign)
    observer: Observer | None = None
    turns: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    measures: Measures | None = None
    met: set[int] = field(default_factory=set)
    live: bool = False
    looks_for_learning: bool = False
    exchange: Exchange | None = None
    view_reads: list[ViewRead] = field(default_factory=list)
    read_views: TensorTable[ViewRead] = field(default_factory=TensorTable)

    def forget(self, tensor: Tensor) -> None:
        """Forget how a tensor was made: it has been written."""
        self.sums.discard(tensor)
        self.lookups.discard(tensor)

    def note_end_without_gradients(self, sites: frozenset[int]) -> None:
        """Note that what these sites reached is used where the program has switched gradients off."""
        if self.grad_mode.ambient and self.grad_mode.switched_off_at is not None:
            self.evidence.used_without_gradients(sites, self.grad_mode.switched_off_at)
