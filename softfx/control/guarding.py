"""Light runs whose derivative is wanted, where operations are guarded: their guards are made, and nothing else.

A guard leaves its value as it is, so that no other call has to know of it; all of them are made as they are. What a
guard cannot answer alone is left to a watched run: a site that is not known, a write, operands that its rule refuses,
and results that are infinite or NaN, for these spoil the derivatives of what they are multiplied by.

    Guards     makes a guarded call, as it is where that is regular
    Guarding   a mode that is told of all calls, and finds those that are guarded
    BySlots    is told of the functions alone that are put in place (softfx.control.slots), which takes no time else

A function that the program holds by a name of its own is not found in its place. So slots are relied on only as far as
a mode has seen that each guarded call came through one of them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Set
from functools import cached_property
from types import FrameType
from typing import Any

import torch
from torch import Tensor, overrides

from softfx.control.light import Light, Unforeseen
from softfx.control.slots import GUARD_CODE, ORIGINALS, item
from softfx.control.versions_private import level, nothing_around
from softfx.decisions.evidence import Evidence
from softfx.decisions.site import Decision
from softfx.decisions.sites import Sites
from softfx.interpreter.backends import Direct
from softfx.interpreter.binding import bind_leaves
from softfx.interpreter.call import is_site
from softfx.interpreter.call_context import CallContext
from softfx.interpreter.host import PLACE, HostMode
from softfx.interpreter.inline import inlined
from softfx.interpreter.settled import is_seen_finite
from softfx.interpreter.soft_call import FAILURES
from softfx.interpreter.state import RunState
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.spelling import INDEX, arguments
from softfx.ops.trees import tensors_in
from softfx.rules import rule_of, rule_of_call
from softfx.rules.rule import Rule
from softfx.runtime.regular import is_regular, is_regular_number
from softtorch.scope import outside

__all__ = ["BySlots", "Guarding", "Guards", "guards_alone"]

_APART = ("model", "linear")  # scopes under which guarded numbers have companions
# Frames between the program and a mode that is told of an operator.
_BETWEEN = (GUARD_CODE, Tensor.__pow__.__code__, overrides.handle_torch_function.__code__)
# Functions whose calls are never guarded, under any policy, by how many rules were registered when that was found.
_plain: dict[int, set[Any]] = {}


def guards_alone(sites: Sites, evidence: Evidence) -> bool:
    """Return True if no site but guards and control flow acts, and each guard can be made without the calls around."""
    acting = [decision for decision in sites if decision.acts and decision.rule.family != "control"]
    if not all(decision.rule.family == "unsafe" and decision.resolved.scope not in _APART for decision in acting):
        return False
    noted = evidence.spoilt or evidence.spoiling or evidence.infinite_products or evidence.refused
    return not acting or not (noted or evidence.asks_histories)


class Guards:
    """Makes the guarded calls of a light run.

    known: the decision about the site of a rule that the run stands at; None for one that no run has met.
    """

    def __init__(
        self, light: Light, known: Callable[[Rule], Decision | None], sites: Sites, evidence: Evidence
    ) -> None:
        self.light, self._known, self._sites, self._evidence = light, known, sites, evidence

    @cached_property
    def _state(self) -> RunState:
        return RunState(self._sites, self._evidence, Direct(), tracks_gradients=False)

    def decision(self, func: Function, args: Args, kwargs: Kwargs, frame: FrameType) -> Decision | None:
        """The decision about a call that is guarded; None for one that is made as it is.

        frame: of the program, at the instruction that makes the call.
        """
        spelled = INDEX.of(func)
        rule = rule_of_call(spelled, args, kwargs)
        if rule is None or rule.family != "unsafe" or not torch.is_grad_enabled():
            return None
        if not any(tensor.requires_grad for tensor in tensors_in((args, kwargs) if kwargs else args)):
            return None
        if not is_site(rule, spelled, func, args, kwargs):
            return None
        self.light.reader, self.light.code = self.light.shown.reader(frame), frame.f_code
        decision = self._known(rule)
        if decision is not None and not decision.acts:
            return None
        if decision is None or spelled.in_place or kwargs.get("out") is not None or level() is not None:
            self.light.leave_for_good()
        return decision

    def made(self, decision: Decision, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """A call with its guard."""
        try:
            result = outside(self._guarded, decision, func, args, kwargs)
        except FAILURES:
            raise Unforeseen from None
        if not all(map(_is_finite, tensors_in(result))):
            raise Unforeseen
        return result

    def by_regular_call(self, func: Function, original: Function, args: Args, kwargs: Kwargs) -> Tensor | None:
        """What the program's own call gives where its guard changes nothing; None where it may, or no guard is known.

        original: torch's own function, which is called.
        """
        if kwargs:
            return None
        spelled = INDEX.of(func)
        if spelled.order or spelled.in_place:
            return None
        operands, function = args[::-1] if spelled.reflected else args, spelled.operation.function
        if is_regular_number(function, operands):
            regular: Tensor = original(*args)
            return regular
        if not is_regular(function, operands):
            return None
        result: Tensor = original(*args)
        return result if _is_finite(result) else None

    def _guarded(self, decision: Decision, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """The call with its guard, as softfx.interpreter.soft_call makes it of real operands."""
        spelled, rule = INDEX.of(func), decision.rule
        context = CallContext(self._state, func, {}, True, decision.ids)
        named = arguments(spelled, args, kwargs) if kwargs or spelled.reflected or spelled.order else (args, kwargs)
        assert rule.relax is not None  # a guard has one
        if rule.keeps_value:
            return rule.relax(context, *named[0], **named[1])
        context.hard = func(*args, **kwargs)
        return bind_leaves(context, context.hard, rule.relax(context, *named[0], **named[1]))


class Guarding(HostMode):
    """The mode inside a light run.

    in_place: the functions that are told of in another way, too.
    found: the guarded ones that are not among them.
    """

    def __init__(self, guards: Guards, in_place: Set[Function]) -> None:
        super().__init__()
        self._guards, self._light = guards, guards.light
        self._in_place, self.found = in_place, set[Function]()
        self._plain = _plain.setdefault(INDEX.changes, set())
        self.owner = self._light.owner

    def leaves(self) -> None:
        self._light.leaves()

    def received(self, name: str, result: Any) -> None:
        pass

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        func = ORIGINALS.get(func, func)
        if func in self._plain or PLACE.run is None:  # without a run it is a call of softfx itself
            return func(*args, **kwargs) if kwargs else func(*args)
        kwargs = kwargs or {}
        if (body := inlined(func)) is not None:
            with self:
                return body(*args, **kwargs)
        if not _may_be_guarded(func):
            self._plain.add(func)
            return func(*args, **kwargs)
        frame, is_told = _program(sys._getframe(1))
        decision = self._guards.decision(func, args, kwargs, frame)
        if decision is None:
            return func(*args, **kwargs)
        if func not in self._in_place:
            self.found.add(func)
        elif not is_told:
            self._light.shown.fits_slots = False
        PLACE.run = None  # what softfx itself calls is not the program's
        try:
            result = self._guards.by_regular_call(func, func, args, kwargs)
            return self._guards.made(decision, func, args, kwargs) if result is None else result
        finally:
            PLACE.run = self._light


class BySlots:
    """Answers for the functions that are put in place."""

    def __init__(self, guards: Guards) -> None:
        self._guards, self._light = guards, guards.light

    def __call__(self, func: Function, original: Function, args: Args, kwargs: Kwargs, frame: FrameType) -> Result:
        """What a call of a function gives that is guarded. original: torch's own in its place."""
        if not nothing_around() or not torch.is_grad_enabled():
            return original(*args, **kwargs)
        PLACE.run = None  # what torch's own function calls in its turn is no call of the program
        try:
            result = self._guards.by_regular_call(func, original, args, kwargs)
            if result is None:
                decision = self._guards.decision(func, args, kwargs, frame)
                result = (
                    original(*args, **kwargs)
                    if decision is None
                    else self._guards.made(decision, original, args, kwargs)
                )
            return result
        finally:
            PLACE.run = self._light


def _program(frame: FrameType) -> tuple[FrameType, bool]:
    """The frame of the program that makes the call which a mode is told of, and whether it came through a slot."""
    told = False
    while frame.f_code in _BETWEEN:
        told = told or frame.f_code is GUARD_CODE
        frame = frame.f_back or frame
    return frame, told


def _may_be_guarded(func: Function) -> bool:
    """Return True for a function some of whose calls may be guarded; for another none ever is."""
    rule = rule_of(INDEX.of(func).operation)
    return rule is not None and (rule.family == "unsafe" or rule.becomes is not None)


def _is_finite(tensor: Tensor) -> bool:
    return math.isfinite(item(tensor)) if tensor.numel() == 1 else is_seen_finite(tensor)
