"""Executors run what was softened: the rewritten graph where it is known to hold, the original Python otherwise.

`Eager` runs the original under a torch function mode that hands every torch call to the interpreter; it follows any
Python. `Graph` runs the rewritten graph, for the signature that it was captured with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private
from softfx.capture import left_attributes, left_buffers
from softfx.capture.example import function_of
from softfx.capture.executed import Ran, executed
from softfx.capture.later import exhausted
from softfx.capture.preserve import Preserved, copied
from softfx.capture.program import Program
from softfx.capture.unreached import sources_of, unreached_sources
from softfx.control.draws import Draws
from softfx.control.engine import Engine
from softfx.control.given import ShownByGiven
from softfx.control.settings import Settings
from softfx.decisions.evidence import Evidence
from softfx.decisions.measures import Measures
from softfx.decisions.sites import Sites
from softfx.interpreter.backends import Direct
from softfx.interpreter.fast_path import FastPathCache
from softfx.interpreter.interpreter import Interpreter
from softfx.interpreter.lifting import kept_tensors, note_given, note_kept
from softfx.interpreter.observer import Observer
from softfx.interpreter.state import RunState
from softfx.interpreter.torch_mode import FastMode, FullMode
from softfx.interpreter.view_reads import note_results
from softfx.locations import Location, Place, locate, module_paths, resolve, table_of
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.trees import BARE
from softfx.pipeline import serialize
from softfx.pipeline.control_modules import hooked
from softfx.pipeline.control_runs import ControlRuns, planning_mode
from softfx.pipeline.exchanged_runs import ExchangedRuns, gives_number
from softfx.pipeline.prepared import prepared
from softfx.pipeline.reads import is_apart, state_read
from softfx.pipeline.rewrite import Rewritten
from softfx.pipeline.session import BOUNDARY, Session
from softfx.pipeline.settings import Setting, holds
from softfx.pipeline.signatures import flattened, signature
from softfx.pipeline.snapshot import Snapshot
from softfx.replay.recording import Recorder, RecordingMode, recorded_state
from softfx.replay.replaying import ReplayingMode
from softfx.replay.tapes import Tape, Tapes
from softfx.traces.traced import Traced
from softfx.values import Environment, ValueFacts
from softtorch.scope import outside

__all__ = ["Eager", "Graph"]


@dataclass
class Eager:
    """The original Python under the decisions about its sites.

    place: stands in for the line of calls that no user code makes.
    shown: what the runs of its control sites have shown.
    draws: the numbers that control sites are drawn by.
    fast: calls that the interpreter would make as they are may go past it, and a run by the recording of another.
    """

    sites: Sites
    evidence: Evidence
    place: Place
    fast: bool = True
    cache: FastPathCache = field(default_factory=FastPathCache, repr=False, compare=False)
    tapes: Tapes = field(default_factory=Tapes, repr=False, compare=False)
    draws: Draws = field(default_factory=Draws)
    shown: ShownByGiven = field(default_factory=ShownByGiven, repr=False, compare=False)

    @torch_private.uncompiled
    def __call__(
        self,
        root: object,
        function: Function,
        args: Args,
        kwargs: Kwargs,
        owner: object = None,
        measures: Measures | None = None,
    ) -> Result:
        """`function(*args, **kwargs)`, softened.

        root: the module whose paths the sites name.
        owner: the softened thing whose run it is: what is called of it inside is a part of the run.
        measures: where the spreads that softness is relative to are noted, if they are measured.
        """
        if self.sites.policy.turns:
            return self._turning(root, function, args, kwargs, owner, measures)
        if measures is None and torch.is_grad_enabled() and self.sites.exchanges:
            once, again = partial(self._once, root), partial(self._interpreted, root)
            return ExchangedRuns(once, again, self.evidence, self.draws).call(root, function, args, kwargs, owner)
        return self._once(root, function, args, kwargs, owner, measures)

    def _once(
        self, root: object, function: Function, args: Args, kwargs: Kwargs, owner: object,
        measures: Measures | None = None,
    ) -> Result:  # fmt: skip
        """One run, with the value of the call."""
        if self.fast and measures is None:
            leaves = flattened(args, kwargs)[0]
            tape = self.tapes.of_call(self.sites, self.evidence, root, function, leaves)
            if tape is not None:
                return self._by_tape(tape, root, function, args, kwargs, owner, leaves)
        return self._interpreted(root, function, args, kwargs, owner, measures=measures)

    def _interpreted(
        self, root: object, function: Function, args: Args, kwargs: Kwargs, owner: object, **of_state: Any
    ) -> Result:
        """A run that no recording is followed in. of_state: what its state has besides."""
        environment, sites = Environment(self.cache.store), self.sites
        state = RunState(sites, self.evidence, Direct(), tracks_gradients=False, environment=environment, **of_state)
        return self._session(state, root, owner, fast=self.fast).call(function, args, kwargs)

    def _by_tape(
        self, tape: Tape, root: object, function: Function, args: Args, kwargs: Kwargs, owner: object,
        leaves: Sequence[Any],
    ) -> Result:  # fmt: skip
        """The same by the recording of a run, or the run that is recorded."""
        given = list({id(leaf): leaf for leaf in leaves if isinstance(leaf, Tensor)}.values())
        where = self._where(root)
        if tape.steps is not None:
            environment = Environment(self.cache.store)
            state = RunState(self.sites, self.evidence, Direct(), tracks_gradients=False, environment=environment)
            replaying = ReplayingMode(Interpreter(state), self.cache, where, tape.steps, tape.places, given)
            try:
                return self._under(replaying, state, root, owner).call(function, args, kwargs)
            finally:
                tape.note(replaying.close())
        recorder = Recorder()
        state = recorded_state(self.sites, self.evidence, self.cache.store, recorder)
        recording = RecordingMode(Interpreter(state), self.cache, where, recorder, BOUNDARY)
        try:
            result = self._under(recording, state, root, owner).call(function, args, kwargs)
            tape.write(recorder, given, self.sites, self.evidence)
        finally:
            recorder.give_up("the run is over")
        return result

    def _turning(
        self, root: object, function: Function, args: Args, kwargs: Kwargs, owner: object, measures: Measures | None
    ) -> Result:
        """A call of a target whose control flow has a derivative, by several runs."""
        runs = ControlRuns(self.sites, self.evidence, self.place, self.cache, root, owner, self.shown, measures)
        settings = Settings.of(self.sites)
        random = self.draws.next(settings.seed)
        engine = Engine(runs, settings, self.evidence.control, random)
        with runs.opened(function, args, kwargs), hooked(runs, settings, random):
            return engine.call(function, args, kwargs)

    def planned(
        self, root: object, function: Function, args: Args, kwargs: Kwargs, owner: object
    ) -> tuple[Result, set[int]]:
        """The same as a call, and the sites that it met: their decisions can be settled by its evidence."""
        self.tapes.clear()
        state = RunState(self.sites, self.evidence, Direct(), planning=True, live=True)
        return self._session(state, root, owner).call(function, args, kwargs), state.met

    def learning(self, root: object, function: Function, args: Args, kwargs: Kwargs, owner: object) -> Result:
        """The same as a call, which shows what learns in it."""
        self.tapes.clear()
        state = RunState(self.sites, self.evidence, Direct(), looks_for_learning=True)
        result = self._session(state, root, owner).call(function, args, kwargs)
        self.evidence.gives_number = gives_number(result)
        return result

    def trial(self, target: Any, args: Args, kwargs: Kwargs, touched: list[Any]) -> None:
        """Plan by a call that leaves no trace.

        touched: tensors and generators outside of the module that the call changes.
        """
        self._tried(RunState(self.sites, self.evidence, Direct(), planning=True), target, args, kwargs, touched)

    def measure(self, target: Any, args: Args, kwargs: Kwargs, touched: list[Any]) -> None:
        """Measure the spreads that softness is relative to, by a call that leaves no trace. Arguments as of `trial`."""
        state = RunState(self.sites, self.evidence, Direct(), measures=Measures(), looks_for_learning=True)
        self._tried(state, target, args, kwargs, touched)

    def _tried(self, state: RunState, target: Any, args: Args, kwargs: Kwargs, touched: list[Any]) -> None:
        self.tapes.clear()
        with _traceless(target, touched):
            self._tried_here(state, target, args, kwargs, touched)

    def _tried_here(self, state: RunState, target: Any, args: Args, kwargs: Kwargs, touched: list[Any]) -> None:
        """A call on copies of its arguments, whose trace is to be removed."""
        own_args, own_kwargs = _own(args, kwargs)
        for tensor in kept_tensors(target) if state.planning else ():
            note_given(state, tensor)
        result = self._session(state, target).call(function_of(target), own_args, own_kwargs)
        if state.looks_for_learning:
            self.evidence.gives_number = gives_number(result)
        exhausted(result)
        note_kept(state, target)
        given = [leaf for leaf in torch_private.leaves((own_args, own_kwargs, touched)) if isinstance(leaf, Tensor)]
        note_results(state, (*given, *kept_tensors(target)))

    def unreached(self, target: Any, args: Args, kwargs: Kwargs, touched: list[Any]) -> list[str]:
        """The parameters and inputs that get no gradient in a call as decided, which leaves no trace.

        touched: tensors and generators outside of the module that the call changes.
        """
        function = function_of(target)
        with _traceless(target, touched):
            own_args, own_kwargs = _own(args, kwargs)
            state = RunState(self.sites, self.evidence, Direct(), tracks_gradients=False)
            result = self._session(state, target).call(function, own_args, own_kwargs)
            sources = sources_of(target, function, own_args, own_kwargs)
            return unreached_sources(torch_private.leaves(result), sources)

    def left(self, target: Any, args: Args, kwargs: Kwargs, program: Program) -> tuple[list[str], list[str]]:
        """The buffers and the other attributes in which a call as decided, which leaves no trace, leaves a derivative.

        The original's leaves none there.
        """
        state = RunState(self.sites, self.evidence, Direct(), tracks_gradients=False)
        with _traceless(target, program.touched):
            self._tried_here(state, target, *_with_derivatives(args, kwargs), [])
            buffers = left_buffers.carrying(target, program.changed_buffers)
            return buffers, left_attributes.carrying(target, program.changed_attributes)

    def executed(self, target: Any, args: Args, kwargs: Kwargs, touched: list[Any]) -> list[Ran] | None:
        """The code of the target's own that a call runs, by one that leaves no trace. Arguments as of `trial`."""
        state = RunState(self.sites, self.evidence, Direct(), tracks_gradients=False)
        return executed(lambda: self._tried(state, target, args, kwargs, touched), is_apart)

    def observed(self, observer: Observer, root: object, function: Function, args: Args, kwargs: Kwargs) -> Result:
        """The same as a call, every call of the program seen by an observer."""
        state = RunState(self.sites, self.evidence, Direct(), observer=observer)
        return self._session(state, root).call(function, args, kwargs)

    def _session(self, state: RunState, root: object, owner: object = None, fast: bool = False) -> Session:
        interpreter, where = Interpreter(state), self._where(root)
        mode: FullMode = FastMode(interpreter, self.cache, where) if fast else FullMode(interpreter, where)
        if state.planning and self.sites.policy.turns:
            mode = planning_mode(interpreter, where, root)
        return self._under(mode, state, root, owner)

    def _where(self, root: object) -> Callable[[], Location]:
        """Finds the place of the call that is being made."""
        paths = cache(lambda: module_paths(root))

        def where() -> Location:
            return locate(BOUNDARY, paths(), self.place)

        return where

    def _under(self, mode: FullMode, state: RunState, root: object, owner: object) -> Session:
        """A run under a mode."""
        mode.owner = owner
        if not state.planning:
            mode.resume = partial(self._resumed, state, root, owner)
        return Session(mode, mode.interpreter)

    def _resumed(
        self, before: RunState, root: object, owner: object, function: Function, facts: list[ValueFacts | None]
    ) -> Function:
        """`function` for the backward pass, which computes a checkpointed block again: softened as before.

        before: the first run. facts: those of its arguments there.
        """
        turns = before.turns.copy()

        def again(*args: Any) -> Result:
            state = RunState(self.sites, self.evidence, Direct(), tracks_gradients=False, turns=turns.copy())
            state.exchange = before.exchange  # the block of a further run chooses as it did

            def block() -> Result:
                for value, known in zip(args, facts, strict=True):
                    if known is not None:
                        state.environment.set(value, known)
                return function(*args)

            return self._session(state, root, owner, fast=self.fast).step(block)

        return again


