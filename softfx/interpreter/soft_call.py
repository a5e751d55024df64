"""A call made softly: its hard result, the shadow that its rule gives, and the two bound to each other.

Where the rule refuses the operands the call is plain and says so. Which calls come here is decided in `calls`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from softfx.decisions.sites import SiteRecord, Sites
from softfx.interpreter.backends import Backend, Call, Context
from softfx.interpreter.binding import Binding
from softfx.interpreter.hard_call import Plain
from softfx.interpreter.hard_values import version
from softfx.interpreter.indexed_update import Updates
from softfx.ops.integrality import STOPS
from softfx.rules import RULES, SPELLING
from softfx.rules.rule import Cut, Rule
from softfx.values.domains import map_tensors

__all__ = ["Softly"]

# What softening a call can fail with while it is planned, on shapes alone; the site is then blocked with the reason.
_FAILURES = (Cut, RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)


@dataclass(frozen=True)
class Softly:
    """Calls with shadows, under the decisions of `sites`."""

    sites: Sites
    backend: Backend
    bound: Binding
    plain: Plain
    updates: Updates
    planning: bool

    def call(self, rule: Rule, record: SiteRecord | None, call: Call) -> Any:
        """The call with its shadow, or plain where the rule refuses these operands."""
        context = self._context(rule, record, call)
        try:
            result = self._compute(rule, context, call) if call.written is None else self._write(rule, context, call)
        except _FAILURES as failure:
            if not isinstance(failure, Cut):
                if not self.planning and (call.op, call.location) not in self.sites.refusals:
                    raise
                self.sites.refusals.add((call.op, call.location))
            return self._refused(context, record, call, failure)
        if call.softs:
            self.sites.took(call.softs, call.op, call.location)
        return result

    def _context(self, rule: Rule, record: SiteRecord | None, call: Call) -> Context:
        """What the rule is given beside the operands."""
        exact = record is None or record.action != "soft"
        sites = record.alone if record is not None and record.acts else frozenset[int]()
        for soft in call.softs:
            exact = exact and soft.exact
            sites |= soft.sites
        self.sites.join(sites)
        if exact and call.op in STOPS:  # no derivative of theirs goes on from here
            self.sites.detached(sites, call.location)
            sites = frozenset()
        options = self._options(rule, record)
        estimate = record.estimate if record is not None else None
        return Context(
            self.backend, call.func, options, exact, sites, None, estimate, self.plain.is_whole, self._fill_of
        )

    def _fill_of(self, tensor: Tensor) -> float | None:
        return self.plain.values.known(tensor).fill

    def _refused(self, context: Context, record: SiteRecord | None, call: Call, failure: Exception) -> Any:
        """The hard result, where the rule cannot take these operands."""
        text = str(failure).strip().splitlines()
        reason = text[0] if text else type(failure).__name__
        reason = reason if isinstance(failure, Cut) else f"its soft form fails on these operands: {reason}"
        self.sites.lost(call.discrete_softs, call.op, call.location, reason)
        if record is not None and record.acts and not record.live:
            record.block(reason)
        if call.written is None and context.hard is not None and context.exact:
            return self.plain.remember(call, context.hard, "")
        return self.plain.call(call)

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
        unsoftened = self.plain.unsoftened(call)
        if rule.preserves and unsoftened is call and not call.softs and not call.has_real_shadow:
            return self.bound.kept(context, self._shadow(rule, context, call, call.args))
        context.hard = self.plain.run(call) if unsoftened is call else self.plain.again(unsoftened)
        shadow = self._shadow(rule, context, call, call.args)  # an estimator that draws changes the hard result
        return self.bound.give(context, context.hard, shadow)

    def _write(self, rule: Rule, context: Context, call: Call) -> Any:
        """An in-place call: computed beside its target, then copied into it, so that aliases see what they saw."""
        self.sites.writes = True
        target, rest = call.args[0], map_tensors(self.plain.hard_of, call.args[1:])
        values = self.plain.values
        before = self.backend.emit(torch.clone, (target,), {})
        values.set(before, values.known(target))
        scratch = self.backend.emit(torch.clone, (self.plain.hard_of(target),), {})
        self.backend.emit(call.func, (scratch, *rest), call.kwargs)
        context.hard = scratch
        args = (before, *call.args[1:])
        if (added := self.updates.addend(call)) is not None:
            rule, call, args = RULES["index_put"], replace(call, spelled=None, kwargs={}), (before, *added, True)
        shadow = self._shadow(rule, context, call, args)
        result = self.bound.give(context, context.hard, shadow)
        self.backend.emit(torch.Tensor.copy_, (target, result), {})
        self.plain.renew(target, replace(values.known(result), version=version(target)))
        return target

    def _shadow(self, rule: Rule, context: Context, call: Call, args: tuple[Any, ...]) -> Any:
        """What the rule makes of the operands, soft ones replaced by their shadows."""
        function = rule.carry if call.softs else rule.relax
        if function is None:
            raise Cut(f"{rule.op} has no rule for {'a soft value' if call.softs else 'these operands'}")
        for tensor in call.tensors:
            if tensor.layout is not torch.strided:
                raise Cut("it is of a sparse tensor")
        kwargs = call.kwargs and {key: value for key, value in call.kwargs.items() if key not in ("inplace", "out")}
        if call.softs or call.has_real_shadow or self.sites.writes:  # else operands are what they are
            operand = functools.partial(self.bound.operand, context)
            args, kwargs = map_tensors(operand, args), kwargs and map_tensors(operand, kwargs)
        if call.spelled is not None and (kwargs or call.spelled.reflected):
            args, kwargs = SPELLING.arguments(call.spelled, args, kwargs)
        if (refusal := _refusal(function, len(args), tuple(kwargs))) is not None:
            raise Cut(f"{rule.op}: {refusal}")
        if context.estimate is not None:
            return context.estimate(context, function, *args, **kwargs)
        return function(context, *args, **kwargs)


@functools.lru_cache(maxsize=4096)
def _refusal(function: Callable[..., Any], count: int, names: tuple[str, ...]) -> str | None:
    """Why a rule's function cannot be called on so many operands and others by these names; None if it can."""
    try:
        inspect.signature(function).bind(*(None for _ in range(count + 1)), **dict.fromkeys(names))
    except TypeError as error:
        return str(error)
    return None
