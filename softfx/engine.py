"""One call of the program at a time: find, relax, carry, and hand the program the value it expects.

`Engine.call` is the semantics of softfx. It is driven by a torch function mode when the original Python runs
(softfx.execute) and node by node when a captured graph is planned or rewritten (softfx.rewrite); both therefore
give the same values and gradients. What an operation means is the rules' business, how calls are carried out the
backend's; here is only how the two meet: taint, shadows, straight-through, in-place writes, accounting.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

import softtorch
from softfx.domains import Domain, Known, Soft, Values, map_tensors, rebuilt, tensors_in
from softfx.report import Consumer
from softfx.rules import RULES, SPELLING
from softfx.rules.rule import Cut, Rule
from softfx.rules.values import as_real, harden
from softfx.sites import SiteRecord, Sites
from softfx.source import Location
from softfx.spelling import Spelled

__all__ = ["Backend", "Direct", "Engine"]

# The value of these depends on the shape of their tensor operands only.
_SHAPE_ONLY = frozenset(
    "zeros_like ones_like empty_like full_like rand_like randn_like randint_like new_zeros new_ones new_empty new_full "
    "new_tensor size numel dim stride storage_offset is_floating_point is_contiguous".split()
)


# What softening a call can fail with while it is planned, on shapes alone; the site is then blocked with the reason.
_FAILURES = (Cut, RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)


def _told(failure: BaseException) -> str:
    text = str(failure).strip().splitlines()
    return f"its soft form fails on these operands: {text[0] if text else type(failure).__name__}"


class Backend(Protocol):
    """Carries out calls."""

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of the program."""

    def emit(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that softening adds, as one visible step."""

    def softness(self, record: SiteRecord) -> Any:
        """What to pass as this site's softness."""


class Direct:
    """Calls are simply made; softness is read from the site at each call."""

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return func(*args, **kwargs)

    emit = run

    def softness(self, record: SiteRecord) -> Any:
        return record.softness


@dataclass
class _Context:
    """A rules' RuleContext, see softfx.rules.rule."""

    engine: Engine
    func: Callable[..., Any]
    options: dict[str, Any]
    exact: bool
    sites: frozenset[int]
    hard: Any = None

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.engine.backend.emit(function, args, kwargs)

    def soft(self, value: Tensor, domain: str, support: Tensor | None = None) -> Soft:
        return Soft(Domain(domain), value, support, self.exact, self.sites)


@dataclass
class Engine:
    """Runs calls under decisions. `sites` decides; `backend` carries out; `values` remembers."""

    sites: Sites
    backend: Backend
    planning: bool = False  # the grad mode at entry is on, so grad off now means the program's own no_grad
    values: Values = field(default_factory=Values)

    # -- what is known of tensors ------------------------------------------------------------------------------

    def source(self, tensor: Tensor) -> None:
        """Declare `tensor` a differentiable source if it is floating point."""
        self.values.set(tensor, Known(tainted=tensor.is_floating_point() or tensor.is_complex()))

    def known(self, tensor: Tensor) -> Known:
        known = self.values.get(tensor)
        if known is None:  # met for the first time: a parameter, a constant, or the output of an opaque kernel
            known = Known(tainted=tensor.requires_grad)
            self.values.set(tensor, known)
        return known

    def soft_of(self, tensor: Tensor) -> Soft | None:
        return self.known(tensor).soft

    # -- one call ----------------------------------------------------------------------------------------------

    def call(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        locate: Callable[[], Location],
    ) -> Any:
        """The result of `func(*args, **kwargs)` as the program sees it under the decisions."""
        known = [self.known(tensor) for tensor in tensors_in((args, kwargs))]
        spelled = SPELLING.find(func)
        rule = RULES[spelled.op] if spelled is not None else None
        if rule is None or spelled is None or not any(entry.tainted for entry in known):
            if rule is not None and self.planning and known and _is_site(rule, func, args, kwargs, []):
                self.sites.note_static(rule, locate())
            return self._plain(func, args, kwargs, known, locate)
        softs = [entry.soft for entry in known if entry.soft is not None]
        if rule.barrier:
            self._lost(softs, rule.op, locate(), f"{rule.op} reads the value into Python")
            return self._plain(func, args, kwargs, known, locate, told=True)
        record = self._record(rule, locate) if _is_site(rule, func, args, kwargs, softs) else None
        if record is not None and not record.acts and not (softs and rule.family == "kink"):
            self._lost(softs, rule.op, record.location, f"{rule.op} is kept hard")
            return self._plain(func, args, kwargs, known, locate, cut=f"{rule.op} {record.action}", told=True)
        if record is None and not softs:
            return self._plain(func, args, kwargs, known, locate)
        if not torch.is_grad_enabled() and (record is None or record.action != "soft") and all(s.exact for s in softs):
            return self._plain(func, args, kwargs, known, locate, told=True)
        return self._softly(rule, spelled, func, args, kwargs, known, record, softs, locate)

    def _record(self, rule: Rule, locate: Callable[[], Location]) -> SiteRecord:
        """The site this call is, with what stands against softening it already settled."""
        location = locate()
        record = self.sites.at(rule, location)
        if not self.planning or not record.acts:
            return record
        if location.function:
            record.keep(f"inside the custom autograd.Function {location.function}, which has a backward of its own")
        elif not torch.is_grad_enabled() and not record.resolved.lift_no_grad:
            record.keep("inside a no_grad block of the program, which cuts its gradient; lift_no_grad = true lifts it")
        return record

    def _plain(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        known: list[Known],
        locate: Callable[[], Location],
        *,
        cut: str = "",
        told: bool = False,
    ) -> Any:
        """The call as it is; what it costs the shadows of its operands is written down."""
        result = self.backend.run(func, args, kwargs)
        name = getattr(func, "__name__", "")
        if name in _SHAPE_ONLY or not known:
            return result
        tainted = any(entry.tainted for entry in known)
        if not told:
            discrete = [tensor for tensor in tensors_in((args, kwargs)) if not tensor.is_floating_point()]
            lost = [soft for tensor in discrete if (soft := self.soft_of(tensor)) is not None]
            if lost and any(True for _ in tensors_in(result)):
                self._lost(lost, name, locate(), f"{name} has no rule for a soft value")
        cut = cut or next((entry.cut for entry in known if entry.cut), "")
        for output in tensors_in(result):
            entry = self.values.get(output)
            if entry is None or not entry.tainted:
                self.values.set(output, Known(tainted, entry.soft if entry else None, cut))
        return result

    def _lost(self, softs: list[Soft], op: str, location: Location, reason: str) -> None:
        """A consumer took hard values where soft ones were to be had."""
        for record in self._sites_of(softs):
            record.cuts[f"{reason} ({location.file}:{location.line})"] = None
            self._consumer(record, op, location, "hard")

    def _sites_of(self, softs: list[Soft]) -> list[SiteRecord]:
        return self.sites.by_id(frozenset().union(*(soft.sites for soft in softs)))

    @staticmethod
    def _consumer(record: SiteRecord, op: str, location: Location, takes: str) -> None:
        key = (op, location.file, location.line, takes)
        record.consumers.setdefault(key, Consumer(op, location.file, location.line, takes))

    # -- a soft call -------------------------------------------------------------------------------------------

    def _softly(
        self,
        rule: Rule,
        spelled: Spelled,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        known: list[Known],
        record: SiteRecord | None,
        softs: list[Soft],
        locate: Callable[[], Location],
    ) -> Any:
        """The call with its shadow, or plain where the rule refuses these operands."""
        location = record.location if record is not None else locate()
        in_place = spelled.in_place or bool(kwargs.get("inplace"))
        exact = all(soft.exact for soft in softs) and (record is None or record.action != "soft")
        context = _Context(self, func, self._options(rule, record), exact, self._provenance(softs, record))
        try:
            result = (self._write if in_place else self._compute)(rule, spelled, context, args, kwargs)
        except _FAILURES as failure:
            if not isinstance(failure, Cut) and not self.planning:
                raise
            refusal = str(failure) if isinstance(failure, Cut) else _told(failure)
            self._lost(softs, rule.op, location, refusal)
            if record is not None and record.acts and not record.live:
                record.block(refusal)
            return self._plain(func, args, kwargs, known, locate, cut=f"{rule.op}: {refusal}", told=True)
        for upstream in self._sites_of(softs):
            self._consumer(upstream, rule.op, location, "soft")
        return result

    def _provenance(self, softs: list[Soft], record: SiteRecord | None) -> frozenset[int]:
        own = frozenset() if record is None or not record.acts else frozenset({record.id})
        sites = own.union(*(soft.sites for soft in softs))
        self.sites.join(sites)
        return sites

    def _options(self, rule: Rule, record: SiteRecord | None) -> dict[str, Any]:
        if record is None:
            return {}
        if not record.acts:  # a kept kink on a shadow: the corner itself
            return {"mode": "hard"}
        options = {key: value for key, value in record.resolved.options.items() if key in rule.options}
        if "softness" in rule.options:
            options["softness"] = self.backend.softness(record)
        return options

    def _compute(
        self, rule: Rule, spelled: Spelled, context: _Context, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        context.hard = self.backend.run(context.func, args, kwargs)
        return self._finish(context, context.hard, self._shadow(rule, spelled, context, args, kwargs))

    def _write(
        self, rule: Rule, spelled: Spelled, context: _Context, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """An in-place call: computed beside its target, then copied into it, so that aliases see what they saw."""
        target = args[0]
        known = self.known(target)
        before = self.backend.emit(torch.clone, (target,), {})
        self.values.set(before, Known(known.tainted, known.soft, known.cut))
        scratch = self.backend.emit(torch.clone, (target,), {})
        self.backend.emit(context.func, (scratch, *args[1:]), kwargs)
        context.hard = scratch
        shadow = self._shadow(rule, spelled, context, (before, *args[1:]), {**kwargs, "inplace": False})
        result = self._finish(context, scratch, shadow)
        self.backend.emit(torch.Tensor.copy_, (target, result), {})
        self.values.set(target, self.known(result))
        return target

    def _shadow(
        self, rule: Rule, spelled: Spelled, context: _Context, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What the rule makes of the call's operands, soft ones replaced by their shadows."""
        soft_args, soft_kwargs = map_tensors(lambda t: self._operand(context, t), (args, kwargs))
        has_soft = any(self.soft_of(tensor) is not None for tensor in tensors_in((args, kwargs)))
        function = rule.carry if has_soft else rule.relax
        if function is None:
            kind = "a soft value" if has_soft else "these operands"
            raise Cut(f"{rule.op} has no rule for {kind}")
        soft_args, soft_kwargs = SPELLING.arguments(spelled, soft_args, soft_kwargs)
        if soft_kwargs.pop("inplace", None):
            raise Cut(f"{rule.op} writes in place")
        try:
            inspect.signature(function).bind(context, *soft_args, **soft_kwargs)
        except TypeError as error:
            raise Cut(f"{rule.op}: {error}") from None
        return function(context, *soft_args, **soft_kwargs)

    def _operand(self, context: _Context, tensor: Tensor) -> Tensor | Soft:
        """A tensor as a rule sees it. Where soft and straight-through meet, the latter bring their hard values."""
        soft = self.soft_of(tensor)
        if soft is None:
            return tensor
        if context.exact or not soft.exact:
            return soft
        value = self.backend.emit(softtorch.straight_through, (harden(context, tensor, soft), soft.value), {})
        return Soft(soft.domain, value, soft.support, False, soft.sites)

    def result(self, value: Any) -> Any:
        """One of the call's results as the caller gets it: a discrete one that is soft as the number it is worth."""
        soft = self.soft_of(value) if isinstance(value, Tensor) else None
        if soft is None or value.is_floating_point():
            return value
        for record in self._sites_of([soft]):
            record.returned = str(value.dtype).removeprefix("torch.")
            record.live = record.live or not soft.exact
        if soft.exact:
            return value
        context = _Context(self, torch.clone, {}, False, soft.sites)
        return as_real(context, soft)

    # -- what the program gets ---------------------------------------------------------------------------------

    def _finish(self, context: _Context, hard: Any, shadow: Any) -> Any:
        """`hard` with each leaf that has a shadow bound to it; a real leaf becomes one that carries a gradient."""
        if isinstance(hard, Tensor):
            return self._bind(context, hard, shadow)
        if not isinstance(shadow, tuple | list) or len(shadow) != len(hard):
            raise Cut("its results and their shadows do not match")
        items = [self._finish(context, h, s) for h, s in zip(hard, shadow, strict=True)]
        return rebuilt(hard, items)

    def _bind(self, context: _Context, hard: Tensor, shadow: Any) -> Tensor:
        if shadow is None:
            self.values.set(hard, Known(tainted=True))
            return hard
        soft = shadow if isinstance(shadow, Soft) else None
        if not hard.is_floating_point():
            soft = soft or context.soft(shadow, "soft_bool" if hard.dtype is torch.bool else "count")
            if context.exact and self._scope(context) == "operation":
                straight = self.backend.emit(softtorch.straight_through, (harden(context, hard, soft), soft.value), {})
                soft = replace(soft, value=straight)
            self.values.set(hard, Known(tainted=True, soft=soft))
            return hard
        real = shadow if soft is None else as_real(context, soft)
        result = self._combine(context, hard, real)
        for record in self.sites.by_id(context.sites):
            record.live = True
        if soft is None and self._scope(context) == "model":
            soft = Soft(Domain.REAL, real, None, context.exact, context.sites)
        self.values.set(result, Known(tainted=True, soft=soft))
        return result

    def _combine(self, context: _Context, hard: Tensor, real: Tensor) -> Tensor:
        if real.dtype != hard.dtype:
            real = self.backend.emit(torch.Tensor.to, (real, hard.dtype), {})
        if real.shape != hard.shape:
            raise Cut(f"its soft value has shape {tuple(real.shape)}, its hard value {tuple(hard.shape)}")
        if not context.exact:
            return real
        result: Tensor = self.backend.emit(softtorch.straight_through, (hard, real), {})
        return result

    def _scope(self, context: _Context) -> str:
        scopes = {record.resolved.scope for record in self.sites.by_id(context.sites)}
        return "model" if "model" in scopes else "operation" if scopes == {"operation"} else "region"


def _is_site(
    rule: Rule, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], softs: list[Soft]
) -> bool:
    """Whether a call of `rule`'s operation is one that needs a decision."""
    if rule.family == "selection" or rule.barrier:
        return False
    return rule.site is None or (not softs and rule.site(func, args, kwargs))
