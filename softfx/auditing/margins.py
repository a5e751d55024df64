"""The scale of a site's operands, and how far they are from where its decision changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.decisions.site import Decision
from softfx.interpreter.call import Call
from softfx.interpreter.operands import operands_of
from softfx.rules.spread import of_entries
from softfx.rules.units import STEP, Unit

__all__ = ["margins_of", "sigma_of"]

_MOST = 200  # margins that are kept of one call: their quantiles


def sigma_of(call: Call, operands: list[Tensor], scale: float) -> float | Tensor:
    """The standard deviation by which operands are moved: `scale` spreads of what is decided about, or steps.

    Where all numbers are one size away from the decision, as where a branch asks for one number, there is no spread,
    and it is that size: less would change no decision.

    A number, or one for each threshold, (...) that broadcasts with the operands.
    """
    unit = None if call.rule is None else call.rule.unit
    named = operands_of(call) if unit is not None else None
    if unit is not None and named is not None and unit is not STEP and unit.measure is not None:
        numbers = unit.decides(named)
        sizes = numbers.detach().double().abs() if numbers is not None and numbers.numel() else torch.zeros(1)
        if bool(sizes.min() == sizes.max()) and bool((sizes.isfinite() & (sizes > 0)).all()):
            return float(sizes.max())
    return scale * torch.as_tensor(_scale_of(call, named, operands))


def _scale_of(call: Call, named: Mapping[str, Any] | None, operands: list[Tensor]) -> float | Tensor:
    """The unit of a call's operands: the spread of what is decided about, the step of a rounding."""
    unit = None if call.rule is None else call.rule.unit
    found = None
    if unit is not None and named is not None:
        if unit is STEP:
            return _step(named)
        found = unit.measure(named) if unit.measure is not None else None
    if found is None:
        numbers = torch.cat([operand.detach().flatten() for operand in operands])
        found = of_entries(numbers, "the operands", decided_at_zero=False)
    return 1.0 if found is None else found.value


def _step(named: Mapping[str, Any]) -> float:
    """The step of a rounding: 1, or the size of what is divided by."""
    other = named.get("other")
    if isinstance(other, Tensor):
        size = float(other.detach().double().abs().mean())
    else:
        size = abs(float(other)) if isinstance(other, int | float) else 1.0
    return size if 0.0 < size < float("inf") else 1.0


def margins_of(call: Call, decision: Decision | None) -> list[float]:
    """How far each number is from where the decision changes, in softnesses of the site; at most 200 quantiles.

    Of an ordering these are the gaps between neighbours. In units of the spread where the site does not act.
    """
    unit = None if call.rule is None else call.rule.unit
    named = operands_of(call) if unit is not None else None
    if unit is None or named is None or call.rule is None:
        return []
    numbers = _numbers(call, unit, named)
    if numbers is None or not numbers.is_floating_point():
        return []
    softness = decision.softness if decision is not None and decision.acts else _scale_of(call, named, [numbers])
    own = torch.as_tensor(softness).detach().to(numbers)
    sizes = zip(reversed(own.shape), reversed(numbers.shape), strict=False)
    fits = own.dim() <= numbers.dim() and all(size in (1, whole) for size, whole in sizes)
    numbers = numbers / (own if fits else own.mean())  # else a number for each threshold of another call
    if decision is not None and decision.acts and _standardizes(decision, unit):
        numbers = numbers / (_input(named).detach().std() + torch.finfo(numbers.dtype).tiny)
    finite = numbers.flatten().double()
    finite = finite[finite.isfinite()][: 1 << 20].sort().values
    if len(finite) > _MOST:
        finite = finite[torch.linspace(0, len(finite) - 1, _MOST).long()]
    return [float(number) for number in finite]


def _numbers(call: Call, unit: Unit, named: Mapping[str, Any]) -> Tensor | None:
    if unit is STEP:
        ratio = _input(named).detach() / _step(named)
        at_halves = call.rule is not None and call.rule.operation is ops.round
        return ratio - ratio.floor() - 0.5 if at_halves else ratio - ratio.round()
    decides = unit.decides(named)
    if decides is None:
        return None
    numbers = decides.detach()
    if "standardize" not in unit.auto or isinstance(named.get("other"), Tensor):
        return numbers
    dim = named.get("dim")
    rows = numbers.movedim(dim, -1) if isinstance(dim, int) and numbers.dim() else numbers.flatten()
    return rows.sort(-1).values.diff(dim=-1) if rows.dim() and rows.shape[-1] > 1 else None


def _standardizes(decision: Decision, unit: Unit) -> bool:
    return "standardize" in unit.auto and decision.resolved.options.get("standardize") is not False


def _input(named: Mapping[str, Any]) -> Tensor:
    return next(value for value in named.values() if isinstance(value, Tensor))
