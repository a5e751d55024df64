"""Weighted sums in which an entry of weight 0 adds nothing, however large it is.

0 * inf is NaN in floating point. Here an infinite or NaN entry counts as a constant where its weight is positive, and
is left out where its weight is 0; the derivative, for the weight as for the entry, is that of the entry put to 0. So
is, but for `contract`, the weight's where a finite entry is so large that it stands for an infinite one, such as the
finfo.min with which attention masks are filled: it would overflow. Derivatives that a NaN spoils count as 0.

Where one look at the entries shows that there are none of these, the sum is the plain one.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.numeric.finite import finite_gradient, with_finite_gradient
from softtorch.kernels.numeric.host import finite, readable
from softtorch.kernels.numeric.questions import question
from softtorch.torch_private import Function

_WIDE = (torch.float32, torch.float64)


def contract(weights: Tensor, values: Tensor) -> Tensor:
    """Sums over j of weights[..., k, j] * values[..., j, d]: (..., k, [n]), (..., n, d) -> (..., k, d)."""
    weights, values = with_finite_gradient(weights), with_finite_gradient(values)
    if finite(values):
        return weights @ values
    return weights @ _finite(values) + _unbounded_part(weights.detach(), values.detach())


def dot(weights: Tensor, values: Tensor) -> Tensor:
    """Sums over the last axis of weights * values, broadcast: (..., [n]), (..., n) -> (...)."""
    summed = plain_dot(weights, values)
    return scale(weights, values).sum(dim=-1) if summed is None else summed


def plain_dot(weights: Tensor, values: Tensor) -> Tensor | None:
    """`dot`, (...), where values are seen to be so small that products are numbers, as all integers are; else None.

    Weights, and values that are no integers, are of one dtype, which is no half precision: None where they are not.
    """
    if weights.dtype not in _WIDE or not (readable(weights) and readable(values)):
        return None
    if not (values.is_floating_point() or values.is_complex()):
        values = values.to(weights.dtype)
    elif values.dtype != weights.dtype or not _is_short(values.detach()):
        return None
    if not _by_one_step(weights, values):
        return (weights * values).sum(dim=-1)
    summed: Tensor = _Dot.apply(weights, values)
    return summed


def scale(weights: Tensor, values: Tensor) -> Tensor:
    """weights * values, broadcast: (...), (...) -> (...)."""
    moderate = _seen_moderate(values)
    if moderate and _by_one_step(weights, values):
        product: Tensor = _Scale.apply(weights, values)
        return product
    weights, values = with_finite_gradient(weights), with_finite_gradient(values)
    if moderate:
        return weights * values
    return weights * _moderate(values) + _constant(weights, values)


def mix(weights: Tensor, values: Tensor, others: Tensor) -> Tensor:
    """weights * values + (1 - weights) * others, broadcast: (...), (...), (...) -> (...)."""
    mixed = plain_mix(weights, values, others)
    if mixed is not None:
        return mixed
    weights, values, others = (with_finite_gradient(x) for x in (weights, values, others))
    if _seen_moderate(values) and _seen_moderate(others):
        return torch.lerp(others, values, weights)
    inner = torch.lerp(_moderate(others), _moderate(values), weights)
    return inner + _constant(weights, values) + _constant(1.0 - weights, others)


def plain_mix(weights: Tensor, values: Tensor, others: Tensor) -> Tensor | None:
    """`mix`, (...), where values and others are seen to lie no farther apart than products of numbers go; else None.

    All are of one dtype, which is no half precision: None where they are not.
    """
    if not (weights.dtype == values.dtype == others.dtype and weights.dtype in _WIDE and readable(weights)):
        return None
    apart = values.detach() - others.detach()
    if not (readable(apart) and _is_short(apart)):
        return None
    # lerp is exact at weights 0 and 1 and needs one pass.
    if not _by_one_step(weights, values, others):
        return torch.lerp(others, values, weights)
    mixed: Tensor = _Mix.apply(weights, values, others)
    return mixed


def _by_one_step(*operands: Tensor) -> bool:
    """Return True if an operand gets a derivative, and nothing forbids a Function here; the last are readable.

    Python is what a small sum costs: a Function for each operand's finite gradient, and one more node between them.
    """
    asked = torch.is_grad_enabled() and any(x.requires_grad for x in operands)
    return asked and len({x.dtype for x in operands}) == 1 and readable(operands[0])


class _Scale(Function):
    """weights * values with gradients that are finite."""

    @staticmethod
    def forward(weights: Tensor, values: Tensor) -> Tensor:
        return weights * values

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, values = ctx.saved_tensors
        return _fitting(ctx, (lambda: grad * values, lambda: grad * weights), (weights, values))


class _Dot(_Scale):
    """The sum of _Scale over the last axis."""

    @staticmethod
    def forward(weights: Tensor, values: Tensor) -> Tensor:
        return (weights * values).sum(dim=-1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, values = ctx.saved_tensors
        each = grad.unsqueeze(-1).expand(*grad.shape, max(weights.shape[-1], values.shape[-1]))
        return _fitting(ctx, (lambda: each * values, lambda: each * weights), (weights, values))


class _Mix(Function):
    """lerp with gradients that are finite."""

    @staticmethod
    def forward(weights: Tensor, values: Tensor, others: Tensor) -> Tensor:
        return torch.lerp(others, values, weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, values, others = ctx.saved_tensors
        parts = (lambda: grad * (values - others), lambda: grad * weights, lambda: grad * (1.0 - weights))
        return _fitting(ctx, parts, (weights, values, others))


def _fitting(
    ctx: Any, parts: tuple[Callable[[], Tensor], ...], operands: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """Gradients summed to the shapes of their operands, and finite; None where none is asked for."""
    return tuple(
        finite_gradient(_summed(part(), operand)) if needed else None
        for part, operand, needed in zip(parts, operands, ctx.needs_input_grad, strict=True)
    )


def _summed(part: Tensor, operand: Tensor) -> Tensor:
    return part if part.shape == operand.shape else part.sum_to_size(operand.shape)


def _finite(values: Tensor) -> Tensor:
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _is_moderate(values: Tensor) -> Tensor:
    """True for entries that are finite and so small that products of two of them are."""
    moderate: Tensor = values.abs() <= torch.finfo(values.dtype).max ** 0.5
    return moderate


def _seen_moderate(values: Tensor) -> bool:
    """Return True if all entries are seen to be moderate; where they cannot be read, nothing is seen."""
    return readable(values) and _is_short(values.detach())


@question
def _is_short(values: Tensor) -> bool:
    """Return True if the root of the sum of squares of what may be read is so small that products are numbers."""
    return float(torch.linalg.vector_norm(values)) <= math.sqrt(torch.finfo(values.dtype).max)


def _moderate(values: Tensor) -> Tensor:
    return torch.where(_is_moderate(values), values, 0.0)


def _constant(weights: Tensor, values: Tensor) -> Tensor:
    """The entries of `values` that are not moderate and have a weight, infinite ones whole, else 0.

    No derivative for the weight, nor for an infinite entry.
    """
    weights = weights.detach()
    parts = torch.where(values.isfinite(), weights * _finite(values), values.detach())
    return torch.where((weights > 0) & ~_is_moderate(values), parts, 0.0)


def _unbounded_part(weights: Tensor, values: Tensor) -> Tensor:
    """The part of `contract` that comes from entries that are not finite: 0, inf, -inf or NaN. (..., k, d)

    Counted by one product with 0/1 marks: nothing of the size k * n * d is made, and no data is looked at on the host.
    """
    nan = values.isnan()
    marks = torch.cat([nan | (values == torch.inf), nan | (values == -torch.inf)], dim=-1)  # (..., n, 2 d)
    up, down = ((weights @ marks.to(weights.dtype)) > 0).chunk(2, dim=-1)
    # inf - inf makes the NaN of rows with both, and of entries that are NaN, which are marked twice.
    return torch.where(up, torch.inf, 0.0) - torch.where(down, torch.inf, 0.0)
