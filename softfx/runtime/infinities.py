"""Averages at soft indices of rows that hold infinities, such as logits that a filter has masked with -inf.

No average with an infinite number is of use. What the program reads or finds there decides: where that is finite the
infinite and NaN elements are left out, and the weights of the others fill the whole; where it is not, it stands alone
and has no derivative. Rows that are finite have the averages that softtorch gives.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.runtime import distributions, places
from softfx.runtime.distributions import excluding
from softtorch.straight_through import finite as seen_finite
from softtorch.straight_through import plain_dot, with_finite_gradient, with_finite_value

__all__ = [
    "averaged",
    "gathered",
    "number_of",
    "or_hard",
    "or_other",
    "put",
    "rows_of",
    "scattered",
    "with_nan",
    "without_nan",
]

# The least weight that the finite elements of a row are taken to have in all.
_LEAST = 1e-6


def _settled(soft: Tensor, hard: Tensor, far: float = torch.inf) -> Tensor:
    hard = hard.detach().to(soft.dtype)
    return torch.where(hard.abs() < far, soft, hard)


def or_hard(soft: Tensor, hard: Tensor) -> Tensor:
    """`soft`, and where it is infinite or NaN the derivative of `hard`, at 0 if that is no number.

    # (...), (...) -> (...)

    >>> or_hard(torch.tensor([0.25, torch.nan, torch.nan]), torch.tensor([0.0, 1.0, torch.nan]))
    tensor([0.2500, 1.0000, 0.0000])
    """
    return torch.where(torch.isfinite(soft), soft, with_finite_value(hard if _has_derivative(hard) else hard.detach()))


def _has_derivative(x: Tensor) -> bool:
    """Return False for the result of an operation of which torch has no derivative: its backward pass would raise."""
    if torch.compiler.is_compiling() or x.grad_fn is None:  # a compiler does not follow names of nodes
        return True
    return x.grad_fn.name() != "torch::autograd::NotImplemented"


def without_nan(x: Tensor, level: float) -> Tensor:
    """x with an infinite number in the place of NaN, as torch orders it.  # (...) -> (...)

    >>> without_nan(torch.tensor([torch.nan, 1.0]), torch.inf)
    tensor([inf, 1.])
    """
    return x.masked_fill(x.isnan(), level)


def or_other(x: Tensor, other: Tensor) -> Tensor:
    """x, and the other number where x is NaN.  # (...), (...) -> (...)

    >>> or_other(torch.tensor([torch.nan, 1.0]), torch.tensor([3.0, 2.0]))
    tensor([3., 1.])
    """
    return torch.where(x.isnan(), other, x)


def number_of(soft: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`soft`, made of two numbers, and the one of them that is a number where the other is NaN.

    # (...), (...), (...) -> (...)

    >>> number_of(torch.tensor([5.0, 5.0]), torch.tensor([torch.nan, 1.0]), torch.tensor([3.0, 2.0]))
    tensor([3., 5.])
    """
    return torch.where(x.isnan(), y, torch.where(y.isnan(), x, soft))


def with_nan(soft: Tensor, hard: Tensor) -> Tensor:
    """`soft`, and NaN where `hard` is.  # (...), (...) -> (...)

    >>> with_nan(torch.tensor([torch.inf, 1.0]), torch.tensor([torch.nan, 2.0]))
    tensor([nan, 1.])
    """
    return torch.where(hard.isnan(), hard.detach().to(soft.dtype), soft)


def averaged(p: Tensor, values: Tensor, hard: Tensor) -> Tensor:
    """sum_j p_j values_j over the finite values, `hard` being the one that is found.  # (..., [n]) x2, (...) -> (...)

    >>> averaged(torch.tensor([0.5, 0.25, 0.25]), torch.tensor([1.0, 4.0, -torch.inf]), torch.tensor(1.0))
    tensor(2.)
    """
    if (summed := plain_dot(p, values)) is not None:
        return summed
    if seen_finite(values):
        return softtorch.choose(p, values.movedim(-1, 0))
    finite = torch.isfinite(values)
    left = p * finite
    mass = left.sum(-1, keepdim=True).clamp(min=_LEAST)
    return _settled(softtorch.choose(left / mass, torch.where(finite, values, 0.0).movedim(-1, 0)), hard)


