"""Ties: where the program's own numbers lie on a jump, the value is the program's, and the derivative the soft one's.

A soft step is half way up at its jump. Numbers that the program has chosen, rounded, counted or clipped lie on jumps in
whole regions of the inputs: the largest number is not less than itself, half of a count is often whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

import softtorch

__all__ = ["equal", "half", "settled", "whole"]

# How far apart numbers may be that are equal but for rounding, in units of the last place.
_ULPS = 8


def settled(soft: Tensor, hard: Tensor, tied: Tensor) -> Tensor:
    """`soft`, and where numbers are tied the value of `hard` with the derivative of `soft`.  # (...) each -> (...)

    >>> settled(torch.tensor([0.5, 0.75]), torch.tensor([True, True]), torch.tensor([True, False]))
    tensor([1.0000, 0.7500])
    """
    return torch.where(tied, softtorch.straight_through(hard.detach().to(soft.dtype), soft), soft)


def equal(x: Tensor | float, y: Tensor | float) -> Tensor:
    """True where two numbers are equal but for rounding.  # (...) each, broadcast -> (...)

    >>> equal(torch.tensor([0.3, 0.4]), 3 * 0.1)
    tensor([ True, False])
    """
    with torch.no_grad():
        size = torch.maximum(torch.as_tensor(x).abs(), torch.as_tensor(y).abs())
        size = size if size.is_floating_point() else size.to(torch.get_default_dtype())
        return torch.as_tensor(x - y).abs() <= _ULPS * torch.finfo(size.dtype).eps * size


def whole(x: Tensor) -> Tensor:
    """True where a number is whole but for rounding: where floor, ceil and trunc jump.  # (...) -> (...)"""
    return equal(x, x.detach().round())


def half(x: Tensor, decimals: int = 0) -> Tensor:
    """True where a number is half way between two of so many decimals, where round jumps.  # (...) -> (...)

    >>> half(torch.tensor([0.5, 1.0, 1.2]))
    tensor([ True, False, False])
    """
    scaled = 2 * 10.0**decimals * x.detach()
    return whole(scaled) & (scaled.round() % 2 == 1)
