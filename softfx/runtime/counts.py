"""Counts: real numbers that stand for integers, as weights over the integers near them, alone and in sums of multiples.

All functions take and return tensors, on any device, batched and differentiable. `distributions` holds the arithmetic
on distributions in general.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from softfx.runtime import distributions

__all__ = ["base_of", "combined", "count_neighbours", "digit", "extreme", "held", "sign_points", "wrapped"]

# Larger than any digit.
_NO_RADIX = 1 << 31


def wrapped(count: Tensor, hard: Tensor) -> Tensor:
    """A count as the type of its hard value holds it: whole ranges of that type away from where it was.

    # (...), (...) -> (...)

    >>> wrapped(torch.tensor([300.25, -3.0]), torch.tensor([44, 253], dtype=torch.uint8))
    tensor([ 44.2500, 253.0000])
    """
    size = 256.0**hard.dtype.itemsize
    return count - size * ((count.detach() - hard) / size).round()


def held(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Whole numbers as a type of few bytes holds them, in their own type.  # (...) -> (...)

    >>> held(torch.tensor([300, -3]), torch.uint8)
    tensor([ 44, 253])
    """
    return numbers.to(dtype).to(numbers.dtype)


def digit(count: Tensor, base: Tensor | int | None = None) -> tuple[Tensor, Tensor]:
    """A count as a digit: its two neighbours, both on its own side of zero, and both digits where it is one.

    base: a digit is one of 0..base-1, or of -base..-1 where it counts from the end.
    # (...) -> weights (..., [2]), points (..., [2])

    >>> digit(torch.tensor(3.25), 4)[1], digit(torch.tensor(-0.75), 4)[1]
    (tensor([3, 3]), tensor([-1, -1]))
    """
    weights, points = distributions.count_points(count)
    whole = count.detach().round().unsqueeze(-1)
    points = torch.where(whole < 0, points.clamp(max=-1), points.clamp(min=0))
    if base is None:
        return weights, points
    wide: Any = base.unsqueeze(-1) if isinstance(base, Tensor) else base
    inside = (whole >= -wide) & (whole < wide)
    return weights, torch.where(inside, points.clamp(-wide, wide - 1), points)


