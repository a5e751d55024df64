"""The small functions that rewritten code calls beside softtorch's: arithmetic on distributions.

Tensors in, tensors out; differentiable, batched, any device. A soft index is p (..., [n]) over points (..., [n]);
without points it ranges over 0..n-1. They appear by name in the code that `softfx diff` and `soften --out` show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch

__all__ = [
    "bool_points",
    "count_points",
    "expectation",
    "histogram",
    "index_points",
    "joint",
    "joint_points",
    "look_up",
    "mixture",
    "move",
    "probability",
    "real_clamp",
    "support_of",
    "weighted",
    "write",
]


def support_of(p: Tensor, support: Tensor | None) -> Tensor:
    """The points a soft index ranges over.  # (..., [n]) -> broadcastable to (..., [n])"""
    return torch.arange(p.shape[-1], device=p.device) if support is None else support


def weighted(p: Tensor, values: Tensor) -> Tensor:
    """sum_j p_j values_j, where a weight of exactly zero silences an infinite value.  # (..., [n]) x2 -> (...)"""
    values = values.to(p.dtype)
    return (p * torch.where(p == 0, torch.zeros((), dtype=p.dtype, device=p.device), values)).sum(-1)


def expectation(p: Tensor, support: Tensor | None = None) -> Tensor:
    """The mean of a soft index.  # (..., [n]) -> (...)

    >>> expectation(torch.tensor([0.0, 0.5, 0.5]))
    tensor(1.5000)
    """
    return weighted(p, support_of(p, support))


def index_points(hard: Tensor, p: Tensor, support: Tensor | None = None) -> Tensor:
    """The hard index as a distribution over the same points.  # (...), (..., [n]) -> (..., [n])

    >>> index_points(torch.tensor(2), torch.full((3,), 1 / 3))
    tensor([0., 0., 1.])
    """
    hit = (support_of(p, support) == hard.unsqueeze(-1)).expand(p.shape)
    first = hit & (hit.cumsum(-1) == 1)  # the same number may stand more than once
    return first.to(p.dtype)


def bool_points(b: Tensor) -> tuple[Tensor, Tensor]:
    """A soft bool as a distribution over 0 and 1.  # (...) -> (..., [2]), ([2])"""
    return torch.stack([1 - b, b], -1), torch.arange(2, device=b.device)


def count_points(count: Tensor) -> tuple[Tensor, Tensor]:
    """A count as a distribution over its two neighbouring integers.  # (...) -> (..., [2]), (..., [2])"""
    below = count.detach().floor()
    above = count - below
    points = torch.stack([below, below + 1], -1).to(torch.int64)
    return torch.stack([1 - above, above], -1), points


def probability(
    func: Callable[..., Any],
    p: Tensor,
    p_points: Tensor,
    q: Tensor | None = None,
    q_points: Any = None,
    reflected: bool = False,
) -> Tensor:
    """The expectation of func(x, y), x ~ p over its points and y ~ q over its own (or y the given number).

    # (..., [n]), (..., [n]), (..., [m]), (..., [m]) -> (...)
    """
    if q is None:
        other = q_points.unsqueeze(-1) if isinstance(q_points, Tensor) else q_points
        x, y = (other, p_points) if reflected else (p_points, other)
        return weighted(p, _apply(func, x, y).expand(_shape(p, other)))
    value = _apply(func, p_points.unsqueeze(-1), q_points.unsqueeze(-2))  # (..., [n], [m])
    return torch.einsum("...i,...j,...ij->...", p, q, value.to(p.dtype))


def _shape(p: Tensor, other: Any) -> torch.Size:
    shape = torch.broadcast_shapes(p.shape, other.shape) if isinstance(other, Tensor) else p.shape
    return torch.Size((*shape[:-1], p.shape[-1]))


def _apply(func: Callable[..., Any], x: Any, y: Any) -> Tensor:
    if isinstance(x, Tensor):
        result: Tensor = func(x, y)
        return result
    return func(torch.as_tensor(x, device=y.device), y)


