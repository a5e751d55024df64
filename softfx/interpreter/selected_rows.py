"""Calls on what a soft mask selects: x[mask] itself, and what the program does with its rows.

The program sees the rows that the original selects; beside them goes a shadow of all rows, see softfx.rules.rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from softfx.decisions.sites import SiteRecord, Sites
from softfx.interpreter.backends import Backend, Call, Context
from softfx.interpreter.binding import Binding
from softfx.ops.spelling import Spelling
from softfx.rules.rows import ROWS, RowRule, selected
from softfx.rules.rule import Cut, Rule
from softfx.rules.values import moved
from softfx.values.domains import Domain, Soft, Values, map_tensors

__all__ = ["Rows"]

_REASON = "takes the rows that the original selects: x[mask] has a shape that depends on data"


@dataclass(frozen=True)
class Rows:
    """Rows that soft masks select, under the decisions of `sites`.

    plain: makes a call as it is and says what of its soft operands is lost.
    softly: makes a call whose result has the shadow that a rule gives.
    decided: makes a call as it would be made without this class.
    """

    sites: Sites
    backend: Backend
    values: Values
    bound: Binding
    plain: Callable[..., Any]
    softly: Callable[..., Any]
    decided: Callable[..., Any]

    def concerns(self, call: Call) -> bool:
        """Whether a call selects by a soft mask, or takes what one selected."""
        if call.op in ("getitem", "masked_select") and self._mask(call) is not None:
            return True
        return any(soft.domain is Domain.SELECTED for soft in call.softs)

    def call(self, call: Call, record: SiteRecord | None) -> Any:
        """Such a call."""
        mask = self._mask(call)
        if mask is not None and call.op in ("getitem", "masked_select"):
            return self._select(call, mask)
        rule = ROWS.get(call.op)
        if rule is None:
            return self._hard(call, _REASON)
        if rule.reduces:
            return self.softly(_carried(call, rule), record, call)
        return self._attached(call, lambda context: self._made(context, rule, call), record)

    def _mask(self, call: Call) -> Tensor | None:
        """The soft mask that selects, if the call is x[mask] or masked_select(x, mask)."""
        if call.op not in ("getitem", "masked_select") or len(call.args) != 2:
            return None
        mask = call.args[1]
        if not isinstance(mask, Tensor) or mask.dtype is not torch.bool or mask.dim() == 0:
            return None
        soft = self.values.known(mask).soft
        return mask if soft is not None and soft.domain is Domain.SOFT_BOOL else None

    def _select(self, call: Call, mask: Tensor) -> Any:
        def shadow(context: Context) -> Soft:
            data, chosen = call.args[0], mask
            if data.shape[: mask.dim()] != mask.shape or (call.op == "masked_select" and data.shape != mask.shape):
                raise Cut("x[mask] by a mask that is broadcast has no rule")
            weights, operand = self.bound.operand(context, mask), self.bound.operand(context, data)
            assert isinstance(weights, Soft)
            if isinstance(operand, Soft) and operand.domain is Domain.SOFT_INDEX:  # soft indices stay what they are
                self.sites.lost([weights], call.op, call.location, _REASON)
                moved_rows: Soft = moved(context, Tensor.__getitem__, operand, chosen)
                return moved_rows
            return selected(context, operand, weights, chosen)

        return self._attached(call, shadow, None)

    def _made(self, context: Context, rule: RowRule, call: Call) -> Soft:
        args, kwargs = map_tensors(lambda tensor: self.bound.operand(context, tensor), (call.args, call.kwargs))
        kwargs = {key: value for key, value in kwargs.items() if key not in ("inplace", "out")}
        if call.spelled is not None:
            args, kwargs = Spelling.arguments(call.spelled, args, kwargs)
        made: Soft = rule.carry(context, call.rule, *args, **kwargs)
        return made

    def _attached(self, call: Call, shadow: Callable[[Context], Soft], record: SiteRecord | None) -> Any:
        """The call as it is, its result with a shadow of all rows."""
        softs = call.softs
        acting = record if record is not None and record.acts else None
        sites = frozenset({acting.id} if acting is not None else ()).union(*(soft.sites for soft in softs))
        exact = all(soft.exact for soft in softs) and (record is None or record.action != "soft")
        options = {} if acting is None else self._options(acting)
        context = Context(self.backend, call.func, options, exact, sites)
        try:
            made = shadow(context)
        except (Cut, RuntimeError, ValueError, IndexError, TypeError) as failure:
            return self._hard(call, str(failure) if isinstance(failure, Cut) else _REASON)
        result = self.plain(call, "")
        self.sites.join(sites)
        self.sites.took(softs, call.op, call.location)
        self.values.set(result, replace(self.values.known(result), tainted=True, soft=made))
        return result

    def _hard(self, call: Call, reason: str) -> Any:
        """The call on the rows that the original selects; what else is soft of its operands stays so."""
        chosen = [k.soft for k in call.known if k.soft is not None and k.soft.domain is Domain.SELECTED]
        if not chosen or len(call.softs) == len(chosen):
            return self.plain(call, reason)
        self.sites.lost(chosen, call.op, call.location, reason)
        for tensor, known in zip(call.tensors, call.known, strict=True):
            if known.soft is not None and known.soft.domain is Domain.SELECTED:
                self.values.set(tensor, replace(known, soft=None))
        return self.decided(replace(call, known=[self.values.known(tensor) for tensor in call.tensors]))

    def _options(self, record: SiteRecord) -> dict[str, Any]:
        options = {key: value for key, value in record.resolved.options.items() if key in record.rule.options}
        if "softness" in record.rule.options:
            options["softness"] = self.backend.softness(record)
        return options


def _carried(call: Call, rule: RowRule) -> Rule:
    """The operation's rule, or a bare one, with what it does to selected rows."""

    def carry(context: Context, *args: Any, **kwargs: Any) -> Any:
        return rule.carry(context, call.rule, *args, **kwargs)

    if call.rule is not None:
        return replace(call.rule, carry=carry, preserves=False)
    return Rule("SX500", call.op, "selection", "", "", "", carry=carry, options=())
