"""The soft staircase: sum_k k (sigmoidal(x - k + 1/2) - sigmoidal(x - k - 1/2)) over the 2 R + 1 integers
around x.

The sum telescopes to a running sum of 2 R + 2 soft steps, of which those out of reach are constants. The
derivative is accumulated beside the value, so that O(n) memory is used and backward is one product. While a
graph is recorded, and for second derivatives and a softness that is a tensor, the plain sum takes over.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.pointwise import plain_operators_needed
from softtorch.modes import Mode

Softness = Tensor | float


def stairs(curve: Mode, s: Softness, x: Tensor, radius: int, from_floor: bool = False) -> Tensor:
    """The staircase with its steps at the half integers: (...) -> (...), inf at inf.

    With from_floor it is counted from floor(x), for what would cancel a large x: NaN at inf.
    """
    if isinstance(s, Tensor) or plain_operators_needed():
        return _plain(curve, s, x, radius, from_floor)
    value, _ = _Stairs.apply(curve, s, x, radius, from_floor)  # type: ignore[no-untyped-call]  # untyped in torch
    result: Tensor = value
    return result


class _Stairs(torch.autograd.Function):
    @staticmethod
    def forward(curve: Mode, s: float, x: Tensor, radius: int, from_floor: bool) -> tuple[Tensor, Tensor]:
        places, total, base, inside = _prepare(curve, s, x, radius, from_floor)
        slope = torch.zeros_like(total)
        for place, weight in _weighted(places, base, radius):
            step, density = curve.step_and_density((inside + (0.5 - place)) / s)
            total = total.add_(step) if weight is None else total.addcmul_(weight, step)
            slope = slope.add_(density) if weight is None else slope.addcmul_(weight, density)
        return total, slope.div_(s)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Mode, float, Tensor, int, bool], output: tuple[Tensor, Tensor]) -> None:
        curve, s, x, radius, _ = inputs
        ctx.slope = partial(_slope, curve, s, radius=radius)
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[None, None, Tensor, None, None]:
        x, slope = ctx.saved_tensors
        # The saved slope is a constant: where a second derivative may be asked for it is computed once more.
        return None, None, grad * (ctx.slope(x) if torch.is_grad_enabled() else slope), None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], curve: Mode, s: float, x: Tensor, radius: int, from_floor: bool
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        result: tuple[Tensor, Tensor] = _Stairs.apply(  # type: ignore[no-untyped-call]
            curve, s, x, radius, from_floor
        )
        return result, (in_dims[2], in_dims[2])  # elementwise: the mapped dim stays where it is


def _plain(curve: Mode, s: Softness, x: Tensor, radius: int, from_floor: bool) -> Tensor:
    """The sum as autograd can differentiate it, in every order and for the softness too. (...)"""
    places, total, base, inside = _prepare(curve, s, x, radius, from_floor)
    for place, weight in _weighted(places, base, radius):
        step = curve.sigmoidal((inside + (0.5 - place)) / s)
        total = total + step if weight is None else total + weight * step
    return total


def _slope(curve: Mode, s: float, x: Tensor, radius: int) -> Tensor:
    """The derivative of the sum, itself differentiable. (...)"""
    places, _, base, inside = _prepare(curve, s, x, radius)
    slope = torch.zeros_like(x)
    for place, weight in _weighted(places, base, radius):
        density = curve.density((inside + (0.5 - place)) / s)
        slope = slope + density if weight is None else slope + weight * density
    return slope / s


def _prepare(
    curve: Mode, s: Softness, x: Tensor, radius: int, from_floor: bool = False
) -> tuple[list[int], Tensor, Tensor, Tensor]:
    """The places within reach, the sum of what is out of reach, floor(x) and x - floor(x); the last three
    (...).
    """
    places = list(range(-radius, radius + 2))
    ones = 0
    if not isinstance(s, Tensor):
        reach = curve.reach(x.dtype) * s
        ones = sum(0.5 - place >= reach for place in places)
        places = [place for place in places if 0.5 - place < reach and place - 1.5 < reach]
    whole = x.detach().floor()
    base = whole.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    inside = (x - whole).nan_to_num(nan=0.0)  # in [0, 1); inf - inf, and NaN, are put in by `unbounded`
    unbounded = whole - base
    start = base + (ones - 1 - radius) if ones else torch.zeros_like(base)
    return places, unbounded + (start - base if from_floor else start), base, inside


def _weighted(places: list[int], base: Tensor, radius: int) -> Iterator[tuple[int, Tensor | None]]:
    """Each place with the factor of its step; None for the factor 1."""
    for place in places:
        ends = {-radius: lambda: base - radius, radius + 1: lambda: -(base + radius)}
        yield place, ends[place]() if place in ends else None