def rows_of(p: Tensor, table: Tensor, hard: Tensor) -> Tensor:
    """places.rows_of of the finite elements.  # (..., [n]), (n, *row), (..., *row) -> (..., *row)

    >>> table = torch.tensor([[1.0, -torch.inf], [3.0, 4.0]])
    >>> rows_of(torch.tensor([0.75, 0.25]), table, table[0])
    tensor([1.5000,   -inf])
    """
    if seen_finite(table):
        return places.rows_of(p, table)
    finite = torch.isfinite(table)
    found = places.rows_of(p, torch.where(finite, table, 0.0))
    return _settled(found / places.rows_of(p, finite.to(table.dtype)).clamp(min=_LEAST), hard)


def gathered(x: Tensor, dim: int, p: Tensor, hard: Tensor) -> Tensor:
    """softtorch.gather of the finite elements.  # (..., n, ...), (..., k, ..., [n]), (..., k, ...) -> (..., k, ...)

    >>> x, p = torch.tensor([1.0, -torch.inf]), torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> gathered(x, 0, p, x)
    tensor([1., -inf])
    """
    return _taken(lambda values: softtorch.gather(values, dim, p), x, hard)


def taken_along_dim(x: Tensor, p: Tensor, dim: int, hard: Tensor) -> Tensor:
    """softtorch.take_along_dim of the finite elements.  # as `gathered`, broadcast

    >>> x, p = torch.tensor([1.0, -torch.inf]), torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> taken_along_dim(x, p, 0, x)
    tensor([1., -inf])
    """
    return _taken(lambda values: softtorch.take_along_dim(values, p, dim), x, hard)


def _taken(averages: Callable[[Tensor], Tensor], x: Tensor, hard: Tensor) -> Tensor:
    if seen_finite(x):
        return averages(x)
    finite = torch.isfinite(x)
    found = averages(torch.where(finite, x, 0.0))
    return _settled(found / averages(finite.to(x.dtype)).clamp(min=_LEAST), hard)


def scattered(x: Tensor, dim: int, p: Tensor, values: Tensor, hard: Tensor, far: float = torch.inf) -> Tensor:
    """softtorch.scatter of finite values; `far`: the least size that stands for an infinite one.

    # (..., n, ...), (..., k, ..., [n]), (..., k, ...), (..., n, ...) -> (..., n, ...)

    >>> x, p = torch.zeros(2), torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> scattered(x, 0, p, torch.tensor([4.0, -torch.inf]), torch.tensor([4.0, -torch.inf]))
    tensor([4., -inf])
    """
    return _written(partial(softtorch.scatter_add, torch.zeros_like(x), dim, p), x, values, hard, far)


def put(
    x: Tensor, key: tuple[Any, ...], p: Tensor, points: Tensor, values: Tensor, block: int, hard: Tensor,
    far: float = torch.inf,
) -> Tensor:  # fmt: skip
    """distributions.put of finite values, as `scattered` is softtorch.scatter of them.  # -> (...)"""

    def added(values: Tensor) -> Tensor:
        return distributions.put(torch.zeros_like(x), key, p, points, values, block, True)

    return _written(added, x, values, hard, far)


def _written(added: Callable[[Tensor], Tensor], x: Tensor, values: Tensor, hard: Tensor, far: float) -> Tensor:
    """The mean of the finite values that writes bring to each place, and what they leave of a finite one.

    A place that is infinite is left in by what is written there, the less likely the further from it.
    added: the sum of given values that the writes bring to each place.
    """
    x, values = with_finite_gradient(x), with_finite_gradient(values)
    taken = added(torch.ones_like(values))
    share = taken.clamp(max=1.0)
    if far == torch.inf and seen_finite(x) and seen_finite(values):
        return x * (1.0 - share) + added(values) / taken.clamp(min=_LEAST) * share
    finite, is_place = values.abs() < far, x.abs() < far
    mean = added(torch.where(finite, values, 0.0)) / added(finite.to(x.dtype)).clamp(min=_LEAST)
    whole = torch.where(is_place, x, 0.0) * (1.0 - share) + mean * share
    moved = torch.where(x > 0, excluding(mean, share, 1.0), excluding(mean, share, -1.0))
    return _settled(torch.where(is_place, whole, softtorch.straight_through(hard.to(moved.dtype), moved)), hard, far)
