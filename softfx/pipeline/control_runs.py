"""The runs that a softened call with control sites is made of: watched, and from the second on without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from softfx import torch_private
from softfx.control.conditions import Conditions
from softfx.control.engine import Run, Runner
from softfx.control.given import ShownByGiven
from softfx.control.guarding import BySlots, Guarding, Guards, guards_alone
from softfx.control.light import BY_SLOTS, Light, Scales, Shown, Unforeseen
from softfx.control.modes import Bare, Watch, WatchedFast, WatchedFull
from softfx.control.path import Numbers, Path, Start, nowhere
from softfx.control.provenance import Provenance
from softfx.control.settings import LIMIT, runs_alone, scoped_modules
from softfx.control.slots import COMPARISONS, READERS, put_in_place
from softfx.control.traceless import Printed, Traceless, Writes, silent
from softfx.control.versions_private import is_recorded
from softfx.decisions.evidence import Evidence
from softfx.decisions.measures import Measures
from softfx.decisions.sites import Sites
from softfx.errors import ControlError
from softfx.interpreter.backends import Direct
from softfx.interpreter.fast_path import FastPathCache
from softfx.interpreter.interpreter import Interpreter
from softfx.interpreter.state import RunState
from softfx.locations import Location, Place, locate, module_paths
from softfx.ops.calls import Args, Function, Kwargs
from softfx.pipeline.control_sites import ReadingSites
from softfx.pipeline.session import BOUNDARY, Session, run_under
from softfx.torch_private import has_no_values
from softfx.values import Environment

__all__ = ["ControlRuns", "planning_mode"]


_LEAST_READS = 1000  # that a light run may make, whatever the longest one made


@dataclass(eq=False)
class ControlRuns(Runner):
    """The runs of one call of a softened target.

    root, owner, function, measures: as softfx.pipeline.execute.Eager is given them.
    shown_by_given: what runs of the target have shown so far; shown: for what this call is given.
    before: of runs of a part of the call, the path of the whole as it was where the part begins.
    modules: those that are run again alone.
    """

    sites: Sites
    evidence: Evidence
    place: Place
    cache: FastPathCache
    root: object
    owner: object
    shown_by_given: ShownByGiven
    measures: Measures | None = None
    before: Path | None = None
    shown: Shown = field(init=False)
    function: Function = field(init=False)
    traceless: Traceless = field(init=False)
    kept: tuple[Watch, Path] | None = field(default=None, init=False)  # the run that is on, if its points are wanted

    def __post_init__(self) -> None:
        self.modules = scoped_modules(self.root, self.sites)
        self._may_be_bare = self.sites.exact_but_for_control
        self._guards = any(decision.acts for decision in self.sites if decision.rule.family != "control")
        looked_at = self.measures is not None or bool(self.evidence.overwritten)
        self._are_alone = self._may_be_bare and not (looked_at or self.sites.lifts_any)
        self._are_alone = self._are_alone and (not self._guards or guards_alone(self.sites, self.evidence))
        self._light = self._are_noted = False
        self._in_place, self._noting = frozenset[Function](), ExitStack()
        self._scales: Scales = {}
        self._turning: dict[bool, Light] = {}  # the runs with turned answers, by whether they are drawn

    @contextmanager
    def opened(self, function: Function, args: Args, kwargs: Kwargs) -> Iterator[None]:
        """A block for a call: runs in it may be light ones."""
        _refuse_where_values_are_missing(args, kwargs)
        self.function, self.traceless = function, Traceless(self.root, function, args, kwargs)
        self.shown = self.shown_by_given.of(self.traceless.leaves, self.traceless.start)
        if self.shown.draws:
            self.traceless.draws = True
            self.traceless.may_draw()
        self._light = self.shown.fits and bool(self.shown.readers) and self._may_be_bare
        # What light runs see of any run: reads, and the comparisons that conditions are made by.
        self._in_place = READERS | self.shown.noted & COMPARISONS if self._light else frozenset()
        # Each run is within such a block; the first one to be entered takes the time.
        with torch_private.PythonOnly(), put_in_place(self._in_place), self._noting:
            try:
                yield
            finally:
                for light in self._turning.values():
                    light.close()

    def _note_or_not(self, notes: bool) -> None:
        """Have other calls that conditions are made by told to light runs, or to none where the next does not ask."""
        if notes != self._are_noted:
            self._are_noted = notes
            if notes and not self.shown.noted <= self._in_place:
                self._noting.enter_context(put_in_place(self.shown.noted - self._in_place))
            else:
                self._noting.close()

    def first(self, function: Function, args: Args, kwargs: Kwargs, *, keeps: bool) -> Run:
        wants = self.evidence.control.spreads.wants
        measures = keeps or any(wants(site.id) for site in self.sites if site.rule.family == "control" and site.acts)
        self._begun = _Wanted(Start(), None, keeps, measures), args, kwargs
        return self._first(*self._begun)

    def first_again(self) -> Run:
        with silent():
            return self._first(*self._begun)

    def _first(self, wanted: _Wanted, args: Args, kwargs: Kwargs) -> Run:
        with torch.set_grad_enabled(wanted.keeps):
            run = self._tried(wanted, args, kwargs) if self._lightens(wanted) else self._watched(wanted, args, kwargs)
        self.traceless.first_run_ended()
        self.shown.draws = self.traceless.draws
        self.evidence.control.spreads.settle()
        return run

    def _tried(self, wanted: _Wanted, args: Args, kwargs: Kwargs) -> Run:
        """The first run, lightly; where that is left, what it did is undone, and it is made again under a mode."""
        before = self.traceless.writes_so_far()
        with Printed() as printed:
            for by_slots in self._ways_to_guard(wanted):
                try:
                    run = self._lightly(wanted, args, kwargs, by_slots)
                    self._light = self.traceless.writes_so_far() == before  # else further runs are watched, and undone
                    return run
                except Unforeseen:
                    self.traceless.undo()
                    printed.again()
            return self._watched(wanted, args, kwargs)

    def further(self) -> AbstractContextManager[None]:
        return self.traceless.further()

    def again(self, start: Start, numbers: Numbers | None, *, keeps: bool, most: float) -> Run:
        is_turned = bool(start.answers) and not keeps
        if is_turned and self._light and self.shown.fits:
            with suppress(Unforeseen):
                return self._turned(start, numbers)
        wanted = _Wanted(start, numbers, keeps, keeps, most)
        wanted.measures = measures = keeps or wanted.is_drawn
        with torch.set_grad_enabled(keeps and torch.is_grad_enabled()):
            for by_slots in self._ways_to_guard(wanted) if not is_turned and self._lightens(wanted) else ():
                with suppress(Unforeseen):
                    run = self._lightly(wanted, *self.traceless.from_the_start(), by_slots)
                    break
            else:
                run = self._again(wanted)
        if measures:
            self.evidence.control.spreads.settle()
            self._scales.clear()
        self.shown.draws = self.traceless.draws
        return run

    def _again(self, wanted: _Wanted) -> Run:
        """A further run under a mode. What it writes is put back before its derivative is taken."""
        traceless = self.traceless
        writes = traceless.writes
        if not (wanted.keeps and writes.tensors):
            run = self._watched(wanted, *traceless.from_the_start())
            if not (wanted.keeps and writes.tensors):
                return run
        if writes.transformed:
            return self._watched(wanted, *traceless.from_the_start())
        with traceless.saving():
            return self._watched(wanted, *traceless.from_the_start())

    def _lightens(self, wanted: _Wanted) -> bool:
        if wanted.keeps and (not self._are_alone or self.modules or (self._guards and not self.shown.fits_guards)):
            return False
        return self._light and self.shown.fits

    def _ways_to_guard(self, wanted: _Wanted) -> tuple[bool, ...]:
        """How a light run is to be told of guarded calls, one way after the other: by slots, or by a mode."""
        shown = self.shown
        if not (self._guards and wanted.keeps):
            return (False,)
        return (True, False) if shown.guarded and shown.fits_slots and not wanted.start.answers else (False,)

    def _turned(self, start: Start, numbers: Numbers | None) -> Run:
        """A light run that goes another way. There are many, of which only results are wanted: one object makes all."""
        is_drawn = numbers is not None
        if (light := self._turning.get(is_drawn)) is None:
            wanted = _Wanted(start, numbers, False, False)
            light = self._turning[is_drawn] = self._light_run(wanted, wanted.closeness)[0]
        else:
            light.begin_again(start, numbers, self._most_reads)
        self._note_or_not(is_drawn)
        args, kwargs = self.traceless.from_the_start()
        if torch.is_grad_enabled():  # a run before has left it so
            torch.set_grad_enabled(False)
        return Run(run_under(light, self.function, args, kwargs), light.path, light.calls)

    @property
    def _most_reads(self) -> float:
        return _LEAST_READS + LIMIT * self.shown.reads

    def _light_run(self, wanted: _Wanted, closeness: int, modes: int = 0) -> tuple[Light, ReadingSites]:
        """A light run that is to begin, and what finds its sites."""
        path = wanted.path(self.evidence, self.before)
        light = Light(
            path, self.shown, self._scales, self.sites, most=self._most_reads, closeness=closeness, modes=modes
        )
        light.owner = self.owner
        path.site = sites = ReadingSites(self.sites, light, path, self.shown, self._where, self._says_all)
        return light, sites

    def _lightly(self, wanted: _Wanted, args: Args, kwargs: Kwargs, by_slots: bool) -> Run:
        guarded = self._guards and wanted.keeps
        closeness = BY_SLOTS if by_slots else wanted.closeness
        light, sites = self._light_run(wanted, closeness, int(guarded and not by_slots))
        path = light.path
        self._note_or_not(path.looks)
        try:
            if not guarded:
                return Run(run_under(light, self.function, args, kwargs), path, light.calls)
            guards = Guards(light, sites.known, self.sites, self.evidence)
            with put_in_place((), self.shown.guarded if self.shown.fits_slots else ()), light:
                if by_slots:
                    light.guard = BySlots(guards)
                    return Run(run_under(nullcontext(), self.function, args, kwargs), path, light.calls)
                guarding = Guarding(guards, self.shown.guarded)
                result = run_under(guarding, self.function, args, kwargs)
                self.shown.learn_guards(light, guarding.found)
                return Run(result, path, light.calls)
        finally:
            light.close()

    def _watched(self, wanted: _Wanted, args: Args, kwargs: Kwargs) -> Run:
        self.traceless.may_draw()
        environment = Environment(self.cache.store)
        state = RunState(self.sites, self.evidence, Direct(), tracks_gradients=False, environment=environment)
        state.measures = self.measures
        interpreter = Interpreter(state)
        bare = self._may_be_bare and not (wanted.keeps or wanted.is_drawn)
        mode: Any = Bare() if bare else self._mode(interpreter)
        mode.owner = self.owner
        path = wanted.path(self.evidence, self.before)
        path.site = ReadingSites(
            self.sites, mode, path, self.shown, self._where, self._says_all, None if bare else state
        )
        path.provenance.writes = path.provenance.writes or self.shown.writes
        mode.begin(path, self.traceless.writes, wanted.most)
        mode.finds_members = self.sites.policy.decides_members
        session = Session(mode, interpreter)
        self.kept = (mode, path) if wanted.keeps else None
        try:
            if bare:
                result = session.step(partial(self.function, *args, **kwargs))
            else:
                result = session.call(self.function, args, kwargs)
        finally:
            self.kept = None
        self.shown.learn(mode, wanted.closeness)
        return Run(result, path, mode.calls)

    def part(self, module: nn.Module, traceless: Traceless, before: Path) -> ControlRuns:
        """The further runs of one call of a module in this call. before: what was read when it began."""
        part = copy(self)
        part.function, part.traceless, part.before = module, traceless, before
        part._light, part.kept = False, None
        return part

    def _mode(self, interpreter: Interpreter) -> Watch:
        return WatchedFast(interpreter, self.cache, self._where)

    def _where(self) -> Location:
        return locate(BOUNDARY, self._paths, self.place)

    def _says_all(self) -> bool:
        return self._runs_alone

    @cached_property
    def _paths(self) -> dict[int, str]:
        return module_paths(self.root)

    @cached_property
    def _runs_alone(self) -> bool:
        return runs_alone(self.root)


@dataclass(eq=False, slots=True)
class _Wanted:
    """How a run is to go. The fields are those of a path; most: the calls that it may make."""

    start: Start
    numbers: Numbers | None
    keeps: bool
    measures: bool
    most: float = float("inf")

    @property
    def closeness(self) -> int:
        """How closely the run looks: 2 for its points, or sites that are not known; else 1 for what conditions are made
        of, 0 for its reads alone.
        """
        return 2 if self.keeps or self.is_drawn else int(self.measures or self.numbers is not None)

    @property
    def is_drawn(self) -> bool:
        """True for a path that is drawn from its start on: it comes where the program itself may never have been."""
        return self.numbers is not None and not self.start.answers

    def path(self, evidence: Evidence, before: Path | None = None) -> Path:
        if before is None:
            provenance = Provenance()
            path = Path(provenance, Conditions(provenance, evidence.control), nowhere)
        else:
            path = before.begun_again()
        path.begin(self.start, self.numbers, keeps=self.keeps, measures=self.measures)
        return path


def planning_mode(interpreter: Interpreter, where: Callable[[], Location], root: object) -> WatchedFull:
    """The mode of a planning run, which finds the control sites and measures them."""
    mode, state = WatchedFull(interpreter, where), interpreter.state
    path = _Wanted(Start(), None, False, True).path(state.evidence)
    path.plans = True
    path.site = ReadingSites(state.sites, mode, path, Shown(), where, lambda: runs_alone(root), state)
    mode.begin(path, Writes(), float("inf"))
    mode.finds_members = state.sites.policy.decides_members
    return mode


def _refuse_where_values_are_missing(args: Args, kwargs: Kwargs) -> None:
    """Raise where the call is not made for its values: Python would decide once for all, in silence."""
    if torch_private.in_transform():
        what = "inside a torch.func transform, where Python cannot decide by a tensor's value"
    elif is_recorded():
        what = "while a graph is recorded (torch.export, torch.jit.trace, make_fx), which has no further runs"
    elif any(isinstance(leaf, Tensor) and has_no_values(leaf) for leaf in torch_private.leaves((args, kwargs))):
        what = "on tensors without values (torch.export, FakeTensorMode), by which Python cannot decide"
    else:
        return
    raise ControlError(
        f"softfx: a call with control sites is made {what}. Legal are ordinary calls and backward(), and under "
        "torch.compile, which leaves such a call to Python. Call it outside; under torch.no_grad() for the program as "
        "it is; or keep "
        'these sites: op = "@control", action = "keep".'
    )