def joint(p: Tensor, q: Tensor) -> Tensor:
    """The joint distribution of two independent soft indices, flattened.  # (..., [n]), (..., [m]) -> (..., [n m])"""
    return (p.unsqueeze(-1) * q.unsqueeze(-2)).flatten(-2)


def joint_points(
    func: Callable[..., Any], p: Tensor, p_support: Tensor | None, q: Tensor, q_support: Tensor | None
) -> Tensor:
    """func on every pair of points, flattened as `joint` flattens.  # -> broadcastable to (..., [n m])"""
    x, y = support_of(p, p_support), support_of(q, q_support)
    result: Tensor = func(x.unsqueeze(-1), y.unsqueeze(-2))
    return result.flatten(-2)


def mixture(
    b: Tensor, p: Tensor, p_support: Tensor, q: Tensor, q_support: Tensor
) -> tuple[Tensor, Tensor]:
    """The soft index that is p's with probability b, else q's.  # (...), (..., [n]), (..., [m]) -> (..., [n + m]) x2"""
    b = b.unsqueeze(-1)
    batch = torch.broadcast_shapes(b.shape[:-1], p.shape[:-1], q.shape[:-1])
    weights = [(b * p).expand(*batch, p.shape[-1]), ((1 - b) * q).expand(*batch, q.shape[-1])]
    points = [p_support.expand(*batch, p.shape[-1]), q_support.expand(*batch, q.shape[-1])]
    return torch.cat(weights, -1), torch.cat(points, -1)


def move(func: Callable[..., Any], value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`func`, which only moves data, on each slice of a distribution's last axis.  # (..., [n]) -> (..., [n])

    >>> move(torch.transpose, torch.zeros(2, 3, 7), 0, 1).shape
    torch.Size([3, 2, 7])
    """
    result: Tensor = torch.func.vmap(lambda slice: func(slice, *args, **kwargs), in_dims=-1, out_dims=-1)(value)
    return result


def look_up(
    func: Callable[..., Tensor], arguments: tuple[Any, ...], p: Tensor, points: Tensor, block: int
) -> tuple[Tensor, Tensor]:
    """`func(*arguments)`, which indexes by an integer tensor, at every point of a soft index.

    The integer tensor's place among the arguments (or inside a tuple there) is held by the string "index". Its own
    axes stand at `block` in the result; axes of what it selects may stand on either side.
    # (..., [n]), (..., [n]) -> weights, values: both (before, ..., after, [n])
    """

    def select(index: Tensor) -> Tensor:
        return func(*_filled(arguments, index))

    points = points.expand(p.shape)
    values: Tensor = torch.func.vmap(select, in_dims=-1, out_dims=-1)(points)
    after = values.dim() - 1 - block - (p.dim() - 1)
    weights = p.reshape(*p.shape[:-1], *(1,) * after, p.shape[-1])
    return weights.expand(values.shape), values


def _filled(arguments: Any, index: Tensor) -> Any:
    if isinstance(arguments, tuple | list):
        return tuple(_filled(argument, index) for argument in arguments)
    return index if isinstance(arguments, str) and arguments == "index" else arguments


def histogram(p: Tensor, points: Tensor, classes: int) -> Tensor:
    """The probability of each of 0..classes-1.  # (..., [n]), (..., [n]) -> (..., classes)"""
    points = points.expand(p.shape)
    zeros = torch.zeros(*p.shape[:-1], classes, dtype=p.dtype, device=p.device)
    return zeros.scatter_add(-1, points, p)


def write(base: Tensor, key: Any, value: Any) -> Tensor:
    """A copy of `base` with base[key] = value.  # (...) -> (...)"""
    result = base.clone()
    result[key] = value
    return result


def real_clamp(
    input: Tensor, min: Tensor | float | None = None, max: Tensor | float | None = None, **options: Any
) -> Tensor:
    """softtorch.clamp with one bound or two.  # (...) -> (...)"""
    if min is not None and max is not None:
        return softtorch.clamp(input, min, max, **options)
    if min is not None:
        return min + softtorch.softrelu(input - min, **options)
    if max is not None:
        return max - softtorch.softrelu(max - input, **options)
    return input
