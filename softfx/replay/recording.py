"""A run that is recorded: what its backend carries out, and what its tables are told, call by call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, TypeVar

import torch
from torch import Tensor

from softfx import ops, torch_private
from softfx.decisions.evidence import Evidence
from softfx.decisions.site import Decision, Softness
from softfx.decisions.sites import Sites
from softfx.interpreter import checkpoint_private
from softfx.interpreter.backends import Direct, has_whole_elements
from softfx.interpreter.derivatives import Blockage, is_remembered
from softfx.interpreter.fast_path import FastPathCache
from softfx.interpreter.inline import inlined
from softfx.interpreter.interpreter import Interpreter
from softfx.interpreter.own_histories import answer
from softfx.interpreter.state import RunState
from softfx.interpreter.torch_mode import FastMode
from softfx.interpreter.writes import Writes
from softfx.locations import Location, Stack
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.operation import Effect
from softfx.ops.spelling import INDEX, Spelled
from softfx.ops.trees import BARE, tensors_in
from softfx.replay.records import Like, Made, Noted, Outcome, Step, is_alone
from softfx.replay.softness import SiteSoftness, unmarked
from softfx.torch_private import base_of, storage_key, version_of
from softfx.values import Environment, FactStore, Pending, TensorTable, ValueFacts
from softtorch.scope import in_scope
from softtorch.straight_through import finite

__all__ = ["TABLES", "Recorder", "RecordingMode", "recorded_state"]

_T = TypeVar("_T")
# Programs with more calls are none whose bookkeeping is felt.
_MOST_STEPS = 5000
# Nor are those with more elements; and a recording keeps all of them for a while.
_MOST_ELEMENTS = 1 << 22
_ASKED = ("requires_grad", "is_leaf")  # what programs ask of a tensor's history, of which a bool is told
# The tables of a run's state that are recorded beside its environment. What constants hold is asked again.
TABLES = ("sums", "lookups", "statistics", "clips", "points", "moved", "by_place")


class Recorder:
    """The recording of one run, as far as it has come.

    unfit: why the run cannot be replayed; nothing if it can.
    computes_with_softness: something is computed with the softness of a site, so that the run is that of no other one.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.open: list[Step] = []
        self.unfit = ""
        self.computes_with_softness = False
        self._elements = 0
        self._own, self._foreign = set[int | None](), set[int | None]([None])

    def note(self, table: str, verb: str, tensor: Tensor, value: Any = None) -> None:
        if self.open:
            self.open[-1].noted.append(Noted(table, verb, tensor, value))

    def make(self, made: Made, result: Result) -> Result:
        """Record a call with its result."""
        made.result = result
        if self.open and not self.unfit:
            step, tensors = self.open[-1], tensors_in(result)
            made.writes = step.has_written()
            step.made.append(made)
            self.note_outcomes(step, tensors)
            self._elements += sum(tensor.numel() for tensor in tensors)
            if self._elements > _MOST_ELEMENTS:
                self.give_up("it computes with many elements")
        return result

    def note_memory(self, step: Step, tensors: Sequence[Tensor]) -> None:
        """Note in which memory the arguments of a call lie."""
        step.versions = {id(tensor): version_of(tensor) for tensor in tensors}
        step.own = {id(tensor) for tensor in tensors if storage_key(tensor) in self._own}
        step.alone = {id(tensor) for tensor in tensors if is_alone(tensor)}
        self._foreign.update(key for tensor in tensors if (key := storage_key(tensor)) not in self._own)

    def note_made_memory(self, step: Step) -> None:
        """Note the memory that a call has made: what is recorded lives on, so that no other gets its key."""
        made = tensors_in(([made.result for made in step.made], step.result))
        self._own.update(key for tensor in made if (key := storage_key(tensor)) not in self._foreign)

    def softness(self, decision: Decision, present: Decision) -> Softness:
        """The softness that a decision about a call has, as the present one about its site gives it."""
        softness, turn = decision.softness, decision.turn if decision.has_turns else None
        if isinstance(softness, Tensor):
            return softness
        if softness != present.softness_at(turn):
            self.note_softness()
            return softness
        return SiteSoftness.of(softness, decision.id, turn, self.note_softness)

    def note_softness(self) -> None:
        """Note that something is computed with the softness of a site."""
        self.computes_with_softness = True

    def note_outcomes(self, step: Step, tensors: list[Tensor]) -> None:
        """Note the metadata of results."""
        if any(tensor.is_nested for tensor in tensors):
            self.give_up("it makes nested tensors, which have no shape")
        else:
            step.outcomes.update({id(tensor): Outcome.of(tensor) for tensor in tensors})

    def give_up(self, why: str) -> None:
        """Record nothing more, and let go what there is."""
        self.unfit = why
        self.steps.clear()


