"""Arithmetic on distributions: the small functions that rewritten code calls beside softtorch's.

All take and return tensors, on any device, batched and differentiable. A soft index is a distribution p (..., [n]) over
points (..., [n]); without points it ranges over 0..n-1. The functions appear by name in the code that `softfx diff` and
`soften --out` show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.runtime import elements, keys, moves
from softtorch.methods import SortingNetwork
from softtorch.straight_through import finite as seen_finite
from softtorch.straight_through import plain_dot, plain_mix, second_order, with_finite_gradient

__all__ = [
    "blend", "bool_points", "by_network", "compose", "count_points", "count_positions", "excluding", "expectation",
    "expected_loss", "found_points", "histogram", "index_points", "joint", "joint_points", "legal_points", "look_up",
    "mixture", "move", "padded", "probability", "put", "real_clamp", "rearranged", "second_order", "settled",
    "spread", "summed", "support_of", "weighted",
]  # fmt: skip


def support_of(p: Tensor, support: Tensor | None) -> Tensor:
    """The points that a soft index ranges over.  # (..., [n]) -> broadcastable to (..., [n])"""
    return torch.arange(p.shape[-1], device=p.device) if support is None else support


def weighted(p: Tensor, values: Tensor) -> Tensor:
    """sum_j p_j values_j, to which an infinite value of weight 0 adds nothing.  # (..., [n]) x2 -> (...)"""
    if (summed := plain_dot(p, values)) is not None:
        return summed
    return elements.by_parts(lambda values: softtorch.choose(p, values.to(p.dtype).movedim(-1, 0)), values)


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
    hit = (support_of(p, support) == hard.unsqueeze(-1)).expand(*hard.shape, p.shape[-1])
    first = hit & (hit.cumsum(-1) == 1)  # the points may hold the same number more than once
    return first.to(p.dtype)


def bool_points(b: Tensor) -> tuple[Tensor, Tensor]:
    """A soft bool as a distribution over 0 and 1.  # (...) -> (..., [2]), ([2])"""
    return torch.stack([1 - b, b], -1), torch.arange(2, device=b.device)


def count_points(count: Tensor) -> tuple[Tensor, Tensor]:
    """A count as a distribution over the two integers next to it.  # (...) -> (..., [2]), (..., [2])"""
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
    """The expectation of func(x, y) with x ~ p over its points, and y ~ q over its points or y the given number.

    # (..., [n]), (..., [n]), (..., [m]), (..., [m]) -> (...)
    """
    if q is None:
        other = q_points.unsqueeze(-1) if isinstance(q_points, Tensor) else q_points
        x, y = (other, p_points) if reflected else (p_points, other)
        return weighted(p, _apply(func, x, y).expand(_shape(p, other)))
    value = _apply(func, p_points.unsqueeze(-1), q_points.unsqueeze(-2))  # (..., [n], [m])
    return torch.einsum("...i,...j,...ij->...", p, q, value.to(p.dtype))


def _shape(p: Tensor, other: Any) -> torch.Size:
    shape = torch.broadcast_shapes(p.shape, other.shape) if isinstance(other, Tensor) else p.shape  # type: ignore[no-untyped-call]
    return torch.Size((*shape[:-1], p.shape[-1]))


def _apply(func: Callable[..., Any], x: Any, y: Any) -> Tensor:
    if isinstance(x, Tensor):
        result: Tensor = func(x, y)
        return result
    swapped: Tensor = func(torch.as_tensor(x, device=y.device), y)
    return swapped


def joint(p: Tensor, q: Tensor) -> Tensor:
    """The joint distribution of two independent soft indices, flattened.  # (..., [n]), (..., [m]) -> (..., [n m])"""
    return (p.unsqueeze(-1) * q.unsqueeze(-2)).flatten(-2)


def summed(p: Tensor, q: Tensor) -> Tensor:
    """The sum of two soft indices over 0..n-1 and 0..m-1.  # (..., [n]), (..., [m]) -> (..., [n + m - 1])

    >>> summed(torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5]))
    tensor([0.2500, 0.5000, 0.2500])
    """
    n, m = p.shape[-1], q.shape[-1]
    sums = torch.arange(n, device=p.device).unsqueeze(-1) + torch.arange(m, device=p.device)
    return histogram(joint(p, q), sums.flatten(), n + m - 1)


