"""Standardizing: z = (x - mean) / sqrt(var + floor), the same for entries of any size and at any distance from 0.

The floor is 1e-6, as in SoftTorch 0.1.1, for variances of ordinary size and for rows of equal entries, which have
nothing to go by. Below it is a part of the variance itself: a floor that does not shrink with the entries would hide
what tells them apart. torch's layer normalization is the same thing for ordinary rows, in one step either way; which
entries count as infinite is the business of methods/keys.py.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.kernels.numeric.questions import question
from softtorch.kernels.numeric.span import Span, beyond, clamped, once, weight
from softtorch.kernels.numeric.tracing import function_may_be_traced
from softtorch.torch_private import Function


def _numbers() -> tuple[float, float, float]:
    """VARIANCE_FLOOR, ORDINARY, and within how many units of rounding, at their size, entries count as equal.

    Numbers written in a function are constants of a graph. Those of a module are its inputs where it is compiled for
    all sizes, and the graphs of a Function inside do not get them.
    """
    return 1e-6, 1e-3, 4.0


VARIANCE_FLOOR = _numbers()[0]  # of SoftTorch 0.1.1

ORDINARY = _numbers()[1]
"""A variance of twice this has the whole floor; one of this or less has a floor of 1e-6 of itself. The least variance
among the stored reference values is 2.6e-3."""

# How far off its centre, in units of its spread, layer normalization may find a row: it subtracts last, which costs as
# many units of rounding.
_NEAR = 64.0


class Moments(NamedTuple):
    """Where entries lie, (..., [1]) each: their mean is middle + shift, and spread is sqrt(var + floor)."""

    middle: Tensor
    """halfway between the lowest and the highest; a constant"""
    shift: Tensor
    spread: Tensor

    def restored(self, z: Tensor) -> Tensor:
        """The numbers, (..., k), that standardize to z."""
        return torch.addcmul(self.shift, z, self.spread) + self.middle

    def negated(self) -> "Moments":
        """The moments of -x."""
        return Moments(-self.middle, -self.shift, self.spread)

    def unsqueezed(self) -> "Moments":
        """The same for parts of each row, (..., 1, [1])."""
        return Moments(*(part.unsqueeze(-2) for part in self))


def moments(x: Tensor) -> Moments:
    """The moments of the entries of x, (..., [n]). Differentiable by x."""
    return standardized(x).moments


class Standardized(NamedTuple):
    """Entries x, (..., [n]), in units of their own spread, differentiable by x."""

    z: Tensor
    """(..., [n]); of entries outside of the span 0, or huge and on their side where `inside` is given"""
    moments: Moments
    inside: Tensor | None = None
    """(..., [n]) the entries, those outside of the span at its ends; None outside of what torch.compile records"""


def standardized(x: Tensor, span: Span | None = None) -> Standardized:
    """z, (..., [n]), and the moments of those entries of x, (..., [n]), that lie within a span; all by default.

    Everything is counted from the middle of the row and in units of its reach, so that neither distance from 0 nor size
    costs a digit. Entries outside of the span have no derivative.
    """
    if span is not None and function_may_be_traced():
        z, inside, shift, spread = _Standardized.apply(x, *span)[:4]
        return Standardized(z, Moments(span.middle, shift, spread), inside)
    row = _Row.of(Span.of(x) if span is None else span)
    scaled = (x - row.middle) / row.unit
    if span is None:
        shift = scaled.mean(dim=-1, keepdim=True)
        centred = scaled - shift
        variance = centred.square().mean(dim=-1, keepdim=True)
    else:
        counted = span.counted(x)
        count = counted.sum(dim=-1, keepdim=True, dtype=x.dtype).clamp(min=1)
        shift = torch.where(counted, scaled, 0.0).sum(dim=-1, keepdim=True) / count
        centred = torch.where(counted, scaled - shift, 0.0)
        variance = centred.square().sum(dim=-1, keepdim=True) / count
    spread = (variance + row.floor(variance)).sqrt()
    return Standardized(centred / spread, Moments(row.middle, shift * row.unit, spread * row.unit))


class _Row(NamedTuple):
    """The units of a row, (..., [1]) each: constants."""

    middle: Tensor
    unit: Tensor
    """half of the distance of the lowest from the highest, 1 where that is rounding"""
    wide: Tensor
    """whether it is no rounding"""

    @classmethod
    def of(cls, span: Span) -> "_Row":
        """That of a row with this span."""
        low, high = span
        reach, largest = high / 2.0 - low / 2.0, torch.maximum(low.abs(), high.abs())
        wide = reach > _numbers()[2] * torch.finfo(low.dtype).eps * largest
        return cls(span.middle, torch.where(wide, reach, 1.0), wide)

    def floor(self, variance: Tensor) -> Tensor:
        """The least variance that counts, in square units, (..., [1])."""
        least, more, whole = self._floors(variance)
        return torch.where(self.wide, torch.minimum(torch.maximum(least, more), whole), whole)

    def growth(self, variance: Tensor) -> Tensor:
        """The derivative of variance + floor(variance), (..., [1])."""
        least, more, whole = self._floors(variance)
        floor, ordinary, _ = _numbers()
        slope = torch.where(more > least, floor / ordinary, floor)
        return 1.0 + torch.where(self.wide & (torch.maximum(least, more) < whole), slope, 0.0)

    def _floors(self, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        floor, ordinary, _ = _numbers()
        whole = floor / self.unit.square()
        return floor * variance, (floor / ordinary) * variance - whole, whole


class _Standardized(Function):
    """`standardized` in few passes each way, without masks: z, the entries inside, shift and spread.

    With means over the n entries that count, z = c / s for c = x - mean, and s^2 = v + floor(v) for v = mean(c^2), a
    gradient g of z pulls back to (g - mean(g) - growth z mean(g z)) / s, that of the spread to growth z / n, and that
    of the shift to 1 / n.
    """

    @staticmethod
    def forward(x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, ...]:
        span = Span(low, high)
        row, inside = _Row.of(span), clamped(x, span)
        weights = weight(x, inside)
        middle, scale = once(row.middle), once((1.0 / row.unit).clamp(max=torch.finfo(x.dtype).max))
        count = once(weights.sum(dim=-1, keepdim=True).clamp(min=1.0))
        scaled = (inside - middle) * scale
        shift = once((scaled * weights).sum(dim=-1, keepdim=True) / count)
        centred = scaled - shift
        variance = (centred.square() * weights).sum(dim=-1, keepdim=True) / count
        spread = (variance + row.floor(variance)).sqrt()
        inverse = once(1.0 / spread)
        z = centred * inverse + beyond(x, inside)
        width = once(spread * row.unit)
        rows = (middle, scale, shift, inverse, once(row.growth(variance) / count), once(1.0 / count))
        return z, inside, shift * row.unit, width, *rows

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[4:])
        ctx.save_for_backward(*inputs, *output[3:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, by_inside: Tensor, *by_rows: Any) -> tuple[Tensor, None, None]:
        by_shift, by_spread, *_ = by_rows
        x, low, high, width, middle, scale, shift, inverse, rate, share = ctx.saved_tensors
        inside = clamped(x, Span(low, high))
        weights = weight(x, inside)
        z = ((inside - middle) * scale - shift) * inverse
        counted = grad * weights
        mean = (counted.sum(dim=-1, keepdim=True) - by_shift * width) * share
        slope = ((counted * z).sum(dim=-1, keepdim=True) - by_spread * width) * rate
        return ((grad - mean - slope * z) * inverse * scale + by_inside) * weights, None, None


class Ordinary(NamedTuple):
    """Entries x, (..., [n]), in units of their own spread, by layer normalization."""

    z: Tensor
    """(..., [n]), differentiable by x"""
    mean: Tensor
    """(..., [1]), a constant"""
    spread: Tensor
    """sqrt(var + 1e-6), (..., [1]), a constant"""

    def holds(self) -> bool:
        """Return True if no row is so narrow, or so far from 0, that its z is another one; read on the host."""
        return _is_ordinary(self.mean, self.spread)

    def reach(self) -> Tensor:
        """No entry is larger in size than this, (..., [1]); NaN where one is NaN or infinite."""
        return torch.add(self.mean.abs(), self.spread, alpha=self.z.shape[-1] ** 0.5)


@question
def _is_ordinary(mean: Tensor, spread: Tensor) -> bool:
    wide = float(spread.amin()) ** 2 >= 2.0 * ORDINARY + VARIANCE_FLOOR
    return wide and float((mean.abs() / spread).amax()) < _NEAR


def ordinary(x: Tensor) -> Ordinary:
    """z of rows of ordinary size, (..., [n])."""
    z, mean, inverse = torch.native_layer_norm(x, x.shape[-1:], None, None, VARIANCE_FLOOR)
    return Ordinary(z, mean, inverse.reciprocal())
