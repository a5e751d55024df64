"""Elementwise operations with a jump (discrete) or a corner (kink): round, sign, relu, clamp and their kin.

All are drop-ins: a real number in, a real number of the same shape out. On a shadow they act on the number that it is
worth. To add one, append a record to RULES; its softtorch function carries the mathematics, and its formula says it.
Where whole numbers stay whole under it, say so by `propagating=_exactly(...)`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.operation import Operation
from softfx.rules.arithmetic import on_integers
from softfx.rules.comparison import resolved
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow
from softfx.rules.estimators import first, identity
from softfx.rules.multiples import pointed
from softfx.rules.readings import as_real, checked_as, counted, on_points, through_real
from softfx.rules.refusals import CannotSoften, is_discrete, refuse_discrete
from softfx.rules.rule import Family, Rule
from softfx.rules.units import MARGINS, OPERAND, OTHER, STEP, Unit
from softfx.runtime import distributions, guards, infinities, ties
from softfx.values import Soft, SoftSign, SoftSum

__all__ = ["RULES"]

_IGNORE_NAN = frozenset({torch.fmax, torch.fmin, Tensor.fmax, Tensor.fmin})

# -- relaxations -------------------------------------------------------------------------------------------------------


def _rounding(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of a rounding: a rounded number stands for an integer from there on."""

    def relax(context: RuleContext, input: Tensor) -> Soft:
        refuse_discrete(input)
        return context.soft_count(context.call(function, input, **context.options))

    return relax


def _round(context: RuleContext, input: Tensor, *, decimals: int = 0) -> Shadow:
    """round; to some decimals, of the number in units of the last one, which gives no integer."""
    refuse_discrete(input)
    if decimals == 0:
        return context.soft_count(context.call(softtorch.round, input, **context.options))
    scaled = context.call(torch.mul, input, 10.0**decimals)
    return context.call(torch.div, context.call(softtorch.round, scaled, **context.options), 10.0**decimals)


def _sign(context: RuleContext, input: Tensor) -> SoftSign:
    refuse_discrete(input)
    count = context.soft_count(context.call(softtorch.sign, input, **context.options))
    return SoftSign(count.value, joint=count.joint, exact=count.exact, sites=count.sites)