@contextmanager
def _traceless(target: object, touched: list[Any]) -> Iterator[None]:
    """A block of calls, made with gradients, after which the target and what they touch outside of it are as before."""
    with Preserved(target) as preserved, torch.enable_grad():
        for value in touched:
            preserved.save(value)
        yield


def _own(args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """Copies of the arguments, which a call may write."""
    leaves, structure = torch_private.flatten((args, kwargs))
    own: tuple[Args, Kwargs] = torch_private.unflatten(copied(leaves), structure)
    return own


def _with_derivatives(args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """The arguments as they come from what is trained before: real numbers among them carry a derivative."""
    leaves, structure = torch_private.flatten((args, kwargs))
    own = [
        leaf.detach().requires_grad_() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf
        for leaf in leaves
    ]
    with_derivatives: tuple[Args, Kwargs] = torch_private.unflatten(own, structure)
    return with_derivatives


class Graph:
    """The rewritten graph, for calls that it was captured for."""

    def __init__(self, rewritten: Rewritten, sites: Sites, example: Args, settings: tuple[Setting, ...] = ()) -> None:
        self.rewritten = rewritten
        self.sites = sites
        self.example = example
        self.settings = settings
        self._root: object = None
        self._state: Snapshot | None = None
        self._tables: list[tuple[dict[str, Any], str]] = []
        self._prepared: Function | None = None

    def watch(self, root: object, target: object, ran: Sequence[Ran] | None) -> None:
        """Let it hold plain calls as long as all that they may read is as it is now.

        root: the softened module; None for a function.
        target: the root, or the function.
        ran: the code that a call of it runs.
        """
        self._root, self._state = root, state_read(target, ran)
        self._tables = [table_of(root, name) for name in self.rewritten.attributes]
        self._prepared = Traced(prepared(self.rewritten.module))

    def __getstate__(self) -> Kwargs:
        """A copy has another state, so it runs the original Python, but for what a compiler makes of it."""
        structure, *leaves = self.example
        return {
            **self.__dict__,
            "example": (structure if isinstance(structure, int) else serialize.pack_structure(structure), *leaves),
            "_state": None,
            "_root": None,
            "_tables": [],
            "_prepared": None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        tree, *leaves = state["example"]
        self.__dict__.update(
            state, example=(tree if isinstance(tree, int) else serialize.unpack_structure(tree), *leaves)
        )

    def holds(self, root: object, args: Args, kwargs: Kwargs) -> bool:
        """Return True if the graph is this call: same signature, and the module in the state it was captured in."""
        if signature(args, kwargs) != self.example:
            return False
        if torch.compiler.is_compiling():
            return holds(root, self.settings)
        return self._state is not None and self._root is root and self._state.holds()

    def __call__(self, root: object, args: Args, kwargs: Kwargs) -> Result:
        tensors = [leaf for leaf in flattened(args, kwargs)[0] if isinstance(leaf, Tensor)]
        run: Function = self.rewritten.module.forward
        if torch.compiler.is_compiling():
            attributes = [resolve(root, name) for name in self.rewritten.attributes]
        else:
            attributes = [table[name] for table, name in self._tables]  # it holds, so these are the module's own still
            if self._prepared is not None and BARE.issuperset(map(type, (*tensors, *attributes))):
                run = self._prepared
        softness = self.rewritten.softness_of(self.sites)
        gradients = torch.is_grad_enabled()
        try:
            flat = outside(run, *tensors, *attributes, *softness)
        except BaseException:
            torch.set_grad_enabled(gradients)  # what raised may have been inside a block of the graph
            raise
        return torch_private.unflatten(list(flat), self.rewritten.result)