def joint_points(
    func: Callable[..., Any], p: Tensor, p_support: Tensor | None, q: Tensor, q_support: Tensor | None
) -> Tensor:
    """func on every pair of points, flattened as `joint` flattens.  # -> broadcastable to (..., [n m])"""
    x, y = support_of(p, p_support), support_of(q, q_support)
    result: Tensor = func(x.unsqueeze(-1), y.unsqueeze(-2))
    return result.flatten(-2)


def mixture(b: Tensor, p: Tensor, p_support: Tensor, q: Tensor, q_support: Tensor) -> tuple[Tensor, Tensor]:
    """The soft index that is p's with probability b and q's otherwise.

    # (...), (..., [n]), (..., [m]) -> (..., [n + m]) x2
    """
    b = b.unsqueeze(-1)
    batch = torch.broadcast_shapes(b.shape[:-1], p.shape[:-1], q.shape[:-1])  # type: ignore[no-untyped-call]
    weights = [(b * p).expand(*batch, p.shape[-1]), ((1 - b) * q).expand(*batch, q.shape[-1])]
    points = [p_support.expand(*batch, p.shape[-1]), q_support.expand(*batch, q.shape[-1])]
    return torch.cat(weights, -1), torch.cat(points, -1)


def move(func: Callable[..., Any], value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`func`, which only moves data, on each slice of a distribution's last axis.  # (..., [n]) -> (..., [n])

    >>> move(torch.transpose, torch.zeros(2, 3, 7), 0, 1).shape
    torch.Size([3, 2, 7])
    """
    result: Tensor = moves.moved(func, value, args, kwargs)
    return moves.one_by_one(func, value, args, kwargs) if result is None else result


def spread(p: Tensor, points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """A soft index over `size` points; missing points repeat the last one and have no weight.

    # (..., [n]), (..., [n]) -> (..., [size]) x2
    """
    points = points.expand(p.shape)
    missing = size - p.shape[-1]
    if missing == 0:
        return p, points
    padding = points[..., -1:].expand(*points.shape[:-1], missing)
    return torch.nn.functional.pad(p, (0, missing)), torch.cat([points, padding], -1)


def padded(p: Tensor, points: Tensor, pad: list[int], value: int) -> tuple[Tensor, Tensor]:
    """torch.nn.functional.pad of a soft index with a number.  # (..., [n]) -> weights, points: (..., [n])"""
    points, pad = points.expand(p.shape), [0, 0, *pad]
    first = (torch.arange(p.shape[-1], device=p.device) == 0).to(p.dtype)  # padding is certain
    inside = torch.nn.functional.pad(torch.ones_like(p), pad)
    weights = torch.nn.functional.pad(p, pad)
    return weights + (1 - inside) * first, torch.nn.functional.pad(points, pad, value=value)


def legal_points(points: Tensor, size: int) -> Tensor:
    """Points as positions on an axis of `size`: negative ones count from its end, others are clamped to it.

    No program means a point beyond an end: it is the far neighbour of a count, or comes of the arithmetic on an index.

    >>> legal_points(torch.tensor([-1, 0, 4]), 4)
    tensor([3, 0, 3])
    """
    return torch.where(points < 0, points + size, points).clamp(0, max(size - 1, 0))


def count_positions(count: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """A count as positions on an axis of `size`: the two integers next to it, both on its own side of zero.

    # (...) -> weights (..., [2]), positions (..., [2])
    """
    weights, points = count_points(count)
    backwards = (count.detach().round() < 0).unsqueeze(-1)
    points = torch.where(backwards, points.clamp(max=-1) + size, points.clamp(min=0))
    return weights, points.clamp(0, max(size - 1, 0))


def look_up(
    func: Callable[..., Tensor], arguments: tuple[Any, ...], p: Tensor, points: Tensor, block: int
) -> tuple[Tensor, Tensor]:
    """`func(*arguments)`, which indexes by an integer tensor, at every point of a soft index.

    The string "index" marks the place of the integer tensor among the arguments, or inside a tuple there. The axes of
    the index begin at `block` in the result; axes of the selected elements may lie on either side of them.
    # (..., [n]), (..., [n]) legal positions -> weights, values: both (before, ..., after, [n])
    """

    def select(index: Tensor) -> Tensor:
        return func(*_filled(arguments, index))

    points = points.expand(p.shape)
    values = moves.at_points(func, arguments, points, block)
    if values is None:
        values = torch.func.vmap(select, in_dims=-1, out_dims=-1)(points)
    after = values.dim() - 1 - block - (p.dim() - 1)
    weights = p.reshape(*p.shape[:-1], *(1,) * after, p.shape[-1])
    return weights.expand(values.shape), values


def _filled(arguments: Any, value: Tensor, place: str = "index") -> Any:
    if isinstance(arguments, tuple | list):
        return tuple(_filled(argument, value, place) for argument in arguments)
    return value if isinstance(arguments, str) and arguments == place else arguments


def compose(
    func: Callable[..., Tensor], arguments: tuple[Any, ...], p: Tensor, points: Tensor, data: Tensor, block: int
) -> Tensor:
    """`look_up` in soft indices: the joint weights of the place looked up and the index found there.

    The string "data" marks the place of the data among the arguments.
    # (..., [m]), (..., [m]), (..., [n]) -> (..., [m], [n])
    """
    return _of_each(func, arguments, p, points, data, block)[0]


def found_points(
    func: Callable[..., Tensor], arguments: tuple[Any, ...], p: Tensor, points: Tensor, data: Tensor, block: int
) -> Tensor:
    """The points that go with the weights of `compose`.  # -> (..., [m], [n])"""
    return _of_each(func, arguments, p, points, data, block)[1]


def _of_each(
    func: Callable[..., Tensor], arguments: tuple[Any, ...], p: Tensor, points: Tensor, data: Tensor, block: int
) -> tuple[Tensor, Tensor]:
    """`look_up` in each slice of the last axis of data: weights times values, and values, both (..., [m], [n])."""
    if (leading := moves.behind_an_axis(func, arguments)) is not None:
        weights, values = look_up(func, _filled(leading, data.movedim(-1, 0), "data"), p, points, block + 1)
        return (weights * values).movedim(0, -1), values.movedim(0, -1)

    def slice_of(part: Tensor) -> tuple[Tensor, Tensor]:
        weights, values = look_up(func, _filled(arguments, part, "data"), p, points, block)
        return weights * values, values

    each: tuple[Tensor, Tensor] = torch.func.vmap(slice_of, in_dims=-1, out_dims=-1)(data)
    return each


def put(
    base: Tensor, key: tuple[Any, ...], p: Tensor, points: Tensor, value: Any, block: int, accumulate: bool
) -> Tensor:
    """base[key] = value, or += value, at a soft index, whose place in the key the string "index" marks.

    An element keeps what no write has taken; writes that take more than it has share it. `block`: where the axes of the
    index begin in base[key].  # (...), key with (..., [n]), (..., [n]) legal positions -> (...)
    """
    base, points = with_finite_gradient(base), points.expand(p.shape)
    wide = tuple(part.unsqueeze(-1) if isinstance(part, Tensor) and part.dim() else part for part in key)
    places = torch.arange(base.numel(), device=base.device).reshape(base.shape)
    places = keys.read(places, _filled(wide, points))
    axis = block + p.dim() - 1  # the axis of the points
    after = places.dim() - 1 - axis
    weights = p.reshape(*p.shape[:-1], p.shape[-1], *(1,) * after).expand(places.shape)
    dtype = torch.promote_types(base.dtype, p.dtype)
    value = with_finite_gradient(torch.as_tensor(value, dtype=dtype, device=base.device))
    written = weights * value.expand(places.shape[:axis] + places.shape[axis + 1 :]).unsqueeze(axis)
    zeros = torch.zeros_like(base, dtype=dtype).flatten()
    added = zeros.index_add(0, places.flatten(), written.flatten()).reshape(base.shape)
    if accumulate:
        return (base + added).to(base.dtype)
    taken = zeros.real.index_add(0, places.flatten(), weights.to(zeros.real.dtype).flatten()).reshape(base.shape)
    return (base * (1 - taken).clamp(min=0) + added / taken.clamp(min=1)).to(base.dtype)


def blend(p: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """softtorch.where, but the likelier branch alone where one is infinite or NaN and an average would be too.

    Of two that are as likely the finite one is taken.  # (...), (...), (...) -> (...)

    >>> blend(torch.tensor([0.25, 0.25]), torch.tensor([1.0, torch.nan]), torch.tensor([0.0, 3.0]))
    tensor([0.2500, 3.0000])
    """
    if (mixed := plain_mix(p, x, y)) is not None:
        return mixed
    if seen_finite(total := x.detach() + y.detach()):
        return softtorch.where(p, x, y)
    likelier = torch.where(p == 0.5, torch.isfinite(x), p > 0.5)
    return softtorch.where(torch.where(torch.isfinite(total), p, likelier.to(p.dtype)), x, y)


def settled(soft: Tensor, hard: Tensor) -> Tensor:
    """`soft`, and where it is infinite or NaN `hard`: what a comparison of a NaN says.  # (...), (...) -> (...)

    >>> settled(torch.tensor([0.25, torch.nan]), torch.tensor([0.0, 1.0]))
    tensor([0.2500, 1.0000])
    """
    # What stands for an integer is no infinity, also where the type of the soft value has no number as large.
    return torch.where(torch.isfinite(soft), soft, hard.detach().to(soft.dtype).nan_to_num())


def excluding(x: Tensor, left: Tensor, fill: float) -> Tensor:
    """x, moved towards the infinity of the sign of `fill` the less likely it is left in.  # (...), (...) -> (...)

    An element that is certainly excluded has the derivative of one that is left in with 1e-6, not an infinite one.
    """
    penalty = torch.log(left.clamp(min=1e-6))
    return x + penalty if fill < 0 else x - penalty


def histogram(p: Tensor, points: Tensor, classes: int) -> Tensor:
    """The probability of each of 0..classes-1.  # (..., [n]), (..., [n]) -> (..., classes)"""
    points = points.expand(p.shape)
    zeros = torch.zeros(*p.shape[:-1], classes, dtype=p.dtype, device=p.device)
    return zeros.scatter_add(-1, points, p)


def rearranged(base: Tensor, dim: int, p: Tensor, src: Tensor) -> tuple[Tensor, Tensor]:
    """torch.scatter of integers by a soft index: a soft index over the integers written and the one there before.

    # (..., n, ...), (..., k, ..., [n]), (..., k, ...) -> weights, points: (..., n, ..., [k + 1])
    """
    taken = p.transpose(dim, -1)  # (..., n, ..., [k])
    taken = taken / taken.sum(-1, keepdim=True).clamp(min=1)  # writes to one place share it
    left = (1 - taken.sum(-1, keepdim=True)).clamp(min=0)
    narrowed = src[tuple(slice(size) for size in p.shape[:-1])]
    written = narrowed.unsqueeze(-1).transpose(dim, -1).expand(taken.shape)
    return torch.cat([taken, left], -1), torch.cat([written, base.unsqueeze(-1)], -1)


def expected_loss(
    loss: Callable[..., Tensor], input: Tensor, p: Tensor, classes: Tensor, weight: Any, ignored: int, reduction: str
) -> Tensor:
    """nll_loss or cross_entropy of a soft target.

    # (b, c, ...) or (c), (b, ..., [n]), (b, ..., [n]) -> (b, ...), or () reduced
    """
    legal = classes.expand(p.shape).clamp(0, input.shape[0 if input.dim() == 1 else 1] - 1)
    target = torch.where(classes == ignored, ignored, legal)

    def single(part: Tensor) -> Tensor:
        return loss(input, part, weight=weight, ignore_index=ignored, reduction="none")

    losses = weighted(p, torch.func.vmap(single, in_dims=-1, out_dims=-1)(target))
    if reduction != "mean":
        return losses.sum() if reduction == "sum" else losses
    shares = torch.ones_like(p) if weight is None else weight[legal]
    return losses.sum() / weighted(p, torch.where(classes == ignored, 0.0, shares)).sum()


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


def by_network(name: str, network: dict[str, Any], *args: Any, method: str, **kwargs: Any) -> Any:
    """The softtorch operator of that name by a sorting network with the given swap, error_free and layout.

    >>> by_network("sort", {"error_free": True}, torch.tensor([2.0, 1.0]), method="sorting_network")[0]
    tensor([1., 2.])
    """
    return getattr(softtorch, name)(*args, method=SortingNetwork(**network), **kwargs)