class _RecordingBackend(Direct):
    def __init__(self, recorder: Recorder, sites: Sites) -> None:
        self._recorder, self._sites = recorder, sites

    def run(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        made = Made(func, args, kwargs, is_programs=True)
        return self._recorder.make(made, func(*args, **kwargs))

    def emit(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        made = Made(func, args, kwargs)
        return self._recorder.make(made, super().emit(func, *unmarked(args, kwargs)))

    def softness(self, decision: Decision) -> Softness:
        return self._recorder.softness(decision, self._sites[decision.id])

    def blockage(self, func: Function, spelled: Spelled, args: Args, kwargs: Kwargs) -> Blockage | None:
        if not is_remembered(func, args, kwargs) and self._recorder.open:
            self._recorder.open[-1].by_interpreter = True
        return super().blockage(func, spelled, args, kwargs)

    def is_whole(self, constant: Tensor) -> bool:
        return self._asked(has_whole_elements, constant)

    def is_finite(self, tensor: Tensor) -> bool:
        return self._asked(finite, tensor)

    def _asked(self, question: Callable[[Tensor], bool], tensor: Tensor) -> bool:
        made = Made(question, (tensor,), {}, is_guard=True)
        answer: bool = self._recorder.make(made, question(tensor))
        return answer


class _RecordingTable(TensorTable[_T]):
    def __init__(self, name: str, recorder: Recorder) -> None:
        super().__init__()
        self._name, self._recorder = name, recorder

    def set(self, tensor: Tensor, value: _T) -> None:
        self._recorder.note(self._name, "set", tensor, value)
        super().set(tensor, value)

    def discard(self, tensor: Tensor) -> None:
        if id(tensor) in self.entries:
            self._recorder.note(self._name, "discard", tensor)
        super().discard(tensor)


class _RecordingEnvironment(Environment):
    def __init__(self, store: FactStore, recorder: Recorder) -> None:
        super().__init__(store)
        self._recorder = recorder

    def set(self, tensor: Tensor, value: ValueFacts | Pending) -> None:
        if isinstance(value, Pending) or value.holds_tensors:
            self._recorder.note("environment", "set", tensor, value)
        super().set(tensor, value)  # what holds no tensors is shared

    def share(self, tensor: Tensor, facts: ValueFacts) -> None:
        before = self.entries.get(id(tensor))
        super().share(tensor, facts)
        if before is not None or id(tensor) in self.entries:
            self._recorder.note("environment", "share", tensor, facts)


class _RecordingWrites(Writes):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def made(self, tensor: Tensor) -> None:
        self._recorder.note("writes", "made", tensor)
        super().made(tensor)

    def carried(self, tensor: Tensor) -> None:
        self._recorder.note("writes", "carried", tensor)
        super().carried(tensor)


def recorded_state(sites: Sites, evidence: Evidence, store: FactStore, recorder: Recorder) -> RunState:
    """The state of a run that is recorded."""
    tables: dict[str, Any] = {name: _RecordingTable(name, recorder) for name in TABLES}
    environment = _RecordingEnvironment(store, recorder)
    backend, writes = _RecordingBackend(recorder, sites), _RecordingWrites(recorder)
    return RunState(sites, evidence, backend, tracks_gradients=False, environment=environment, writes=writes, **tables)


class RecordingMode(FastMode):
    """The mode of a run that is recorded."""

    def __init__(
        self, interpreter: Interpreter, cache: FastPathCache, where: Callable[[], Location], recorder: Recorder,
        boundary: CodeType,
    ) -> None:  # fmt: skip
        def located() -> Location:
            location = where()
            if recorder.open:
                recorder.open[-1].location = location
            return location

        super().__init__(interpreter, cache, located)
        self._recorder, self._boundary = recorder, boundary

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        recorder, state = self._recorder, self.interpreter.state
        if recorder.unfit or self._is_unfit(func, args, kwargs or {}):
            return super().__torch_function__(func, types, args, kwargs)
        step = Step(func, args, kwargs or {})
        recorder.steps.append(step)
        recorder.open.append(step)
        count, entries = len(recorder.steps), state.environment.entries
        before, turns = _unrecorded(state, func), dict(state.turns)
        tensors = tensors_in((args, kwargs))
        known = {id(tensor): entries.get(id(tensor)) for tensor in tensors}
        step.likes = {id(tensor): Like.of(tensor) for tensor in tensors}
        recorder.note_memory(step, tensors)
        step.remembered = {key for key, entry in known.items() if entry is not None}
        try:
            step.result = super().__torch_function__(func, types, args, kwargs)
        except BaseException:
            recorder.give_up("a call raised")
            raise
        finally:
            recorder.open.pop()
        step.turns = {site: turn for site, turn in state.turns.items() if turns.get(site) != turn}
        if func is torch_private.set_grad_enabled:
            step.grad_mode = (state.grad_mode.switched_off_at, state.grad_mode.lifted_at)
        step.by_interpreter |= inlined(func) is not None or in_scope() or _unrecorded(state, func) != before
        step.by_interpreter |= not step.own.union(step.alone).issuperset(map(id, step.written))
        recorder.note_made_memory(step)
        if state.evidence.asks_histories:
            self._note_histories(step)
        if step.location is not None:
            step.stack = Stack.at(sys._getframe(1), self._boundary)
        step.has_inner = len(recorder.steps) > count
        if step.by_interpreter:
            recorder.note_outcomes(step, tensors_in(step.result))
        for tensor in {id(tensor): tensor for tensor in tensors_in((args, kwargs, step.result))}.values():
            if entries.get(id(tensor)) is not known.get(id(tensor)):
                step.facts.append((tensor, state.environment.get(tensor)))
        return step.result

    def _note_histories(self, step: Step) -> None:
        """Note by what a softened call has its history; what asks, begins or changes one is the interpreter's."""
        operation = INDEX.of(step.func).operation
        writes_views = any(base_of(tensor) is not None for tensor in step.written)
        if operation.name in _ASKED and len(step.args) == 1 and not step.kwargs:
            step.made = [Made(answer, (operation.name, *step.args), {}, step.result)]
        elif operation.effect & Effect.HISTORY or operation is ops.requires_grad_ or writes_views:
            step.by_interpreter = True
        elif not all(made.is_programs for made in step.made):
            ends = operation.stops_gradient or self.interpreter.state.grad_mode.lifted_at is not None
            step.operands = [] if ends else tensors_in((step.args, step.kwargs))

    def _is_unfit(self, func: Function, args: Args, kwargs: Kwargs) -> bool:
        why = ""
        if checkpoint_private.hooks_of_saved_tensors(True) is not None:
            why = "a block is computed again"
        elif torch_private.in_transform():
            why = "it is transformed"
        elif not all(type(tensor) in BARE for tensor in tensors_in((args, kwargs))):
            why = "tensors of other kinds are among its operands"
        elif func is torch_private.set_grad_enabled and checkpoint_private.reentrant_block() is not None:
            why = "a block is computed again"
        elif len(self._recorder.steps) >= _MOST_STEPS:
            why = "it makes many calls"
        if why:
            self._recorder.give_up(why)
        return bool(why)

    def received(self, name: str, result: Any) -> None:
        self._recorder.give_up("another softened part is in it")
        super().received(name, result)


def _unrecorded(state: RunState, func: Function) -> tuple[object, ...]:
    """The part of a run's state that is not recorded."""
    grad_mode = state.grad_mode
    switches = (grad_mode.ambient, grad_mode.switched_off_at, grad_mode.lifted_at, torch.is_grad_enabled())
    return (
        state.storages.counts(), len(state.view_reads), len(state.reads),
        {key: seen for key, (_, seen) in state.seen.entries.items()}, len(state.read_views.entries),
        () if func is torch_private.set_grad_enabled else switches,
    )  # fmt: skip
