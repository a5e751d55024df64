"""The runs that a softened call with control sites is made of: watched, and from the second on without a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private
from softfx.control.conditions import Conditions
from softfx.control.engine import Run, Runner
from softfx.control.modes import Bare, Watch, WatchedFast, WatchedFull
from softfx.control.path import Numbers, Path, Reading, Start
from softfx.control.provenance import Margin, Provenance
from softfx.control.traceless import Traceless, Writes
from softfx.decisions.evidence import Evidence
from softfx.decisions.measures import Measures
from softfx.decisions.site import Decision
from softfx.decisions.sites import Sites
from softfx.errors import ControlError
from softfx.interpreter.backends import Direct
from softfx.interpreter.fast_path import FastPathCache
from softfx.interpreter.interpreter import Interpreter
from softfx.interpreter.state import RunState
from softfx.locations import Location, Place, locate, module_paths
from softfx.ops.calls import Args, Function, Kwargs
from softfx.pipeline.session import BOUNDARY, Session
from softfx.rules import RULES
from softfx.rules.control import READ_REAL
from softfx.rules.rule import Rule
from softfx.values import Environment

__all__ = ["ControlRuns", "SitePlaces", "planning_mode"]


@dataclass(eq=False)
class ControlRuns(Runner):
    """The runs of one call of a softened target.

    root, owner, function, measures: as softfx.pipeline.execute.Eager is given them.
    """

    sites: Sites
    evidence: Evidence
    place: Place
    cache: FastPathCache
    root: object
    owner: object
    places: SitePlaces
    measures: Measures | None = None
    function: Function = field(init=False)
    traceless: Traceless = field(init=False)

    def __post_init__(self) -> None:
        self._paths = cache(lambda: module_paths(self.root))

    def first(self, function: Function, args: Args, kwargs: Kwargs, *, keeps: bool) -> Run:
        if torch_private.in_transform():
            raise ControlError(
                "softfx: a call with control sites is made inside a torch.func transform, where Python cannot decide "
                "by a tensor's value. Legal are ordinary calls and backward(). Call it outside of the transform, or "
                'keep these sites: op = "@control", action = "keep".'
            )
        self.function, self.traceless = function, Traceless(self.root, function, args, kwargs)
        with torch.set_grad_enabled(keeps):
            run = self._run(args, kwargs, Start(), None, keeps=keeps, measures=True)
        self.traceless.first_run_ended()
        self.evidence.control.spreads.settle()
        return run

    def again(self, start: Start, numbers: Numbers | None, *, keeps: bool, most: float) -> Run:
        with self.traceless.again() as (args, kwargs), torch.set_grad_enabled(keeps and torch.is_grad_enabled()):
            run = self._run(args, kwargs, start, numbers, keeps=keeps, measures=keeps, most=most)
        if keeps:
            self.evidence.control.spreads.settle()
        return run

    def _run(
        self, args: Args, kwargs: Kwargs, start: Start, numbers: Numbers | None, *, keeps: bool, measures: bool,
        most: float = float("inf"),
    ) -> Run:  # fmt: skip
        environment = Environment(self.cache.store)
        state = RunState(self.sites, self.evidence, Direct(), tracks_gradients=False, environment=environment)
        state.measures = self.measures
        interpreter = Interpreter(state)
        bare = not keeps and self.sites.exact_but_for_control
        mode: Any = Bare() if bare else self._mode(interpreter)
        mode.owner = self.owner
        where = self._where
        path = _path(mode, state, where, bare, self.places if not self._paths() else None)
        path.begin(start, numbers, keeps=keeps, measures=measures)
        mode.writes, mode.most, mode.notes = self.traceless.writes, most, path.looks
        session = Session(mode, interpreter)
        if bare:
            result = session.step(partial(self.function, *args, **kwargs))
        else:
            result = session.call(self.function, args, kwargs)
        return Run(result, path, mode)

    def _mode(self, interpreter: Interpreter) -> Watch:
        if self.evidence.overwritten:  # which calls are concerned only their places tell
            return WatchedFull(interpreter, self._where)
        return WatchedFast(interpreter, self.cache, self._where)

    def _where(self) -> Location:
        return locate(BOUNDARY, self._paths(), self.place)


def planning_mode(interpreter: Interpreter, where: Callable[[], Location]) -> WatchedFull:
    """The mode of a planning run, which finds the control sites and measures them."""
    mode = WatchedFull(interpreter, where)
    path = _path(mode, interpreter.state, where, bare=False)
    path.begin(Start(), None, keeps=False, measures=True)
    mode.writes = Writes()
    return mode


class SitePlaces:
    """The numbers of control sites by the instruction that reads, in targets without modules; a copy finds its own.

    There the instruction alone says which site it is, and walking the stack for its location takes longer than the
    call of a small program that it decides.
    """

    def __init__(self) -> None:
        self.known: dict[Any, int] = {}

    def __reduce__(self) -> tuple[type[SitePlaces], tuple[()]]:
        return SitePlaces, ()


def _path(
    mode: Watch, state: RunState, where: Callable[[], Location], bare: bool, places: SitePlaces | None = None
) -> Path:
    """The path of a run under `mode`. bare: nothing but control sites is looked for, among those that are known."""
    provenance = Provenance()
    sites = state.sites

    def found(rule: Rule) -> Decision | None:
        if places is None:
            return sites.known(rule, where())
        key = (*mode.reader, rule.name)
        if (site := places.known.get(key)) is None:
            decision = sites.known(rule, where())
            if decision is not None:
                places.known[key] = decision.id
            return decision
        return sites[site]

    def site(reading: Reading, tensor: Tensor) -> Decision | None:
        rule = RULES[mode.operation_of(reading)]
        if bare:
            decision = found(rule)
        else:
            depends = _depends_on_source(state, provenance, tensor)
            decision = _acting(state.sites, state.sites.at(rule, where())) if depends else None
        return decision if decision is not None and decision.acts else None

    mode.path = Path(provenance, Conditions(provenance, state.evidence.control), site)
    return mode.path


def _acting(sites: Sites, decision: Decision) -> Decision:
    """The decision about a control site; a real number is turned only where the policy says by what."""
    if decision.acts and decision.rule is READ_REAL and decision.resolved.estimator != "difference":
        reason = "a real number is read into Python: estimator = 'difference' acts on it, by two runs a read"
        return sites.replace(decision.kept(reason))
    return decision


def _depends_on_source(state: RunState, provenance: Provenance, tensor: Tensor) -> bool:
    """Return True if what is read depends on a source, or what it is made of out of the interpreter's sight does."""
    if state.environment.get(tensor) is not None or (made := provenance.get(tensor)) is None:
        return state.environment.facts(tensor).depends_on_source
    if isinstance(made, Margin):
        return made.value.requires_grad
    return any(_depends_on_source(state, provenance, operand) for operand in made.tensors)
