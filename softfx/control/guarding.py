"""The mode of a light run whose derivative is wanted, where operations are guarded: it guards them, and nothing else.

A guard leaves its value as it is, so that no other call has to know of it; all of them are made as they are. What a
guard cannot answer alone is left to a watched run: a site that is not known, a write, operands that its rule refuses,
and results that are infinite or NaN, for these spoil the derivatives of what they are multiplied by.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, overrides

from softfx.control.light import Light, Unforeseen
from softfx.control.slots import ORIGINALS, item
from softfx.control.versions_private import level
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
from softtorch.scope import outside

__all__ = ["Guarding", "guards_alone"]

_APART = ("model", "linear")  # scopes under which guarded numbers have companions
# Frames of torch's between the program and a mode that is told of an operator.
_BETWEEN = (Tensor.__pow__.__code__, overrides.handle_torch_function.__code__)
# Functions whose calls are never guarded, under any policy, by how many rules were registered when that was found.
_plain: dict[int, set[Any]] = {}


def guards_alone(sites: Sites, evidence: Evidence) -> bool:
    """Return True if no site but guards and control flow acts, and each guard can be made without the calls around."""
    acting = [decision for decision in sites if decision.acts and decision.rule.family != "control"]
    if not all(decision.rule.family == "unsafe" and decision.resolved.scope not in _APART for decision in acting):
        return False
    noted = evidence.spoilt or evidence.spoiling or evidence.infinite_products or evidence.refused
    return not acting or not (noted or evidence.asks_histories)


class Guarding(HostMode):
    """The mode inside a light run.

    known: the decision about the site of a rule that the run stands at; None for one that no run has met.
    """

    def __init__(
        self, light: Light, known: Callable[[Rule], Decision | None], sites: Sites, evidence: Evidence
    ) -> None:
        super().__init__()
        self._light, self._known = light, known
        self._state = RunState(sites, evidence, Direct(), tracks_gradients=False)
        self._plain = _plain.setdefault(INDEX.changes, set())
        self.owner = light.owner

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
        decision = self._decision(func, args, kwargs)
        if decision is None:
            return func(*args, **kwargs)
        PLACE.run = None  # what softfx itself calls is not the program's
        try:
            result = outside(self._made, decision, func, args, kwargs)
            if not all(map(_is_finite, tensors_in(result))):
                raise Unforeseen
        except FAILURES:
            raise Unforeseen from None
        finally:
            PLACE.run = self._light
        return result

    def _decision(self, func: Function, args: Args, kwargs: Kwargs) -> Decision | None:
        """The decision about a call that is guarded; None for one that is made as it is."""
        spelled = INDEX.of(func)
        rule = rule_of_call(spelled, args, kwargs)
        if rule is None or rule.family != "unsafe" or not torch.is_grad_enabled():
            return None
        if not any(tensor.requires_grad for tensor in tensors_in((args, kwargs) if kwargs else args)):
            return None
        if not is_site(rule, spelled, func, args, kwargs):
            return None
        self._stands_here()
        decision = self._known(rule)
        if decision is not None and not decision.acts:
            return None
        if decision is None or spelled.in_place or kwargs.get("out") is not None or level() is not None:
            self._light.leave_for_good()
        return decision

    def _stands_here(self) -> None:
        """Note the instruction of the program that makes the call."""
        frame = sys._getframe(3)
        while frame.f_code in _BETWEEN:
            frame = frame.f_back or frame
        self._light.reader, self._light.code = self._light.shown.reader(frame), frame.f_code

    def _made(self, decision: Decision, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """The call with its guard, as softfx.interpreter.soft_call makes it of real operands."""
        spelled, rule = INDEX.of(func), decision.rule
        context = CallContext(self._state, func, {}, True, decision.ids)
        named = arguments(spelled, args, kwargs) if kwargs or spelled.reflected or spelled.order else (args, kwargs)
        assert rule.relax is not None  # a guard has one
        if rule.keeps_value:
            return rule.relax(context, *named[0], **named[1])
        context.hard = func(*args, **kwargs)
        return bind_leaves(context, context.hard, rule.relax(context, *named[0], **named[1]))


def _may_be_guarded(func: Function) -> bool:
    """Return True for a function some of whose calls may be guarded; for another none ever is."""
    rule = rule_of(INDEX.of(func).operation)
    return rule is not None and (rule.family == "unsafe" or rule.becomes is not None)


def _is_finite(tensor: Tensor) -> bool:
    return math.isfinite(item(tensor)) if tensor.numel() == 1 else is_seen_finite(tensor)
