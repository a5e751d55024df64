"""The runs that a softened call with control sites is made of: watched, and from the second on without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from copy import copy
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from softfx import torch_private
from softfx.control.conditions import Conditions
from softfx.control.engine import Run, Runner
from softfx.control.guarding import Guarding, guards_alone
from softfx.control.guards import guards, is_condition
from softfx.control.light import Light, Scales, Shown, Unforeseen
from softfx.control.modes import Bare, Watch, WatchedFast, WatchedFull
from softfx.control.path import Numbers, Path, Reading, Start, nowhere
from softfx.control.provenance import Margin, Provenance
from softfx.control.settings import LIMIT, runs_alone, scoped_modules
from softfx.control.slots import COMPARISONS, READERS, put_in_place
from softfx.control.traceless import Printed, Traceless, Writes, silent
from softfx.control.versions_private import is_recorded
from softfx.decisions.evidence import Evidence
from softfx.decisions.measures import Measures
from softfx.decisions.site import Decision
from softfx.decisions.sites import Sites
from softfx.errors import ControlError
from softfx.interpreter.backends import Direct
from softfx.interpreter.fast_path import FastPathCache
from softfx.interpreter.interpreter import Interpreter
from softfx.interpreter.state import RunState
from softfx.locations import Location, Place, is_user_file, locate, module_paths
from softfx.ops.calls import Args, Function, Kwargs
from softfx.pipeline.session import BOUNDARY, Session, run_under
from softfx.rules import RULES
from softfx.rules.control import MEMBERSHIP, READ_REAL
from softfx.rules.rule import Rule
from softfx.torch_private import has_no_values
from softfx.values import Environment

__all__ = ["ControlRuns", "planning_mode"]


_LEAST_READS = 1000  # that a light run may make, whatever the longest one made


@dataclass(eq=False)
class ControlRuns(Runner):
    """The runs of one call of a softened target.

    root, owner, function, measures: as softfx.pipeline.execute.Eager is given them.
    shown: what runs of the target have shown so far.
    before: of runs of a part of the call, the path of the whole as it was where the part begins.
    modules: those that are run again alone.
    """

    sites: Sites
    evidence: Evidence
    place: Place
    cache: FastPathCache
    root: object
    owner: object
    shown: Shown
    measures: Measures | None = None
    before: Path | None = None
    function: Function = field(init=False)
    traceless: Traceless = field(init=False)
    kept: tuple[Watch, Path] | None = field(default=None, init=False)  # the run that is on, if its points are wanted

    def __post_init__(self) -> None:
        self._paths = cache(lambda: module_paths(self.root))
        self._says_all = cache(lambda: runs_alone(self.root))
        self.modules = scoped_modules(self.root, self.sites)
        self._may_be_bare = self.sites.exact_but_for_control
        self._guards = any(decision.acts for decision in self.sites if decision.rule.family != "control")
        looked_at = self.measures is not None or bool(self.evidence.overwritten)
        self._are_alone = self._may_be_bare and not (looked_at or self.sites.lifts_any)
        self._are_alone = self._are_alone and (not self._guards or guards_alone(self.sites, self.evidence))
        self._light = self._are_noted = False
        self._noting = ExitStack()
        self._scales: Scales = {}

    @contextmanager
    def opened(self) -> Iterator[None]:
        """A block for the call: runs in it may be light ones."""
        self._light = self.shown.fits and bool(self.shown.readers) and self._may_be_bare
        # Each run is within such a block; the first one to be entered takes the time.
        with torch_private.PythonOnly(), self._in_place(), self._noting:
            yield

    def _in_place(self) -> AbstractContextManager[None]:
        """What light runs see of any run: reads, and the comparisons that conditions are made by."""
        return put_in_place(READERS | self.shown.noted & COMPARISONS) if self._light else nullcontext()

    def _note_or_not(self, notes: bool) -> None:
        """Have calls that conditions are made by told to light runs, or to none where the next one does not ask."""
        if notes != self._are_noted:
            self._are_noted = notes
            if notes:
                self._noting.enter_context(put_in_place(self.shown.noted))
            else:
                self._noting.close()

    def first(self, function: Function, args: Args, kwargs: Kwargs, *, keeps: bool) -> Run:
        _refuse_where_values_are_missing(args, kwargs)
        self.function, self.traceless = function, Traceless(self.root, function, args, kwargs, self.shown.draws)
        wants = self.evidence.control.spreads.wants
        measures = keeps or any(wants(site.id) for site in self.sites if site.rule.family == "control" and site.acts)
        self._begun = partial(self._first, _Wanted(Start(), None, keeps, measures), args, kwargs)
        return self._begun()

    def first_again(self) -> Run:
        with silent():
            return self._begun()

    def _first(self, wanted: _Wanted, args: Args, kwargs: Kwargs) -> Run:
        with torch.set_grad_enabled(wanted.keeps):
            run = self._tried(wanted, args, kwargs) if self._lightens(wanted) else self._watched(wanted, args, kwargs)
        self.traceless.first_run_ended()
        self.shown.draws = self.traceless.draws
        self.evidence.control.spreads.settle()
        return run

    def _tried(self, wanted: _Wanted, args: Args, kwargs: Kwargs) -> Run:
        """The first run, lightly; where that is left, what it did is undone, and it is made again under a mode."""
        with Printed() as printed:
            try:
                return self._lightly(wanted, args, kwargs)
            except Unforeseen:
                self.traceless.undo()
                printed.again()
                return self._watched(wanted, args, kwargs)

    def further(self) -> AbstractContextManager[None]:
        return self.traceless.further()

    def again(self, start: Start, numbers: Numbers | None, *, keeps: bool, most: float) -> Run:
        wanted = _Wanted(start, numbers, keeps, keeps, most)
        wanted.measures = measures = keeps or wanted.is_drawn
        with torch.set_grad_enabled(keeps and torch.is_grad_enabled()):
            run = None
            if self._lightens(wanted):
                with suppress(Unforeseen):
                    run = self._lightly(wanted, *self.traceless.from_the_start())
            if run is None:
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

    def _lightly(self, wanted: _Wanted, args: Args, kwargs: Kwargs) -> Run:
        path = wanted.path(self.evidence, self.before)
        self._note_or_not(path.looks)
        most = _LEAST_READS + LIMIT * self.shown.reads
        guarded = self._guards and wanted.keeps
        light = Light(
            path, self.shown, self._scales, self.sites, most=most, closeness=wanted.closeness, modes=int(guarded)
        )
        light.owner = self.owner
        path.site = sites = _Sites(self.sites, light, path, self.shown, self._where, self._says_all)
        if not guarded:
            return Run(run_under(light, self.function, args, kwargs), path, light.calls)
        with light:
            guarding = Guarding(light, sites.known, self.sites, self.evidence)
            return Run(run_under(guarding, self.function, args, kwargs), path, light.calls)

    def _watched(self, wanted: _Wanted, args: Args, kwargs: Kwargs) -> Run:
        environment = Environment(self.cache.store)
        state = RunState(self.sites, self.evidence, Direct(), tracks_gradients=False, environment=environment)
        state.measures = self.measures
        interpreter = Interpreter(state)
        bare = self._may_be_bare and not (wanted.keeps or wanted.is_drawn)
        mode: Any = Bare() if bare else self._mode(interpreter)
        mode.owner = self.owner
        path = wanted.path(self.evidence, self.before)
        path.site = _Sites(self.sites, mode, path, self.shown, self._where, self._says_all, None if bare else state)
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
        return locate(BOUNDARY, self._paths(), self.place)


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
    path.site = _Sites(state.sites, mode, path, Shown(), where, lambda: runs_alone(root), state)
    mode.begin(path, Writes(), float("inf"))
    mode.finds_members = state.sites.policy.decides_members
    return mode


@dataclass(eq=False, slots=True)
class _Sites:
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
        decision = self.sites.known(rule, self.where())
        if decision is not None and self.says_all() and is_user_file(self.run.code.co_filename):
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


def _depends_on_source(state: RunState, provenance: Provenance, tensor: Tensor) -> bool:
    """Return True if what is read depends on a source, or what it is made of out of the interpreter's sight does."""
    if state.environment.get(tensor) is not None or (made := provenance.get(tensor)) is None:
        return state.environment.facts(tensor).depends_on_source
    if isinstance(made, Margin):
        return made.has_derivative
    return any(_depends_on_source(state, provenance, operand) for operand in made.tensors)
