"""Ties: where the program's own numbers lie on a jump, the value is the program's, and the derivative the soft one's.

A soft step is half way up at its jump. Numbers that the program has chosen, rounded, counted or clipped lie on jumps in
whole regions of the inputs: the largest number is not less than itself, half of a count is often whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

import softtorch

__all__ = [
    "among_largest",
    "at_median",
    "at_rank",
    "equal",
    "first_largest",
    "first_smallest",
    "half",
    "in_order",
    "running_largest",
    "running_smallest",
    "settled",
    "settled_place",
    "whole",
    "whole_quotient",
    "with_derivative_at_zero",
    "zero_other",
]

# How far apart numbers may be that are equal but for rounding, in units of the last place.
_ULPS = 8


def with_derivative_at_zero(step: Tensor, x: Tensor, values: Tensor) -> Tensor:
    """`step`, which is `values` where x is 0: there they have a derivative of 1.  # (...), (...), (...) -> (...)"""
    held = torch.zeros((), dtype=step.dtype, device=step.device)
    return step + torch.where(x == 0, values - values.detach(), held)


def settled(soft: Tensor, hard: Tensor, tied: Tensor) -> Tensor:
    """`soft`, and where numbers are tied the value of `hard` with the derivative of `soft`.  # (...) each -> (...)

    >>> settled(torch.tensor([0.5, 0.75]), torch.tensor([True, True]), torch.tensor([True, False]))
    tensor([1.0000, 0.7500])
    """
    return torch.where(tied, softtorch.straight_through(hard.detach().to(soft.dtype), soft), soft)


def settled_place(p: Tensor, place: Tensor) -> Tensor:
    """The weights of a place, and where numbers tie the program's place with the derivative of the weights.

    place: the place that the program takes of several, -1 where there is one.
    # (..., [n]), (...) -> (..., [n])

    >>> settled_place(torch.tensor([[0.5, 0.5], [0.1, 0.9]]), torch.tensor([0, -1]))
    tensor([[1.0000, 0.0000],
            [0.1000, 0.9000]])
    """
    taken = torch.arange(p.shape[-1], device=p.device) == place.unsqueeze(-1)
    return settled(p, taken, (place >= 0).unsqueeze(-1))


def first_largest(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The first of several largest numbers, equal but for rounding; -1 where one alone is the largest.

    # (..., n, ...) -> (...)

    >>> first_largest(torch.tensor([[0.0, 2.0, 2.0], [1.0, 3.0, 2.0]]), 1)
    tensor([ 1, -1])
    """
    axis = 0 if dim is None else dim
    rows = input.detach().flatten() if dim is None else input.detach()
    if not rows.dim():
        return rows.new_full((), -1, dtype=torch.int64)
    tied = equal(rows, rows.amax(axis, keepdim=True))
    place = torch.where(tied.sum(axis, keepdim=True) > 1, tied.int().argmax(axis, keepdim=True), -1)
    if dim is None:
        return place.reshape([1] * input.dim() if keepdim else [])
    return place if keepdim else place.squeeze(axis)


def first_smallest(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The same of the smallest.  # (..., n, ...) -> (...)

    >>> first_smallest(torch.tensor([2.0, 0.0, 0.0]))
    tensor(1)
    """
    return first_largest(-input, dim, keepdim)


def in_order(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The places of sorted numbers that are equal to others but for rounding; -1 for the others.

    # (..., n, ...) -> (..., n, ...)

    >>> in_order(torch.tensor([2.0, 0.0, 2.0, 1.0]))
    tensor([-1, -1,  0,  2])
    """
    return _shared(input, torch.sort(input.detach(), dim=dim, descending=descending, stable=stable), dim)


def among_largest(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Tensor:
    """The same of the k largest or smallest.  # (..., n, ...) -> (..., k, ...)"""
    return _shared(input, torch.topk(input.detach(), k, dim, largest, sorted), dim)


def at_rank(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Tensor:
    """The same of the k-th smallest.  # (..., n, ...) -> (...)"""
    place = _shared(input, torch.kthvalue(input.detach(), k, dim, True), dim)
    return place if keepdim else place.squeeze(dim)


def at_median(input: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The same of the median.  # (..., n, ...) -> (...)"""
    place = _shared(input, torch.median(input.detach(), dim, True), dim)
    return place if keepdim else place.squeeze(dim)


def running_largest(input: Tensor, dim: int) -> Tensor:
    """The same of the largest up to each.  # (..., n, ...) -> (..., n, ...)"""
    return _shared(input, torch.cummax(input.detach(), dim), dim)


def running_smallest(input: Tensor, dim: int) -> Tensor:
    """The same of the smallest up to each.  # (..., n, ...) -> (..., n, ...)"""
    return _shared(input, torch.cummin(input.detach(), dim), dim)


def _shared(input: Tensor, chosen: tuple[Tensor, Tensor], dim: int) -> Tensor:
    """The places of chosen numbers that stand in a row more than once, -1 for the others."""
    values, places = chosen
    if not values.dim():
        return torch.full_like(places, -1)
    pairs = equal(values.movedim(dim, -1).unsqueeze(-1), input.detach().movedim(dim, -1).unsqueeze(-2))
    return torch.where((pairs.sum(-1) > 1).movedim(-1, dim), places, -1)


def equal(x: Tensor | float, y: Tensor | float) -> Tensor:
    """True where two numbers are equal but for rounding; an infinity equals itself alone.

    # (...) each, broadcast -> (...)

    >>> equal(torch.tensor([0.3, 0.4, torch.inf]), 3 * 0.1)
    tensor([ True, False, False])
    """
    with torch.no_grad():
        size = torch.maximum(torch.as_tensor(x).abs(), torch.as_tensor(y).abs())
        size = size if size.is_floating_point() else size.to(torch.get_default_dtype())
        near = torch.as_tensor(x - y).abs() <= _ULPS * torch.finfo(size.dtype).eps * size.nan_to_num(posinf=0.0)
        return torch.as_tensor(x == y) | near


def whole(x: Tensor) -> Tensor:
    """True where a number is whole but for rounding: where floor, ceil and trunc jump.  # (...) -> (...)"""
    return equal(x, x.detach().round())


def whole_quotient(x: Tensor | float, y: Tensor | float, *, rounding_mode: str | None = None) -> Tensor:
    """True where a number is a multiple of another but for rounding.  # (...) each, broadcast -> (...)

    >>> whole_quotient(torch.tensor([1.5, 1.25]), 0.5)
    tensor([ True, False])
    """
    with torch.no_grad():
        return whole(torch.as_tensor(x / y))


def half(x: Tensor, decimals: int = 0) -> Tensor:
    """True where a number is half way between two of so many decimals, where round jumps.  # (...) -> (...)

    >>> half(torch.tensor([0.5, 1.0, 1.2]))
    tensor([ True, False, False])
    """
    scaled = 2 * 10.0**decimals * x.detach()
    return whole(scaled) & (scaled.round() % 2 == 1)


def zero_other(x: Tensor, other: Tensor) -> Tensor:
    """True where the second of two numbers is 0, which has a sign of its own.  # (...) each, broadcast -> (...)

    >>> zero_other(torch.tensor([1.0, 2.0]), torch.tensor([0.5, -0.0]))
    tensor([False,  True])
    """
    return (other.detach() == 0).expand_as(x + other.detach())
