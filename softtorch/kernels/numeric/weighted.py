"""Weighted sums in which an entry of weight 0 adds nothing, however large it is.

0 * inf is NaN in floating point. Here an infinite or NaN entry counts as a constant where its weight is positive, and
is left out where its weight is 0; the derivative, for the weight as for the entry, is that of the entry put to 0. So
is, but for `contract`, the weight's where a finite entry is so large that it stands for an infinite one, such as the
finfo.min with which attention masks are filled: it would overflow. Derivatives that a NaN spoils count as 0.

Where one look at the entries shows that there are none of these, the sum is the plain one.
"""

import torch
from torch import Tensor

from softtorch.kernels.numeric.finite import with_finite_gradient
from softtorch.kernels.numeric.host import finite


def contract(weights: Tensor, values: Tensor) -> Tensor:
    """Sums over j of weights[..., k, j] * values[..., j, d]: (..., k, [n]), (..., n, d) -> (..., k, d)."""
    weights, values = with_finite_gradient(weights), with_finite_gradient(values)
    if finite(values):
        return weights @ values
    return weights @ _finite(values) + _unbounded_part(weights.detach(), values.detach())


def dot(weights: Tensor, values: Tensor) -> Tensor:
    """Sums over the last axis of weights * values, broadcast: (..., [n]), (..., n) -> (...)."""
    return scale(weights, values).sum(dim=-1)


def scale(weights: Tensor, values: Tensor) -> Tensor:
    """weights * values, broadcast: (...), (...) -> (...)."""
    weights, values = with_finite_gradient(weights), with_finite_gradient(values)
    if _seen_moderate(values):
        return weights * values
    return weights * _moderate(values) + _constant(weights, values)


def mix(weights: Tensor, values: Tensor, others: Tensor) -> Tensor:
    """weights * values + (1 - weights) * others, broadcast: (...), (...), (...) -> (...)."""
    weights, values, others = (with_finite_gradient(x) for x in (weights, values, others))
    # lerp is exact at weights 0 and 1 and needs one pass.
    if _seen_moderate(values) and _seen_moderate(others):
        return torch.lerp(others, values, weights)
    inner = torch.lerp(_moderate(others), _moderate(values), weights)
    return inner + _constant(weights, values) + _constant(1.0 - weights, others)


def _finite(values: Tensor) -> Tensor:
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _is_moderate(values: Tensor) -> Tensor:
    """True for entries that are finite and so small that products of two of them are."""
    moderate: Tensor = values.abs() <= torch.finfo(values.dtype).max ** 0.5
    return moderate


def _seen_moderate(values: Tensor) -> bool:
    """Return True if all entries are seen to be moderate; where they cannot be read, nothing is seen."""
    return finite(values.detach().square())


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