def _unary(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of an operation of one operand."""

    def relax(context: RuleContext, input: Tensor) -> Tensor:
        refuse_discrete(input)
        return context.call(function, input, **context.options)

    return relax


def _binary(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of an operation of two operands, one of which may be a number."""

    def relax(context: RuleContext, input: Tensor | float, other: Tensor | float) -> Tensor:
        refuse_discrete(input, other)
        if not isinstance(input, Tensor):
            input = context.call(torch.full_like, other, input)
        return context.call(function, input, other, **context.options)

    return relax


def _of_two(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of maximum or minimum; of a number and NaN fmax and fmin take the number."""
    relax = _binary(function)

    def of_two(context: RuleContext, input: Tensor, other: Tensor) -> Shadow:
        if context.func not in _IGNORE_NAN or not context.meets_nan:
            return relax(context, input, other)
        numbers = (context.call(infinities.or_other, x, y) for x, y in ((input, other), (other, input)))
        return context.call(infinities.number_of, relax(context, *numbers), input, other)

    return of_two


def _shrink(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation of an operation that sets numbers nearer to 0 than `lambd` to 0."""

    def relax(context: RuleContext, input: Tensor, lambd: float = 0.5) -> Tensor:
        return context.call(function, input, lambd, **context.options)

    return relax


def _relu(context: RuleContext, input: Tensor) -> Tensor:
    """The ramp of the mode, gated or not, or relu convolved with a Gaussian."""
    refuse_discrete(input)
    options = dict(context.options)
    if options.pop("gaussian", False):
        softness = {key: options[key] for key in ("softness",) if key in options}
        return context.call(softtorch.gaussian_relu, input, **softness)
    return context.call(softtorch.relu, input, **options)


def _clamp(
    context: RuleContext, input: Tensor, min: Tensor | float | None = None, max: Tensor | float | None = None
) -> Tensor:
    return context.call(distributions.real_clamp, input, min, max, **context.options)


def _clamp_min(context: RuleContext, input: Tensor, min: Tensor | float) -> Tensor:
    return context.call(distributions.real_clamp, input, min, None, **context.options)


def _clamp_max(context: RuleContext, input: Tensor, max: Tensor | float) -> Tensor:
    return context.call(distributions.real_clamp, input, None, max, **context.options)


def _hardtanh(context: RuleContext, input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    return context.call(distributions.real_clamp, input, min_val, max_val, **context.options)


def _relu6(context: RuleContext, input: Tensor) -> Tensor:
    return context.call(distributions.real_clamp, input, 0.0, 6.0, **context.options)


def _leaky_relu(context: RuleContext, input: Tensor, negative_slope: float = 0.01) -> Tensor:
    return context.call(softtorch.leaky_relu, input, negative_slope, **context.options)


def _threshold(context: RuleContext, input: Tensor, threshold: float, value: float) -> Tensor:
    return context.call(softtorch.threshold, input, threshold, value, **context.options)


def _prelu(context: RuleContext, input: Tensor, weight: Tensor) -> Tensor:
    return context.call(softtorch.prelu, input, weight, **context.options)


def _heaviside(context: RuleContext, input: Tensor, values: Tensor) -> Tensor:
    step = context.call(softtorch.heaviside, input, **context.options)
    return context.call(ties.with_derivative_at_zero, step, input, values)


def _copysign(context: RuleContext, input: Tensor | float, other: Tensor | float) -> Tensor:
    """The size of one number with the softened sign of another."""
    if not isinstance(other, Tensor) or not isinstance(input, Tensor) or is_discrete(other):
        raise CannotSoften("copysign of a number that is no tensor has no rule")
    size, sign = context.call(torch.abs, input), context.call(softtorch.sign, other, **context.options)
    signed = context.call(torch.copysign, input, context.call(torch.detach, other))  # 0 has a sign here
    return context.call(ties.with_derivative_at_zero, context.call(guards.mul, size, sign), other, signed)


# -- propagation: functions from a rule's `relax` to its `propagate` ---------------------------------------------------

_Propagation = Callable[[RuleFunction], RuleFunction]


def _unchanged(relax: RuleFunction) -> RuleFunction:
    """The propagation of a rounding: a shadow stands for an integer, which is rounded already."""

    def propagate(context: RuleContext, input: Soft, *, decimals: int = 0) -> Shadow:
        return context.like(input, input.tensor)

    return propagate


def _exactly(exact: Callable[..., Tensor]) -> _Propagation:
    """The propagation by `exact` on the numbers that an index ranges over, and else on the number that it is worth."""

    def on_indices(context: RuleContext, *args: Operand, **kwargs: Operand) -> Soft | None:
        places = [pointed(context, arg) if isinstance(arg, SoftSum) else arg for arg in args]
        return on_points(context, exact, *places, **kwargs)

    return _exactly_by(on_indices)


def _exactly_of_two(exact: Callable[..., Tensor]) -> _Propagation:
    """`_exactly` of an operation of two operands, each of which may be an index."""

    def on_indices(context: RuleContext, *args: Operand, **kwargs: Operand) -> Soft | None:
        if len(args) == 2:
            return on_integers(context, exact, *(pointed(context, a) if isinstance(a, SoftSum) else a for a in args))
        return on_points(context, exact, *args, **kwargs)

    return _exactly_by(on_indices)


def _exactly_by(on_indices: Callable[..., Soft | None]) -> _Propagation:
    """The propagation by `on_indices` where it gives a shadow, and else on the number that a shadow is worth."""

    def propagation(relax: RuleFunction) -> RuleFunction:
        through = through_real(relax)

        def propagate(context: RuleContext, *args: object, **kwargs: object) -> Shadow:
            index = on_indices(context, *args, **kwargs)
            if index is not None:
                return index
            shadow = through(context, *args, **kwargs)
            return counted(context, shadow, *args, *kwargs.values())

        return checked_as(relax, propagate)

    return propagation


_ABOVE = resolved(torch.gt, softtorch.greater)
_AT = resolved(torch.eq, softtorch.eq)


def _heaviside_of_integers(relax: RuleFunction) -> RuleFunction:
    """The propagation of heaviside: of an integer the probability that it is above 0, and `values` where it is 0."""
    through = through_real(relax)

    def propagate(context: RuleContext, input: Operand, values: Operand) -> Shadow:
        if not isinstance(input, Soft) or not context.is_integral(input):
            return through(context, input, values)
        above, at = (as_real(context, compare(context, input, 0)) for compare in (_ABOVE, _AT))
        return context.call(torch.addcmul, above, at, as_real(context, values))

    return checked_as(relax, propagate)


# -- the records -------------------------------------------------------------------------------------------------------

_STAIRS = ("softness", "mode", "neighbor_radius")
_GATED = ("softness", "mode", "gated")
_FLAT = "Constant between its jumps: the derivative is zero everywhere it exists, so nothing upstream learns."
_HOLE = "Flat between its two edges: what lies there receives no gradient."
_CORNER = "Differentiable almost everywhere; flat on one side, so units there receive no gradient."
_BEND = "Differentiable almost everywhere; its slope jumps at 0."
_LARGER = "Differentiable almost everywhere; of two numbers the one that is not taken receives no gradient."
_KEEP_COUNTS = "Keep it where the rounded number only labels or counts and no loss depends on it."
_KEEP_KINK = "Usually keep it: optimisers cope with corners; soften it when units die or second derivatives matter."


def _elementwise(
    code: str,
    operation: Operation,
    family: Family,
    relax: RuleFunction,
    formula: str,
    why: str,
    keep: str,
    *,
    propagating: _Propagation = through_real,
    source: str = "SoftTorch 0.1.1 documentation",
    options: tuple[str, ...] = ("softness", "mode"),
    soft: str | None = None,
    unit: Unit = OPERAND,
    tied: Callable[..., Tensor] | None = None,
) -> Rule:
    return Rule(
        code,
        operation,
        family,
        why,
        keep,
        source,
        formula=formula,
        soft=soft or f"softtorch.{operation.name}",
        relax=relax,
        propagate=propagating(relax),
        options=options,
        drop_in=True,
        unit=unit,
        ties=tied,
        estimators={"identity": identity(first)} if family == "discrete" else {},
    )


def _jump(
    code: str,
    operation: Operation,
    relax: RuleFunction,
    formula: str,
    *,
    propagating: _Propagation = through_real,
    source: str = "SoftTorch 0.1.1 documentation",
    options: tuple[str, ...] = ("softness", "mode"),
    soft: str | None = None,
    unit: Unit = OPERAND,
    tied: Callable[..., Tensor] | None = None,
) -> Rule:
    """A rule of an operation that is constant between its jumps."""
    return _elementwise(
        code, operation, "discrete", relax, formula, _FLAT, _KEEP_COUNTS,
        propagating=propagating, source=source, options=options, soft=soft, unit=unit, tied=tied,
    )  # fmt: skip


def _kink(
    code: str,
    operation: Operation,
    relax: RuleFunction,
    formula: str,
    *,
    why: str = _CORNER,
    propagating: _Propagation = through_real,
    options: tuple[str, ...] = ("softness", "mode"),
    soft: str | None = None,
    unit: Unit = OPERAND,
    tied: Callable[..., Tensor] | None = None,
) -> Rule:
    """A rule of an operation with corners."""
    return _elementwise(
        code,
        operation,
        "kink",
        relax,
        formula,
        why,
        _KEEP_KINK,
        propagating=propagating,
        options=options,
        soft=soft,
        unit=unit,
        tied=tied,
    )


RULES = (
    _jump("SX101", ops.round, _round,
          "sum_k k (sigma((x - k + 1/2) / s) - sigma((x - k - 1/2) / s)), over the integers k around x",
          propagating=_unchanged, source="arXiv 2504.19026", options=_STAIRS, unit=STEP, tied=ties.half),
    _jump("SX102", ops.floor, _rounding(softtorch.floor), "round(x - 1/2), round soft",
          propagating=_unchanged, options=_STAIRS, unit=STEP, tied=ties.whole),
    _jump("SX103", ops.ceil, _rounding(softtorch.ceil), "round(x + 1/2), round soft",
          propagating=_unchanged, options=_STAIRS, unit=STEP, tied=ties.whole),
    _jump("SX104", ops.trunc, _rounding(softtorch.trunc), "floor(x) + sigma(-x / s), floor soft",
          propagating=_unchanged, options=_STAIRS, unit=STEP, tied=ties.whole),
    _jump("SX105", ops.sign, _sign, "2 sigma(x / s) - 1", propagating=_exactly(torch.sign)),
    _jump("SX106", ops.heaviside, _heaviside, "sigma(x / s)", propagating=_heaviside_of_integers),
    _jump("SX108", ops.copysign, _copysign, "|x| (2 sigma(y / s) - 1)", soft="softtorch.sign", unit=OTHER,
          tied=ties.zero_other),
    _kink("SX107", ops.frac, _unary(softtorch.frac), "x - trunc(x), trunc soft",
          why="Right between its jumps, blind to them.", options=_STAIRS, unit=STEP, tied=ties.whole),
    _kink("SX121", ops.abs, _unary(softtorch.abs), "x (2 sigma(x / s) - 1)", why=_BEND,
          propagating=_exactly(torch.abs)),
    _kink("SX122", ops.relu, _relu, "s times the integral of sigma up to x / s; mode smooth: s log(1 + e^(x / s))",
          propagating=_exactly(torch.relu), options=(*_GATED, "gaussian")),
    _kink("SX123", ops.clamp, _clamp, "low + relu(x - low) - relu(x - high), relu soft",
          propagating=_exactly(torch.clamp), options=_GATED),
    _kink("SX124", ops.clamp_min, _clamp_min, "low + relu(x - low), relu soft",
          propagating=_exactly(torch.clamp_min), options=_GATED, soft="softtorch.clamp"),
    _kink("SX125", ops.clamp_max, _clamp_max, "high - relu(high - x), relu soft",
          propagating=_exactly(torch.clamp_max), options=_GATED, soft="softtorch.clamp"),
    _kink("SX126", ops.hardtanh, _hardtanh, "clamp(x, min_val, max_val), clamp soft", options=_GATED),
    _kink("SX127", ops.relu6, _relu6, "clamp(x, 0, 6), clamp soft", options=_GATED),
    _kink("SX128", ops.leaky_relu, _leaky_relu, "a x + (1 - a) relu(x), a the negative slope, relu soft",
          why=_BEND, options=_GATED),
    _kink("SX129", ops.hardsigmoid, _unary(softtorch.hardsigmoid), "clamp(x, -3, 3) / 6 + 1/2, clamp soft"),
    _kink("SX130", ops.hardswish, _unary(softtorch.hardswish), "x hardsigmoid(x), hardsigmoid soft"),
    _kink("SX131", ops.threshold, _threshold, "value + (x - value) sigma((x - threshold) / s)"),
    _kink("SX134", ops.hardshrink, _shrink(softtorch.hardshrink),
          "x (sigma((x - lambd) / s) + sigma((-x - lambd) / s))", why=_HOLE),
    _kink("SX135", ops.softshrink, _shrink(softtorch.softshrink), "relu(x - lambd) - relu(-x - lambd), relu soft",
          why=_HOLE),
    _kink("SX136", ops.prelu, _prelu, "relu(x) - w relu(-x), w the weight, relu soft", why=_BEND),
    _kink("SX132", ops.minimum, _of_two(softtorch.minimum), "y - relu(y - x), relu soft",
          why=_LARGER, propagating=_exactly_of_two(torch.minimum), unit=MARGINS),
    _kink("SX133", ops.maximum, _of_two(softtorch.maximum), "y + relu(x - y), relu soft",
          why=_LARGER, propagating=_exactly_of_two(torch.maximum), unit=MARGINS),
)  # fmt: skip
