"""The hard value of a real tensor that softening has changed: what Python's branches and hard decisions go by.

Under a soft policy the program's real tensors are soft values. A loop that runs until nothing changes, a check of the
result, a decision that stays hard must still see the original's values, or it may go where the original never went.
They are computed when something asks for them, from the hard values of the operands, and only through calls that give
the same for the same operands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from softfx.interpreter.backends import Backend
from softfx.interpreter.call import Call
from softfx.interpreter.state import RunState
from softfx.ops.autocast import AutocastState, autocast_state, in_autocast
from softfx.ops.calls import Result
from softfx.ops.trees import in_own_containers, map_tensors, tensors_in
from softfx.torch_private import version_of
from softfx.values import was_freed

__all__ = ["DeferredHardValues", "HandleOf", "defer", "hard_value", "with_hard_operands"]


@dataclass(eq=False)
class DeferredHardValues:
    """One call still to be made on hard operands.

    autocast: the state in which the program made it.
    results: the tensors in its result, once it is made; empty if it cannot be.
    """

    call: Call | None
    versions: list[int]
    template: Any
    autocast: AutocastState
    results: list[Tensor] | None = None

    def value(self, position: int, backend: Backend) -> Tensor | None:
        """The tensor at `position` among those in the call's result, or None if an operand is gone."""
        waiting = [self]
        while waiting:  # a loop, not a recursion: the calls behind a value are as many as the program likes
            last = waiting[-1]
            ahead = last._unmade()
            waiting.extend(ahead)
            if not ahead:
                waiting.pop()._make(backend)
        return self.results[position] if self.results else None

    def _unmade(self) -> list[DeferredHardValues]:
        if self.call is None:
            return []
        handles = (facts.hard for facts in self.call.facts)
        return [hard.source for hard in handles if isinstance(hard, HandleOf) and hard.source.results is None]

    def _make(self, backend: Backend) -> None:
        if self.call is None:
            return
        call, self.call, self.results = self.call, None, []  # so they stay if the call fails
        changed = [version_of(tensor) for tensor in call.tensors] != self.versions
        if changed or any(map(was_freed, call.tensors)):
            return
        hard = {id(tensor): _made(tensor, facts.hard) for tensor, facts in zip(call.tensors, call.facts, strict=True)}
        args, kwargs = map_tensors(lambda tensor: hard[id(tensor)], (call.args, call.kwargs))
        with torch.no_grad(), in_autocast(self.autocast):
            self.results = tensors_in(backend.repeat(call.func, args, kwargs, self.template))


@dataclass(eq=False)
class HandleOf:
    """The hard value of one tensor in the result of a deferred call."""

    source: DeferredHardValues
    position: int

    def value(self, backend: Backend) -> Tensor | None:
        """The tensor, or None where an operand has been overwritten."""
        return self.source.value(self.position, backend)


def _made(tensor: Tensor, hard: Result) -> Tensor:
    if isinstance(hard, HandleOf):
        return hard.source.results[hard.position] if hard.source.results else tensor
    return tensor if hard is None else hard


def defer(call: Call, result: Result, backend: Backend) -> Callable[[int], HandleOf | None]:
    """For each tensor in the result of a hard call, by position, a handle to its hard value."""
    if not call.has_hard or call.written is not None or not call.operation.repeatable:
        return _unknown
    args, kwargs = in_own_containers((call.args, call.kwargs))
    call = replace(call, args=args, kwargs=kwargs)
    versions = [version_of(tensor) for tensor in call.tensors]
    deferred = DeferredHardValues(call, versions, backend.template(result), autocast_state())
    return lambda position: HandleOf(deferred, position)


def _unknown(position: int) -> None:
    return None


def hard_value(state: RunState, tensor: Tensor) -> Tensor:
    """The tensor as it would be without softening, as far as that is known."""
    facts = state.environment.facts(tensor)
    hard = facts.hard if facts.version == version_of(tensor) else None
    if hard is not None and not isinstance(hard, Tensor):
        hard = hard.value(state.backend)
        state.environment.set(tensor, replace(facts, hard=hard))
    return tensor if hard is None else hard


def with_hard_operands(state: RunState, call: Call) -> Call:
    """The call on the hard values of its real operands; the call itself where these are what it has."""
    if call.written is not None or not call.has_hard:
        return call
    args, kwargs = map_tensors(lambda tensor: hard_value(state, tensor), (call.args, call.kwargs))
    return replace(call, args=args, kwargs=kwargs)
