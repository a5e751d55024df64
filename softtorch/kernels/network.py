"""Sorting networks whose swaps are relaxed (arXiv 2105.04019), and the swap functions for them (arXiv 2203.09630).

A network is a list of layers over the last axis; a layer meets every place with its partner, by index arithmetic and
without split matrices. A swap function f with f(v) + f(-v) = 1 says how much of the smaller entry the smaller place
keeps, v being the other entry minus it, in units of the softness. To add a network or a function: one function here.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from softtorch.kernels.numeric.sizes import doublings

Swap = Callable[[Tensor], Tensor]


class Layer(NamedTuple):
    """Who meets whom, (n,) each: a place that meets itself stands still."""

    partner: Tensor
    sign: Tensor
    """1 where the place takes the smaller of the two, -1 where the larger."""


def bitonic(n: int, device: torch.device) -> Iterator[Layer]:
    """Layers of the bitonic network, log2(n) (log2(n) + 1) / 2 of them; n is a power of two."""
    place = torch.arange(n, device=device)
    for stage in range(1, n.bit_length()):
        falls = (place >> stage) & 1
        for distance in reversed(range(stage)):
            upper = (place >> distance) & 1
            yield Layer(place ^ (1 << distance), 1 - 2 * (falls ^ upper))


def odd_even(n: int, device: torch.device) -> Iterator[Layer]:
    """Layers of odd-even transposition, n of them, for any n."""
    place = torch.arange(n, device=device)
    for layer in range(n):
        upper = (place + layer) & 1
        partner = place + 1 - 2 * upper
        outside = (partner < 0) | (partner >= n)
        yield Layer(torch.where(outside, place, partner), 1 - 2 * upper)


def padded_size(n: int) -> int:
    """The power of two that the bitonic network needs for n entries."""
    return 1 << doublings(n)


def run(
    x: Tensor, level: Tensor | None, layers: list[Layer], swap: Swap, error_free: bool
) -> tuple[Tensor, list[Tensor]]:
    """Send x, (..., n), through the layers: the result and each layer's weights, (..., n) each.

    The swap function is given plain differences of x, so the softness is its own business. A weight is how much of its
    own entry a place keeps; it is the same for both of a pair. Entries of different level, (..., n), swap hard, by
    level; None where all have the same. With error_free all entries are exactly those of hard swaps and only the
    derivative is soft (arXiv 2310.07174).
    """
    weights = []
    for layer in layers:
        weight = swap(layer.sign * (x.index_select(-1, layer.partner) - x))
        if level is not None:
            across = layer.sign * (level.index_select(-1, layer.partner) - level)
            weight = torch.where(across == 0, weight, (across > 0).to(weight.dtype))
            level = torch.where(across < 0, level.index_select(-1, layer.partner), level)
        x = meet(x, weight, layer, error_free)
        weights.append(weight)
    return x, weights


def rows(start: Tensor, weights: list[Tensor], layers: list[Layer], error_free: bool) -> Tensor:
    """Rows of the network's matrix: start, (k, n) one-hot by the place asked for, to (..., k, [n]).

    A layer's matrix is symmetric, so a row goes through the layers backwards, at the cost of a vector.
    """
    for layer, weight in zip(reversed(layers), reversed(weights), strict=True):
        start = meet(start, weight.unsqueeze(-2), layer, error_free)
    return start


def meet(x: Tensor, weight: Tensor, layer: Layer, error_free: bool) -> Tensor:
    """weight x + (1 - weight) x[partner], for x (..., n) and a weight that broadcasts to it."""
    other = x.index_select(-1, layer.partner)
    soft = torch.lerp(other, x, weight)
    if not error_free:
        return soft
    return exactly(torch.where(weight >= 0.5, x, other), soft)


def decided(x: Tensor, weights: list[Tensor], layers: list[Layer]) -> Tensor:
    """x, (..., n), after hard swaps, each the way its weight says."""
    for layer, weight in zip(layers, weights, strict=True):
        x = torch.where(weight >= 0.5, x, x.index_select(-1, layer.partner))
    return x


def exactly(hard: Tensor, soft: Tensor) -> Tensor:
    """The bits of `hard`, the derivative of `soft`; NaN where that is."""
    return hard.detach() - (soft.detach() - soft)


def reciprocal(v: Tensor) -> Tensor:
    """(v / (2 + |v|) + 1) / 2, monotone as a swap."""
    return (v / (2.0 + v.abs()) + 1.0) / 2.0


def cauchy(v: Tensor) -> Tensor:
    """The distribution function of Cauchy's distribution, monotone as a swap."""
    return torch.atan(v) / math.pi + 0.5


def optimal(v: Tensor) -> Tensor:
    """The monotone swap of least error: linear up to |v| = 1/4, then 1 - 1 / (16 v)."""
    size = v.abs()
    far = v.sign() * (0.5 - 1.0 / (16.0 * size.clamp(min=0.25)))
    return 0.5 + torch.where(size <= 0.25, v, far)
