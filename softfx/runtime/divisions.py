"""Division and remainder of integers, which by zero are 0: no error, and of no weight to a derivative.

Soft quotients are averages over the points of integers, and a point 0 of a divisor may have any small weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["floor_divide", "fmod", "remainder", "trunc_divide"]


def _divisor(y: Tensor | float) -> Tensor | float:
    """y, (...), with 1 in place of 0."""
    if isinstance(y, Tensor):
        return torch.where(y == 0, 1, y)
    return y if y else 1


def _unless_by_zero(result: Tensor, y: Tensor | float) -> Tensor:
    """`result`, (...), and 0 where it is by zero."""
    if isinstance(y, Tensor):
        return torch.where(y == 0, 0, result)
    return result if y else torch.zeros_like(result)


def floor_divide(x: Tensor, y: Tensor | float) -> Tensor:
    """floor(x / y).  # (...) each, broadcast -> (...)

    >>> floor_divide(torch.tensor([7, 7]), torch.tensor([2, 0]))
    tensor([3, 0])
    """
    return _unless_by_zero(torch.floor_divide(x, _divisor(y)), y)


def trunc_divide(x: Tensor, y: Tensor | float) -> Tensor:
    """trunc(x / y).  # (...) each, broadcast -> (...)

    >>> trunc_divide(torch.tensor([-7, 7]), torch.tensor([2, 0]))
    tensor([-3,  0])
    """
    return _unless_by_zero(torch.div(x, _divisor(y), rounding_mode="trunc"), y)


def remainder(x: Tensor, y: Tensor | float) -> Tensor:
    """x - y floor(x / y).  # (...) each, broadcast -> (...)

    >>> remainder(torch.tensor([-7, 7]), torch.tensor([2, 0]))
    tensor([1, 0])
    """
    return _unless_by_zero(torch.remainder(x, _divisor(y)), y)


def fmod(x: Tensor, y: Tensor | float) -> Tensor:
    """x - y trunc(x / y).  # (...) each, broadcast -> (...)

    >>> fmod(torch.tensor([-7, 7]), torch.tensor([2, 0]))
    tensor([-1,  0])
    """
    return _unless_by_zero(torch.fmod(x, _divisor(y)), y)
