"""One call of the program at a time: find, relax, carry, and hand the program the value it expects.

`Engine.call` is the semantics of softfx. It is driven by a torch function mode when the original Python runs
(softfx.execute) and node by node when a captured graph is planned or rewritten (softfx.rewrite); both therefore
give the same values and gradients. What an operation means is the rules' business, how calls are carried out the
backend's, what a tensor means is in `binding`; here is only how they meet: taint, decisions, in-place writes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from softfx import _torch_private as private
from softfx.domains import Domain, Known, Values, map_tensors, rebuilt, tensors_in
from softfx.engine.behind import Follow, follow, version
from softfx.engine.binding import Binding
from softfx.engine.context import Backend, Call, Context
from softfx.engine.existing import Existing
from softfx.engine.rows import Rows
from softfx.engine.updates import Updates
from softfx.engine.whole import filled_with, gives_whole
from softfx.rules import RULES, SPELLING, rule_of
from softfx.rules.rule import Cut, Rule
from softfx.rules.values import is_discrete
from softfx.sites import SiteRecord, Sites
from softfx.source import Location

__all__ = ["Engine"]

_signature = functools.cache(inspect.signature)

# What softening a call can fail with while it is planned, on shapes alone; the site is then blocked with the reason.
_FAILURES = (Cut, RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)
# The value of these depends on the shape of their tensor operands only.
_SHAPE_ONLY = frozenset({
    "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "randint_like", "new_zeros",
    "new_ones", "new_empty", "new_full", "new_tensor", "size", "numel", "dim", "stride", "storage_offset",
    "is_floating_point", "is_contiguous",
})  # fmt: skip
_STOPS = ("detach", "data")
# What these return is arbitrary: beside a soft write it would be part of an average.
_BLANK = ("empty", "empty_like", "new_empty")
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
    """

    sites: Sites
    backend: Backend
    planning: bool = False
    values: Values = field(default_factory=Values)
    ambient: bool = field(default_factory=torch.is_grad_enabled)  # whether the caller wants gradients at all
    _switch: Location | None = None  # where the program switched gradients off

    def __post_init__(self) -> None:
        self._bound = Binding(self.sites, self.backend, self.values)
        self._rows = Rows(self.sites, self.backend, self.values, self._bound, self._plain, self._softly, self._decided)
        self._existing = Existing(self.sites, self.backend, self.values, self._bound)
        self._updates = Updates(self.values)

    # -- what is known of tensors ------------------------------------------------------------------------------

    def source(self, tensor: Tensor) -> None:
        """Declare `tensor` a differentiable source if it is floating point."""
        self.values.set(tensor, Known(tainted=tensor.is_floating_point() or tensor.is_complex()))

    # -- one call ----------------------------------------------------------------------------------------------

    def call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], locate: Callable[[], Location]
    ) -> Any:
        """The result of `func(*args, **kwargs)` as the program sees it under the decisions."""
        if not (self.ambient and torch.is_inference_mode_enabled()):
            return self._call(func, args, kwargs, locate)
        self._switch = _INFERENCE
        with torch.inference_mode(not self.sites.lifts(_INFERENCE)):
            return self._call(func, args, kwargs, locate)

    def _call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], locate: Callable[[], Location]
    ) -> Any:
        if func is private.set_grad_enabled:
            return self._grad_mode(func, args, locate)
        tensors = list(tensors_in((args, kwargs)))
        spelled, rule = rule_of(func, args, kwargs) or (None, None)
        if rule is not None and rule.family == "normalization" and not self.sites.policy.asks_for(rule):
            rule = None
        call = Call(
            func, args, kwargs, tensors, [self.values.known(tensor) for tensor in tensors], spelled, rule, locate
        )
        self._updates.met(call)
        if not call.tainted:
            if self.planning and tensors and rule is not None and call.is_site:
                self.sites.note_static(rule, call.location)
            return self._plain(call)
        if call.op in _STOPS and self.sites.lifts_any and self.sites.lifts(call.location, "detach"):
            return self._attached(call)
        if call.has_real_shadow and not call.softs and not call.is_site and (rule is None or rule.barrier is None):
            return self._beside(call)
        return self._updates.noted(call, self._existing.completed(call, self._decided(call)))

    def _attached(self, call: Call) -> Any:
        """A detachment that the policy lifts: another tensor of the same storage, known as the first is."""
        (tensor,), (known,) = call.tensors, call.known
        result = self.backend.emit(torch.Tensor.view_as, (tensor, tensor), {})
        self.values.set(result, replace(known, version=version(result)))
        return result

    def _blank(self, call: Call, result: Any) -> Any:
        """A tensor without contents gets zeros in a program that writes softly."""
        if call.op in _BLANK and self.sites.writes and isinstance(result, Tensor):
            self.backend.emit(torch.Tensor.copy_, (result, self.backend.emit(torch.zeros_like, (result,), {})), {})
        return result

    def _decided(self, call: Call) -> Any:
        """A call whose operands depend on a source: plain, or softly as its site's decision and shadows have it."""
        rule, softs = call.rule, call.softs
        if softs and torch.is_grad_enabled() and self._rows.concerns(call):
            return self._rows.call(call, self._record(rule, call) if rule is not None and call.is_site else None)
        if rule is None:
            return self._plain(call, "has no rule for a soft value")
        if rule.barrier:
            return self._plain(call, _LOSSES[rule.barrier])
        record = self._record(rule, call) if call.is_site else None
        if record is not None and not record.acts and not (softs and rule.family in ("kink", "unsafe")):
            return self._plain(call, "is kept hard")
        if record is not None and record.acts and call.detached and not record.resolved.named:
            record.of_detached |= call.stops
            return self._plain(call)
        if record is None and (not softs or (rule.discrete_only and not call.discrete_softs and len(softs) < 2)):
            return self._plain(call)
        if not torch.is_grad_enabled() and (record is None or record.action != "soft") and all(s.exact for s in softs):
            if self.ambient and self._switch is not None:
                self.sites.switched_off(frozenset[int]().union(*(soft.sites for soft in softs)), self._switch)
            return self._plain(call, "is inside a no_grad block of the program" if self.ambient else "")
        return self._softly(rule, record, call)

    def _record(self, rule: Rule, call: Call) -> SiteRecord:
        """The site this call is, with what stands against softening it already settled."""
        record = self.sites.at(rule, call.location)
        if not self.planning or not record.acts:
            return record
        if call.location.function:
            self.sites.opaque = True
            record.keep(f"inside the custom autograd.Function {call.location.function}, which has its own backward")
        elif not torch.is_grad_enabled() and record.resolved.lift_no_grad and self._switch is not None:
            self.sites.lift(self._switch)
        elif not torch.is_grad_enabled():
            record.keep("inside a no_grad block of the program, which cuts its gradient; lift_no_grad = true lifts it")
        return record

    def _grad_mode(self, func: Callable[..., Any], args: tuple[Any, ...], locate: Callable[[], Location]) -> Any:
        """The program switches gradients on or off; a block that the policy lifts does not."""
        if not args[0] and torch.is_grad_enabled():
            self._switch = locate()
            if self.ambient and self.sites.lifts(self._switch):
                return None
        return self.backend.run(func, args, {})

    def result(self, value: Any) -> Any:
        """One of the call's results as the caller gets it."""
        return self._bound.returned(value)

    # -- a plain call ------------------------------------------------------------------------------------------

    def _plain(self, call: Call, loss: str = "") -> Any:
        """The call as it is. loss: what to say of the shadows among its operands, which end here."""
        return self._blank(call, self._remember_plain(call, self._deciding(call), loss))

    def _deciding(self, call: Call) -> Any:
        """A plain call's result: what it decides, and what Python reads of it, as the original would have it."""
        unsoftened = self._unsoftened(call)
        if unsoftened is call:
            return self._hard(call)
        if call.rule is not None and call.rule.barrier in ("branch", "number"):
            return self._hard(unsoftened)
        result = self._hard(call)
        if not any(is_discrete(tensor) for tensor in tensors_in(result)):
            return result
        return _decided_by(self._again(unsoftened), result)

    def _again(self, call: Call) -> Any:
        args, kwargs = self._blinded(call)
        return self.backend.again(call.func, args, kwargs)

    def _hard(self, call: Call) -> Any:
        """What the program's call gives, its operands without their derivative where torch insists on it."""
        return self.backend.run(call.func, *self._blinded(call))

    def _blinded(self, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not call.blind or not any(known.carries or known.soft is not None for known in call.known):
            return call.args, call.kwargs
        args, kwargs = map_tensors(lambda t: self.backend.emit(torch.detach, (t,), {}), (call.args, call.kwargs))
        return args, kwargs

    def _remember_plain(self, call: Call, result: Any, loss: str) -> Any:
        outputs = list(tensors_in(result))
        whole = gives_whole(call.op, call.args, call.kwargs, [self._is_whole(tensor) for tensor in call.tensors])
        fill = filled_with(call.op, call.args, call.kwargs, [known.fill for known in call.known])
        if call.op in _SHAPE_ONLY or not call.known:
            for output in outputs if whole or fill is not None else ():
                self.values.set(output, Known(False, whole=whole, fill=fill))
            return result
        lost = call.discrete_softs
        if (
            lost
            and loss
            and (outputs or call.written is not None or (call.rule is not None and call.rule.barrier is not None))
        ):
            branch = call.rule is not None and call.rule.barrier == "branch"
            hopeless = branch or (self.ambient and not torch.is_grad_enabled())
            self.sites.lost(lost, call.op, call.location, f"{call.op} {loss}", hopeless)
        carries = self._carried(call)
        if call.written is not None:
            self.sites.writes = True
            self.values.set(call.written, Known(call.tainted, None, carries, whole))
        hard, stops = follow(call, result, self.backend), call.stops
        if call.op in _STOPS:
            stops |= {call.location}
        for position, output in enumerate(outputs):
            if output is not call.written and (
                self.values.get(output) is None or not self.values.known(output).tainted
            ):
                known = Known(call.tainted, None, carries, whole, hard(position), version(output), fill, stops)
                self.values.set(output, known)
        return result

    def _carried(self, call: Call) -> frozenset[int]:
        """The sites whose derivative goes on through a plain call."""
        carries = frozenset[int]().union(*(known.carries for known in call.known))
        if carries and call.op in _STOPS:
            self.sites.detached(carries, call.location)
        if torch.is_grad_enabled():
            return frozenset() if call.op in _STOPS else carries
        if self.ambient and self._switch is not None:
            self.sites.switched_off(carries, self._switch)
        return frozenset()

    def _is_whole(self, tensor: Tensor) -> bool:
        known = self.values.known(tensor)
        discrete = known.soft is not None and known.soft.domain is not Domain.SELECTED
        return known.whole or discrete or is_discrete(tensor)

    # -- a soft call -------------------------------------------------------------------------------------------

    def _softly(self, rule: Rule, record: SiteRecord | None, call: Call) -> Any:
        """The call with its shadow, or plain where the rule refuses these operands."""
        softs = call.softs
        exact = all(soft.exact for soft in softs) and (record is None or record.action != "soft")
        sites = frozenset({record.id} if record is not None and record.acts else ()).union(*(s.sites for s in softs))
        self.sites.join(sites)
        if exact and call.op in _STOPS:  # no derivative of theirs goes on from here
            self.sites.detached(sites, call.location)
            sites = frozenset()
        options = self._options(rule, record)
        context = Context(
            self.backend,
            call.func,
            options,
            exact,
            sites,
            None,
            record.estimate if record is not None else None,
            self._is_whole,
            lambda tensor: self.values.known(tensor).fill,
        )
        try:
            result = self._compute(rule, context, call) if call.written is None else self._write(rule, context, call)
        except _FAILURES as failure:
            if not isinstance(failure, Cut):
                if not self.planning and (call.op, call.location) not in self.sites.refusals:
                    raise
                self.sites.refusals.add((call.op, call.location))
            return self._refused(context, record, call, failure)
        self.sites.took(softs, call.op, call.location)
        return result

    def _refused(self, context: Context, record: SiteRecord | None, call: Call, failure: Exception) -> Any:
        """The hard result, where the rule cannot take these operands."""
        text = str(failure).strip().splitlines()
        reason = text[0] if text else type(failure).__name__
        reason = reason if isinstance(failure, Cut) else f"its soft form fails on these operands: {reason}"
        self.sites.lost(call.discrete_softs, call.op, call.location, reason)
        if record is not None and record.acts and not record.live:
            record.block(reason)
        if call.written is None and context.hard is not None and context.exact:
            return self._remember_plain(call, context.hard, "")
        return self._plain(call)

    def _options(self, rule: Rule, record: SiteRecord | None) -> dict[str, Any]:
        if record is None:
            return {}
        if not record.acts:  # a kept kink on a shadow: the corner itself
            return {"mode": "hard"}
        options = {key: value for key, value in record.resolved.options.items() if key in rule.options}
        if "softness" in rule.options:
            options["softness"] = self.backend.softness(record)
        return options

    def _compute(self, rule: Rule, context: Context, call: Call) -> Any:
        unsoftened = self._unsoftened(call)
        if rule.preserves and unsoftened is call and all(known.soft is None for known in call.known):
            return self._bound.kept(context, self._shadow(rule, context, call, call.args))
        context.hard = self._hard(call) if unsoftened is call else self._again(unsoftened)
        shadow = self._shadow(rule, context, call, call.args)  # an estimator that draws changes the hard result
        return self._bound.give(context, context.hard, shadow)

    def _unsoftened(self, call: Call) -> Call:
        """The call with the hard values of real operands."""
        if call.written is not None or all(known.hard is None for known in call.known):
            return call
        args, kwargs = map_tensors(self._hard_of, (call.args, call.kwargs))
        return replace(call, args=args, kwargs=kwargs)

    def _hard_of(self, tensor: Tensor) -> Tensor:
        """What `tensor` would be without softening, as far as that is known."""
        known = self.values.known(tensor)
        if known.hard is None or known.version != version(tensor):
            return tensor
        if isinstance(known.hard, Follow):
            known.hard = known.hard.value(self.backend)
        return tensor if known.hard is None else known.hard

    def _write(self, rule: Rule, context: Context, call: Call) -> Any:
        """An in-place call: computed beside its target, then copied into it, so that aliases see what they saw."""
        self.sites.writes = True
        target, rest = call.args[0], map_tensors(self._hard_of, call.args[1:])
        before = self.backend.emit(torch.clone, (target,), {})
        self.values.set(before, self.values.known(target))
        scratch = self.backend.emit(torch.clone, (self._hard_of(target),), {})
        self.backend.emit(call.func, (scratch, *rest), call.kwargs)
        context.hard = scratch
        args = (before, *call.args[1:])
        if (added := self._updates.addend(call)) is not None:
            rule, call, args = RULES["index_put"], replace(call, spelled=None, kwargs={}), (before, *added, True)
        shadow = self._shadow(rule, context, call, args)
        result = self._bound.give(context, context.hard, shadow)
        self.backend.emit(torch.Tensor.copy_, (target, result), {})
        self.values.set(target, replace(self.values.known(result), version=version(target)))
        return target

    def _shadow(self, rule: Rule, context: Context, call: Call, args: tuple[Any, ...]) -> Any:
        """What the rule makes of the operands, soft ones replaced by their shadows."""
        function = rule.carry if call.softs else rule.relax
        if function is None:
            raise Cut(f"{rule.op} has no rule for {'a soft value' if call.softs else 'these operands'}")
        if any(tensor.layout is not torch.strided for tensor in call.tensors):
            raise Cut("it is of a sparse tensor")
        kwargs = {key: value for key, value in call.kwargs.items() if key not in ("inplace", "out")}
        operands = map_tensors(lambda tensor: self._bound.operand(context, tensor), (args, kwargs))
        soft_args, soft_kwargs = operands if call.spelled is None else SPELLING.arguments(call.spelled, *operands)
        try:
            _signature(function).bind(context, *soft_args, **soft_kwargs)
        except TypeError as error:
            raise Cut(f"{rule.op}: {error}") from None
        if context.estimate is not None:
            return context.estimate(context, function, *soft_args, **soft_kwargs)
        return function(context, *soft_args, **soft_kwargs)

    def _beside(self, call: Call) -> Any:
        """scope = "model": a smooth call on real numbers that have shadows runs once more, on the shadows."""
        hard = self.backend.run(call.func, call.args, call.kwargs)
        if not isinstance(hard, Tensor) or not hard.is_floating_point() or call.written is not None:
            return self._remember_plain(call, hard, "")
        softs = [known.soft for known in call.known if known.soft is not None]
        exact = all(soft.exact for soft in softs)
        context = Context(self.backend, call.func, {}, exact, frozenset().union(*(soft.sites for soft in softs)), hard)
        args, kwargs = map_tensors(lambda tensor: self._bound.operand(context, tensor), (call.args, call.kwargs))
        return self._bound.bind(context, hard, self.backend.emit(call.func, args, kwargs))


def _decided_by(hard: Any, soft: Any) -> Any:
    """The integers and bools of one result with the real numbers of another."""
    if isinstance(hard, Tensor):
        return hard if is_discrete(hard) or hard.shape != soft.shape else soft
    return rebuilt(hard, [_decided_by(h, s) for h, s in zip(hard, soft, strict=True)])
