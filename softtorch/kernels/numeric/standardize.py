"""Standardizing: z = (x - mean) / sqrt(var + floor), the same for entries of any size and at any distance from 0.

The floor is 1e-6, as in SoftTorch 0.1.1, for variances of ordinary size and for rows of equal entries, which have
nothing to go by. Below it is a part of the variance itself: a floor that does not shrink with the entries would hide
what tells them apart. torch's layer normalization is the same thing for ordinary rows, in one step either way; which
entries count as infinite is the business of methods/keys.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor

VARIANCE_FLOOR = 1e-6  # of SoftTorch 0.1.1

ORDINARY = 1e-3
"""A variance of twice this has the whole floor; one of this or less has a floor of 1e-6 of itself. The least variance
among the stored reference values is 2.6e-3."""

_ROUNDING = 4.0  # entries within so many units of rounding of each other, at their size, count as equal

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
    return standardized(x)[1]


def standardized(x: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Moments]:
    """z, (..., [n]), and the moments of those entries of x, (..., [n]), that are counted, (..., [n]); all by default.

    Differentiable by x; z is 0 for entries that are not counted. Everything is counted from the middle of the row and
    in units of its reach, so that neither distance from 0 nor size costs a digit.
    """
    low, high = bounds(x, counted)
    middle = low / 2.0 + high / 2.0
    reach = high / 2.0 - low / 2.0
    rounding = _ROUNDING * torch.finfo(x.dtype).eps * torch.maximum(low.abs(), high.abs())
    unit = torch.where(reach > rounding, reach, 1.0)
    scaled = (x - middle) / unit
    if counted is None:
        shift = scaled.mean(dim=-1, keepdim=True)
        centred = scaled - shift
        variance = centred.square().mean(dim=-1, keepdim=True)
    else:
        count = counted.sum(dim=-1, keepdim=True, dtype=x.dtype).clamp(min=1)
        shift = torch.where(counted, scaled, 0.0).sum(dim=-1, keepdim=True) / count
        centred = torch.where(counted, scaled - shift, 0.0)
        variance = centred.square().sum(dim=-1, keepdim=True) / count
    whole = VARIANCE_FLOOR / unit.square()
    part = torch.maximum(VARIANCE_FLOOR * variance, (VARIANCE_FLOOR / ORDINARY) * variance - whole)
    floor = torch.where(reach > rounding, torch.minimum(part, whole), whole)
    spread = (variance + floor).sqrt()
    return centred / spread, Moments(middle, shift * unit, spread * unit)


def bounds(x: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The lowest and the highest of the counted entries of x, (..., [n]): (..., [1]) each, constants; 0 for none."""
    fixed = x.detach()
    if counted is None:
        return fixed.amin(dim=-1, keepdim=True), fixed.amax(dim=-1, keepdim=True)
    low = torch.where(counted, fixed, torch.inf).amin(dim=-1, keepdim=True)
    high = torch.where(counted, fixed, -torch.inf).amax(dim=-1, keepdim=True)
    some = low <= high
    return torch.where(some | low.isnan(), low, 0.0), torch.where(some | high.isnan(), high, 0.0)


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
        wide = float(self.spread.amin()) ** 2 >= 2.0 * ORDINARY + VARIANCE_FLOOR
        return wide and float((self.mean.abs() / self.spread).amax()) < _NEAR

    def reach(self) -> Tensor:
        """No entry is larger in size than this, (..., [1]); NaN where one is NaN or infinite."""
        return torch.add(self.mean.abs(), self.spread, alpha=self.z.shape[-1] ** 0.5)


def ordinary(x: Tensor) -> Ordinary:
    """z of rows of ordinary size, (..., [n])."""
    z, mean, inverse = torch.native_layer_norm(x, x.shape[-1:], None, None, VARIANCE_FLOOR)
    return Ordinary(z, mean, inverse.reciprocal())
