"""One call of the program at a time: find, relax, carry, and hand the program the value it expects.

`Engine.call` is the semantics of softfx. It is driven by a torch function mode when the original Python runs
(softfx.pipeline.execute) and node by node when a captured graph is planned or rewritten (softfx.pipeline.rewrite);
both therefore give the same values and gradients. What an operation means is the rules' business, how calls are
carried out the backend's, what a tensor means is in `binding`; here is which calls are
made as they are and which softly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private as private
from softfx.decisions.sites import SiteRecord, Sites
from softfx.interpreter.backends import Backend, Call, Context
from softfx.interpreter.binding import Binding
from softfx.interpreter.hard_call import Gradients, Plain
from softfx.interpreter.hard_values import version
from softfx.interpreter.indexed_update import Updates
from softfx.interpreter.selected_rows import Rows
from softfx.interpreter.soft_call import Softly
from softfx.interpreter.straight_through_idiom import Existing
from softfx.locations import Location
from softfx.ops.integrality import STOPS
from softfx.rules import rule_of
from softfx.rules.rule import Rule
from softfx.values.domains import Known, Values, map_tensors, tensors_in

__all__ = ["Engine"]

# Inference mode is entered out of sight of torch's function protocol: its blocks are lifted all or none.
_INFERENCE = Location("", 0)
_LOSSES = {
    "branch": "decides a branch in Python",
    "number": "reads the value into Python",
    "shape": "has a shape that depends on data",
}


@dataclass
class Engine:
    """Runs calls under decisions. `sites` decides; `backend` carries out; `values` remembers.

    planning: the calls are those of a trial, and what stands against softening a site is settled on it.
    follows: it is noted which sites reach what.
    """

    sites: Sites
    backend: Backend
    planning: bool = False
    values: Values = field(default_factory=Values)
    gradients: Gradients = field(default_factory=Gradients)
    follows: bool = True

    def __post_init__(self) -> None:
        sites, backend, values = self.sites, self.backend, self.values
        self._bound = Binding(sites, backend, values, self.follows)
        self.existing = Existing(sites, backend, values, self._bound)
        self.updates = Updates(values)
        self._plain = Plain(sites, backend, values, self.gradients, self.existing, self.updates, self.follows)
        self._softly = Softly(sites, backend, self._bound, self._plain, self.updates, self.planning)
        self._rows = Rows(sites, backend, values, self._bound, self._plain.call, self._softly.call, self._decided)

    # -- what is known of tensors ------------------------------------------------------------------------------

    def source(self, tensor: Tensor) -> None:
        """Declare `tensor` a differentiable source if it is floating point."""
        self.values.set(tensor, Known(tainted=tensor.is_floating_point() or tensor.is_complex()))

    # -- one call ----------------------------------------------------------------------------------------------

    def call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], locate: Callable[[], Location]
    ) -> Any:
        """The result of `func(*args, **kwargs)` as the program sees it under the decisions."""
        if not (self.gradients.ambient and torch.is_inference_mode_enabled()):
            return self._call(func, args, kwargs, locate)
        self.gradients.switch = _INFERENCE
        with torch.inference_mode(not self.sites.lifts(_INFERENCE)):
            return self._call(func, args, kwargs, locate)

    def _call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], locate: Callable[[], Location]
    ) -> Any:
        if func is private.set_grad_enabled:
            return self._grad_mode(func, args, locate)
        tensors = tensors_in((args, kwargs))
        spelled, rule = rule_of(func, args, kwargs) or (None, None)
        if rule is not None and rule.family == "normalization" and not self.sites.policy.asks_for(rule):
            rule = None
        known = [self.values.known(tensor) for tensor in tensors]
        return self.made(Call(func, args, kwargs, tensors, known, spelled, rule, locate))

    def made(self, call: Call) -> Any:
        """What a call gives, as `call` does."""
        rule, added = call.rule, self.updates.met(call)
        if not call.tainted:
            if self.planning and call.tensors and rule is not None and call.is_site:
                self.sites.note_static(rule, call.location)
            return self._plain.call(call)
        if call.op in STOPS and self.sites.lifts_any and self.sites.lifts(call.location, "detach"):
            return self._attached(call)
        if call.has_real_shadow and not call.softs and not call.is_site and (rule is None or rule.barrier is None):
            return self._beside(call)
        return self.updates.noted(call, self.existing.completed(call, self._decided(call)), added)

    def _attached(self, call: Call) -> Any:
        """A detachment that the policy lifts: another tensor of the same storage, known as the first is."""
        (tensor,), (known,) = call.tensors, call.known
        result = self.backend.emit(torch.Tensor.view_as, (tensor, tensor), {})
        self.values.set(result, replace(known, version=version(result)))
        self.existing.alike(result, tensor)
        return result

    def _decided(self, call: Call) -> Any:
        """A call whose operands depend on a source: plain, or softly as its site's decision and shadows have it."""
        rule, softs = call.rule, call.softs
        if softs and torch.is_grad_enabled() and self._rows.concerns(call):
            return self._rows.call(call, self._record(rule, call) if rule is not None and call.is_site else None)
        if rule is None:
            return self._plain.call(call, "has no rule for a soft value")
        if rule.barrier:
            return self._plain.call(call, _LOSSES[rule.barrier])
        record = self._record(rule, call) if call.is_site else None
        if record is not None and not record.acts and not (softs and rule.family in ("kink", "unsafe")):
            return self._plain.call(call, "is kept hard")
        if record is not None and record.acts and call.detached and not record.resolved.named:
            record.of_detached |= call.stops
            return self._plain.call(call)
        if record is None and (not softs or (rule.discrete_only and not call.discrete_softs and len(softs) < 2)):
            return self._plain.call(call)
        if not torch.is_grad_enabled() and (record is None or record.action != "soft") and all(s.exact for s in softs):
            self.gradients.switched_off(self.sites, frozenset[int]().union(*(soft.sites for soft in softs)))
            loss = "is inside a no_grad block of the program" if self.gradients.ambient else ""
            return self._plain.call(call, loss)
        return self._softly.call(rule, record, call)

    def acting(self, record: SiteRecord, call: Call) -> Any:
        """A call known to be a site that acts, on operands of which nothing is soft, where there are gradients."""
        if call.detached and not record.resolved.named:
            record.of_detached |= call.stops
            return self._plain.call(call)
        return self._softly.call(record.rule, record, call)

    def _record(self, rule: Rule, call: Call) -> SiteRecord:
        """The site this call is, with what stands against softening it already settled."""
        record = self.sites.at(rule, call.location)
        if not self.planning or not record.acts:
            return record
        if call.location.function:
            self.sites.opaque = True
            record.keep(f"inside the custom autograd.Function {call.location.function}, which has its own backward")
        elif not torch.is_grad_enabled() and record.resolved.lift_no_grad and self.gradients.switch is not None:
            self.sites.lift(self.gradients.switch)
        elif not torch.is_grad_enabled():
            record.keep("inside a no_grad block of the program, which cuts its gradient; lift_no_grad = true lifts it")
        return record

    def _grad_mode(self, func: Callable[..., Any], args: tuple[Any, ...], locate: Callable[[], Location]) -> Any:
        """The program switches gradients on or off; a block that the policy lifts does not."""
        if not args[0] and torch.is_grad_enabled():
            self.gradients.switch = locate()
            if self.gradients.ambient and self.sites.lifts(self.gradients.switch):
                return None
        return self.backend.run(func, args, {})

    def result(self, value: Any) -> Any:
        """One of the call's results as the caller gets it."""
        return self._bound.returned(value)

    def _beside(self, call: Call) -> Any:
        """scope = "model": a smooth call on real numbers that have shadows runs once more, on the shadows."""
        hard = self.backend.run(call.func, call.args, call.kwargs)
        if not isinstance(hard, Tensor) or not hard.is_floating_point() or call.written is not None:
            return self._plain.remember(call, hard, "")
        softs = [known.soft for known in call.known if known.soft is not None]
        exact = all(soft.exact for soft in softs)
        context = Context(self.backend, call.func, {}, exact, frozenset().union(*(soft.sites for soft in softs)), hard)
        args, kwargs = map_tensors(partial(self._bound.operand, context), (call.args, call.kwargs))
        return self._bound.bind(context, hard, self.backend.emit(call.func, args, kwargs))