def base_of(factor: Tensor | float, known: Sequence[Tensor | float]) -> Tensor | int | None:
    """How many multiples of a factor there are below the next larger of the radices known; None if there is none.

    Of tensors, which it broadcasts, it is larger than any digit where there is none. So it is where one is not
    positive: these are no radices.

    >>> base_of(1, [5, 1, 30]), base_of(1, [torch.tensor([5.0, 0.0]), 1, 30])
    (5, tensor([         5, 2147483648]))
    """
    if not any(isinstance(radix, Tensor) for radix in (factor, *known)):
        above = [radix for radix in known if radix > factor]
        return int(-(-min(above) // factor)) if above else None
    tensors = [radix for radix in (factor, *known) if isinstance(radix, Tensor)]
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))  # type: ignore[no-untyped-call]  # torch's
    own, *others = (_whole(_wide(radix, tensors[0], shape)) for radix in (factor, *known))
    above_all = torch.full_like(own, _NO_RADIX)
    least, positive = above_all, own > 0
    for other in others:
        least = torch.where(other > own, torch.minimum(least, other), least)
        positive = positive & (other > 0)
    return torch.where(positive & (least < _NO_RADIX), -(-least // own.clamp(min=1)), above_all)


def _wide(number: Tensor | float, like: Tensor, shape: torch.Size) -> Tensor:
    return number.expand(shape) if isinstance(number, Tensor) else like.new_full(shape, number)


def combined(
    p: Tensor | None, points: Tensor | float, q: Tensor, q_points: Tensor, factor: Tensor | float
) -> tuple[Tensor, Tensor]:
    """A soft integer plus a whole multiple of another, over the numbers of both in all combinations.

    p: the weights of the first; None stands for a hard number, or a tensor of such, which `points` then is.
    factor: a number, or a tensor that broadcasts to the second.
    # (..., [n]), (..., [n]), (..., [m]), (..., [m]) -> (..., [n m]), broadcastable to it

    >>> halves = torch.tensor([0.5, 0.5])
    >>> combined(halves, torch.tensor([0, 10]), halves, torch.tensor([1, 2]), 3)
    (tensor([0.2500, 0.2500, 0.2500, 0.2500]), tensor([ 3,  6, 13, 16]))
    """
    wide = factor.unsqueeze(-1) if isinstance(factor, Tensor) else factor
    multiples = _whole(q_points * wide)
    if p is None:
        start = points.unsqueeze(-1) if isinstance(points, Tensor) else points
        return q, _whole(multiples + start)
    assert isinstance(points, Tensor)  # of a soft integer
    weights = (p.unsqueeze(-1) * q.unsqueeze(-2)).flatten(-2)
    return weights, (points.unsqueeze(-1) + multiples.unsqueeze(-2)).flatten(-2)


def _whole(numbers: Tensor) -> Tensor:
    """Whole numbers of a floating type as integers."""
    return numbers.to(torch.int64) if numbers.is_floating_point() else numbers


def count_neighbours(count: Tensor) -> tuple[Tensor, Tensor]:
    """`distributions.count_points`, but with the derivative to both sides at whole numbers.

    # (...) -> (..., [3]), (..., [3])

    >>> count_neighbours(torch.tensor(1.0))[1]
    tensor([0, 1, 2])
    """
    below = count.detach().floor()
    above = count - below
    whole = (above.detach() == 0).to(torch.int64)
    # Of each kind of number its weights at `below`, and their derivatives.
    kinds = torch.tensor(
        ((1.0, 0.0, 0.0, -1.0, 1.0, 0.0), (0.0, 1.0, 0.0, -0.5, 0.0, 0.5)), dtype=count.dtype, device=count.device
    )
    start, slope = torch.nn.functional.embedding(whole, kinds).chunk(2, dim=-1)
    points = (below - whole).unsqueeze(-1) + torch.arange(3, device=count.device)
    return torch.addcmul(start, slope, above.unsqueeze(-1)), points.to(torch.int64)


def sign_points(sign: Tensor) -> tuple[Tensor, Tensor]:
    """A soft sign as weights over -1 and 1.  # (...) -> (..., [2]), ([2])

    >>> sign_points(torch.tensor(0.5))
    (tensor([0.2500, 0.7500]), tensor([-1,  1]))
    """
    return torch.stack([(1 - sign) / 2, (1 + sign) / 2], -1), torch.tensor([-1, 1], device=sign.device)


def extreme(p: Tensor, points: Tensor, dim: int, largest: bool) -> tuple[Tensor, Tensor]:
    """The largest, or smallest, of independent integers along an axis, as weights over all numbers that they may be.

    # (..., m, ..., [n]), broadcastable to it -> (..., [m n]) x2, the numbers in order

    >>> halves = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    >>> extreme(halves, torch.tensor([0, 1]), 0, True)
    (tensor([0.2500, 0.0000, 0.7500, 0.0000]), tensor([0, 0, 1, 1]))
    """
    points = points.expand(p.shape).movedim(dim, -2)
    weights, sign = p.movedim(dim, -2), 1 if largest else -1
    own = sign * points
    numbers = own.flatten(-2).sort(-1).values
    first = torch.searchsorted(numbers, own.flatten(-2)).view_as(own)  # where each number stands, of ties the first
    each = weights.new_zeros((*weights.shape[:-1], numbers.shape[-1]))
    at_most = _product(each.scatter_add(-1, first, weights).cumsum(-1))
    return at_most.diff(dim=-1, prepend=torch.zeros_like(at_most[..., :1])), sign * numbers


def _product(factors: Tensor) -> Tensor:
    """The product along the last axis but one, pair by pair: the derivative of torch's is long where factors are 0.

    # (..., m, n) -> (..., n)
    """
    while (count := factors.shape[-2]) > 1:
        one, other, *rest = factors.split(count // 2, -2)  # type: ignore[no-untyped-call]  # torch has no types here
        factors = torch.cat([one * other, *rest], -2) if rest else one * other
    return factors.squeeze(-2)
