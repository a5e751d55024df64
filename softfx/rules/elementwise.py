"""Elementwise operations with a jump (discrete) or a corner (kink): round, sign, relu, clamp and their kin.

All are drop-ins: a real number in, a real number of the same shape out. On a shadow they act on the number it is
worth. To add one, append a record to RULES; its softtorch function carries the mathematics.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.arithmetic import on_integers
from softfx.rules.estimators import first, identity
from softfx.rules.rule import Cut, Family, Rule, RuleContext
from softfx.rules.values import counted, is_discrete, on_points, through_real
from softfx.runtime import distributions
from softfx.values.domains import Soft

__all__ = ["RULES"]


def _rounding(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """A number rounded stands for an integer from there on."""

    def relax(context: RuleContext, input: Any) -> Any:
        _refuse_integers(input)
        return context.soft(context.call(function, input, **context.options), "count")

    return relax


def _unary(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any) -> Any:
        _refuse_integers(input)
        return context.call(function, input, **context.options)

    return relax


def _binary(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, other: Any) -> Any:
        _refuse_integers(input, other)
        if not isinstance(input, Tensor):
            input = context.call(torch.full_like, other, input)
        return context.call(function, input, other, **context.options)

    return relax


def _refuse_integers(*operands: Any) -> None:
    tensors = [operand for operand in operands if isinstance(operand, Tensor)]
    if tensors and all(is_discrete(tensor) for tensor in tensors):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")


def _round(context: RuleContext, input: Any, *, decimals: int = 0) -> Any:
    _refuse_integers(input)
    if decimals == 0:
        return context.soft(context.call(softtorch.round, input, **context.options), "count")
    scaled = context.call(torch.mul, input, 10.0**decimals)
    return context.call(torch.div, context.call(softtorch.round, scaled, **context.options), 10.0**decimals)


def _clamp(context: RuleContext, input: Any, min: Any = None, max: Any = None) -> Any:
    return context.call(distributions.real_clamp, input, min, max, **context.options)


def _clamp_min(context: RuleContext, input: Any, min: Any) -> Any:
    return context.call(distributions.real_clamp, input, min, None, **context.options)


def _clamp_max(context: RuleContext, input: Any, max: Any) -> Any:
    return context.call(distributions.real_clamp, input, None, max, **context.options)


def _hardtanh(context: RuleContext, input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    return context.call(distributions.real_clamp, input, min_val, max_val, **context.options)


def _relu6(context: RuleContext, input: Any) -> Any:
    return context.call(distributions.real_clamp, input, 0.0, 6.0, **context.options)


def _relu(context: RuleContext, input: Any) -> Any:
    """The ramp of the mode, gated or not, or relu convolved with a Gaussian."""
    _refuse_integers(input)
    options = dict(context.options)
    if options.pop("gaussian", False):
        softness = {key: options[key] for key in ("softness",) if key in options}
        return context.call(softtorch.gaussian_relu, input, **softness)
    return context.call(softtorch.relu, input, **options)


def _leaky_relu(context: RuleContext, input: Any, negative_slope: float = 0.01) -> Any:
    return context.call(softtorch.leaky_relu, input, negative_slope, **context.options)


def _threshold(context: RuleContext, input: Any, threshold: float, value: float) -> Any:
    return context.call(softtorch.threshold, input, threshold, value, **context.options)


def _shrink(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, lambd: float = 0.5) -> Any:
        return context.call(function, input, lambd, **context.options)

    return relax


def _prelu(context: RuleContext, input: Any, weight: Any) -> Any:
    return context.call(softtorch.prelu, input, weight, **context.options)


def _heaviside(context: RuleContext, input: Any, values: Any) -> Any:
    return context.call(softtorch.heaviside, input, **context.options)


def _copysign(context: RuleContext, input: Any, other: Any) -> Any:
    """The size of one number with the softened sign of another."""
    if not isinstance(other, Tensor) or not isinstance(input, Tensor) or is_discrete(other):
        raise Cut("copysign of a number that is no tensor has no rule")
    return context.call(
        torch.mul, context.call(torch.abs, input), context.call(softtorch.sign, other, **context.options)
    )


# What these are on the numbers that a soft index ranges over.
_EXACT: dict[str, Callable[..., Tensor]] = {
    "clamp": torch.clamp, "clamp_min": torch.clamp_min, "clamp_max": torch.clamp_max, "abs": torch.abs,
    "sign": torch.sign, "relu": torch.relu, "minimum": torch.minimum, "maximum": torch.maximum,
}  # fmt: skip


_OF_TWO = ("minimum", "maximum")
_ROUNDINGS = ("round", "floor", "ceil", "trunc")


def _rounded(context: RuleContext, input: Soft, *, decimals: int = 0) -> Any:
    """What stands for an integer is rounded already."""
    return context.soft(input.value, input.domain.value, input.support)


def _carry(op: str, relax: Callable[..., Any]) -> Callable[..., Any]:
    """Exactly, on the numbers that an index ranges over; otherwise on the number that a shadow is worth."""
    through, exact = through_real(relax), _EXACT.get(op)
    if op in _ROUNDINGS:
        return _rounded
    if exact is None:
        return through

    def carry(context: RuleContext, *args: Any, **kwargs: Any) -> Any:
        both = op in _OF_TWO and len(args) == 2
        index = on_integers(context, exact, *args) if both else on_points(context, exact, *args, **kwargs)
        if index is not None:
            return index
        shadow = through(context, *args, **kwargs)
        return counted(context, shadow, *args, *kwargs.values())

    carry.__signature__ = inspect.signature(relax)  # type: ignore[attr-defined]  # so that arguments are checked as relax's
    return carry


def _elementwise(
    code: str,
    op: str,
    family: Family,
    relax: Callable[..., Any],
    why: str,
    keep: str,
    *aliases: str,
    source: str = "SoftTorch 0.1.1 documentation",
    options: tuple[str, ...] = ("softness", "mode"),
) -> Rule:
    return Rule(
        code,
        op,
        family,
        why,
        keep,
        source,
        soft=f"softtorch.{op}",
        relax=relax,
        carry=_carry(op, relax),
        aliases=aliases,
        options=options,
        drop_in=True,
        estimators={"identity": identity(first)} if op in _ROUNDINGS or family == "discrete" else {},
    )


_STAIRS = ("softness", "mode", "neighbor_radius")
_GATED = ("softness", "mode", "gated")
_FLAT = "Constant between its jumps: the derivative is zero everywhere it exists, so nothing upstream learns."
_HOLE = "Flat between its two edges: what lies there receives no gradient."
_CORNER = "Differentiable almost everywhere; flat on one side, so units there receive no gradient."
_KEEP_COUNTS = "Keep it where the rounded number only labels or counts and no loss depends on it."
_KEEP_KINK = "Usually keep it: optimisers cope with corners; soften it when units die or second derivatives matter."

RULES = (
    _elementwise(
        "SX101", "round", "discrete", _round, _FLAT, _KEEP_COUNTS,
        source="arXiv 2504.19026", options=_STAIRS,
    ),
    _elementwise("SX102", "floor", "discrete", _rounding(softtorch.floor), _FLAT, _KEEP_COUNTS, options=_STAIRS),
    _elementwise("SX103", "ceil", "discrete", _rounding(softtorch.ceil), _FLAT, _KEEP_COUNTS, options=_STAIRS),
    _elementwise("SX104", "trunc", "discrete", _rounding(softtorch.trunc), _FLAT, _KEEP_COUNTS, "fix", options=_STAIRS),
    _elementwise("SX105", "sign", "discrete", _rounding(softtorch.sign), _FLAT, _KEEP_COUNTS, "sgn"),
    _elementwise("SX106", "heaviside", "discrete", _heaviside, _FLAT, _KEEP_COUNTS),
    _elementwise("SX108", "copysign", "discrete", _copysign, _FLAT, _KEEP_COUNTS),
    _elementwise(
        "SX107", "frac", "kink", _unary(softtorch.frac), "Right between its jumps, blind to them.", _KEEP_KINK,
        options=_STAIRS,
    ),
    _elementwise("SX121", "abs", "kink", _unary(softtorch.abs), _CORNER, _KEEP_KINK, "absolute"),
    _elementwise("SX122", "relu", "kink", _relu, _CORNER, _KEEP_KINK, options=(*_GATED, "gaussian")),
    _elementwise("SX123", "clamp", "kink", _clamp, _CORNER, _KEEP_KINK, "clip", options=_GATED),
    _elementwise("SX124", "clamp_min", "kink", _clamp_min, _CORNER, _KEEP_KINK, options=_GATED),
    _elementwise("SX125", "clamp_max", "kink", _clamp_max, _CORNER, _KEEP_KINK, options=_GATED),
    _elementwise("SX126", "hardtanh", "kink", _hardtanh, _CORNER, _KEEP_KINK, options=_GATED),
    _elementwise("SX127", "relu6", "kink", _relu6, _CORNER, _KEEP_KINK, options=_GATED),
    _elementwise("SX128", "leaky_relu", "kink", _leaky_relu, _CORNER, _KEEP_KINK, options=_GATED),
    _elementwise("SX129", "hardsigmoid", "kink", _unary(softtorch.hardsigmoid), _CORNER, _KEEP_KINK),
    _elementwise("SX130", "hardswish", "kink", _unary(softtorch.hardswish), _CORNER, _KEEP_KINK),
    _elementwise("SX131", "threshold", "kink", _threshold, _CORNER, _KEEP_KINK),
    _elementwise("SX134", "hardshrink", "kink", _shrink(softtorch.hardshrink), _HOLE, _KEEP_KINK),
    _elementwise("SX135", "softshrink", "kink", _shrink(softtorch.softshrink), _HOLE, _KEEP_KINK),
    _elementwise("SX136", "prelu", "kink", _prelu, "Its slope jumps at 0.", _KEEP_KINK),
    _elementwise("SX132", "minimum", "kink", _binary(softtorch.minimum), _CORNER, _KEEP_KINK, "fmin"),
    _elementwise("SX133", "maximum", "kink", _binary(softtorch.maximum), _CORNER, _KEEP_KINK, "fmax"),
)  # fmt: skip
