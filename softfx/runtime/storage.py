"""Shadows of tensors that share storage: what one tensor was written, as another one sees it.

A tensor lies in its storage by its size, its strides and its offset: its geometry. All functions take and return
tensors, on any device, and differentiable; shadows may have axes of weights after those of their tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Geometry", "copies", "follow", "geometry_of", "meet", "overlaid", "overwritten", "positions", "span"]

Geometry: TypeAlias = tuple[Sequence[int], Sequence[int], int]


def geometry_of(tensor: Tensor) -> Geometry:
    """The size, the strides and the offset of a tensor.

    >>> geometry_of(torch.zeros(2, 3)[1])
    ((3,), (1,), 3)
    """
    return tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset())


def positions(geometry: Geometry, device: torch.device | None = None) -> Tensor:
    """The place in its storage of every element of a tensor.  # -> (...) int64

    >>> positions(((2, 2), (1, 3), 5))
    tensor([[5, 8],
            [6, 9]])
    """
    size, stride, offset = geometry
    places = torch.full((), offset, dtype=torch.int64, device=device)
    for length, step in zip(size, stride, strict=True):
        places = places.unsqueeze(-1) + torch.arange(length, device=device) * step
    return places


def span(place: Geometry) -> tuple[int, int]:
    """The first and the last place of a storage that a tensor holds; 0 and -1 of one without elements."""
    size, stride, offset = place
    if 0 in size:
        return 0, -1
    return offset, offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))


def meet(one: Geometry, other: Geometry) -> bool:
    """Return True unless two tensors lie on ranges of their storage that are apart."""
    (first, last), (begin, end) = span(one), span(other)
    return first <= end and begin <= last


def copies(tensors: Sequence[Tensor], places: Sequence[Geometry]) -> list[Tensor]:
    """Copies of tensors of one dtype, without their derivative, that share memory as tensors in these places do.

    >>> tensors = [torch.tensor([[1.0], [2.0]]), torch.tensor([1.0])]
    >>> rows, first = copies(tensors, [((2, 1), (3, 1), 4), ((1,), (1,), 4)])
    >>> rows.sub_(first)
    tensor([[0.],
            [2.]])
    """
    spans = [span(place) for place in places]
    begin, end = min(first for first, _ in spans), max(last for _, last in spans)
    memory = tensors[0].new_zeros(end - begin + 1)
    moved = [(size, stride, offset - begin) for size, stride, offset in places]
    for tensor, place in zip(tensors, moved, strict=True):
        memory[positions(place, memory.device).flatten()] = tensor.detach().flatten()
    return [memory.as_strided(*place) for place in moved]


def follow(view: Tensor) -> None:
    """Let `view` have the derivative of what was written through other tensors of its storage, before it is written.

    Autograd gives it a view when it is asked for, and refuses to write a view that has none yet as if it were a leaf.

    >>> base = torch.zeros(2)
    >>> view = base[:1]
    >>> _ = base.mul_(torch.ones(2, requires_grad=True))
    >>> follow(view)
    >>> view.add_(1).requires_grad
    True
    """
    if view.requires_grad:
        _ = view.grad_fn


def overlaid(base: Tensor, part: Tensor, place: Geometry, part_place: Geometry) -> Tensor:
    """`base`, but for the elements that `part` holds as well, which are `part`'s.

    place, part_place: the geometries of the tensors that `base` and `part` stand for.
    # (..., [n]), (***, [n]) -> (..., [n])

    >>> overlaid(torch.zeros(4), torch.tensor([7.0, 8.0]), ((4,), (1,), 0), ((2,), (2,), 1))
    tensor([0., 7., 0., 8.])
    """
    shared, source = _shared(place, part_place, base.device)
    weights = base.shape[len(place[0]) :]
    values = part.reshape(-1, *weights)[source.flatten()].reshape(base.shape)
    return torch.where(shared.reshape((*shared.shape, *(1,) * len(weights))), values.to(base.dtype), base)


def overwritten(base: Tensor, hard: Tensor, place: Geometry, part_place: Geometry) -> Tensor:
    """`base`, but for the elements that another tensor holds as well, which are those of `hard`.

    # (..., [n]), (..., [n]) -> (..., [n])

    >>> overwritten(torch.zeros(4), torch.ones(4), ((4,), (1,), 0), ((2,), (2,), 1))
    tensor([0., 1., 0., 1.])
    """
    shared, _ = _shared(place, part_place, base.device)
    return torch.where(shared.reshape((*shared.shape, *(1,) * (base.dim() - shared.dim()))), hard.to(base.dtype), base)


def _shared(place: Geometry, part_place: Geometry, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which elements of one tensor another holds, and the number of each among the elements of that one.  # (...) x2"""
    own, theirs = positions(place, device), positions(part_place, device).flatten()
    ordered, order = theirs.sort()
    found = torch.searchsorted(ordered, own.contiguous()).clamp(max=len(ordered) - 1)
    return ordered.take(found) == own, order.take(found)  # a key without axes would ask a fake tensor for its value
