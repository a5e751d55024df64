"""Movements of slices and look-ups at points, all at once: a distribution has one axis more than what it stands for.

What is not here is made `one_by_one`, by torch.func.vmap, which costs many times the movement. To add
one, write what it does in front of a last axis, with torch's names of the arguments, and name it in _IN_FRONT or, for a
look-up, in _AT_POINTS. None says that these arguments are not served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["at_points", "behind_an_axis", "moved", "one_by_one"]


def _dim(dim: int) -> int:
    """An axis of the slices as one of the whole."""
    return dim if dim >= 0 else dim - 1


def _sizes(given: tuple[Any, ...]) -> tuple[int, ...] | None:
    """Sizes or axes, given one by one or as a sequence; None for anything else."""
    sizes = tuple(given[0]) if len(given) == 1 and isinstance(given[0], tuple | list) else given
    return sizes if all(type(size) is int for size in sizes) else None


def _reshape(value: Tensor, *shape: Any) -> Tensor | None:
    sizes = _sizes(shape)
    return None if sizes is None or not value.numel() else value.reshape(*sizes, value.shape[-1])


def _expand(value: Tensor, *size: Any) -> Tensor | None:
    sizes = _sizes(size)
    return None if sizes is None else value.expand(*sizes, value.shape[-1])


def _repeat(value: Tensor, *repeats: Any) -> Tensor | None:
    counts = _sizes(repeats)
    return None if counts is None else value.repeat(*counts, 1)


def _permute(value: Tensor, *dims: Any) -> Tensor | None:
    axes = _sizes(dims)
    return None if axes is None else value.permute(*map(_dim, axes), -1)


def _transpose(value: Tensor, dim0: int, dim1: int) -> Tensor | None:
    return value.transpose(_dim(dim0), _dim(dim1)) if value.dim() > 1 else None


def _flatten(value: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor | None:
    return torch.flatten(value, _dim(start_dim), _dim(end_dim)) if value.dim() > 1 else None


def _unsqueeze(value: Tensor, dim: int) -> Tensor:
    return value.unsqueeze(_dim(dim))


def _squeeze(value: Tensor, dim: int | None = None) -> Tensor | None:
    if dim is None:
        return value.reshape(*(size for size in value.shape[:-1] if size != 1), value.shape[-1])
    return value.squeeze(_dim(dim)) if type(dim) is int and value.dim() > 1 else None


def _select(value: Tensor, dim: int, index: int) -> Tensor | None:
    return value.select(_dim(dim), index) if type(dim) is int and type(index) is int and value.dim() > 1 else None


def _chunk(value: Tensor, chunks: int, dim: int = 0) -> Sequence[Tensor] | None:
    return value.chunk(chunks, _dim(dim)) if value.dim() > 1 else None


def _split(value: Tensor, split_size: Any, dim: int = 0) -> Sequence[Tensor] | None:
    if value.dim() < 2:
        return None
    pieces: Sequence[Tensor] = value.split(split_size, _dim(dim))  # type: ignore[no-untyped-call]
    return pieces


def _unbind(value: Tensor, dim: int = 0) -> Sequence[Tensor] | None:
    return value.unbind(_dim(dim)) if value.dim() > 1 else None


def _getitem(value: Tensor, key: Any) -> Tensor | None:
    """x[key] of the slices; a key that names no axis, such as (), has no last one to leave out."""
    parts = key if isinstance(key, tuple) else (key,)
    named = [part for part in parts if part is not None and part is not ...]
    if not named or not all(isinstance(part, int | slice | Tensor) for part in named):
        return None
    used = sum(part.dim() if isinstance(part, Tensor) and part.dtype is torch.bool else 1 for part in named)
    if used > value.dim() - 1 or any(isinstance(part, bool) for part in named):
        return None
    return value[(*parts, slice(None))] if any(part is ... for part in parts) else value[parts]


_IN_FRONT: dict[Callable[..., Any], Callable[..., Any]] = {
    function: in_front
    for in_front, functions in (
        (_getitem, (Tensor.__getitem__,)),
        (_expand, (Tensor.expand, Tensor.broadcast_to, torch.broadcast_to)),
        (_chunk, (Tensor.chunk, torch.chunk)),
        (_flatten, (Tensor.flatten, torch.flatten)),
        (_permute, (Tensor.permute, torch.permute)),
        (_repeat, (Tensor.repeat,)),
        (_reshape, (Tensor.reshape, torch.reshape, Tensor.view)),
        (_select, (Tensor.select, torch.select)),
        (_split, (Tensor.split, torch.split)),
        (_squeeze, (Tensor.squeeze, torch.squeeze)),
        (_transpose, (Tensor.transpose, torch.transpose)),
        (_unbind, (Tensor.unbind, torch.unbind)),
        (_unsqueeze, (Tensor.unsqueeze, torch.unsqueeze)),
    )
    for function in functions
}
"""By torch's functions and methods: what they do in front of a last axis, or None."""
# The arguments that have one name wherever torch has them.
_NAMED = frozenset({"chunks", "dim", "dim0", "dim1", "end_dim", "index", "start_dim"})


def moved(func: Callable[..., Any], value: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`func`, which moves data, on each slice of the last axis; None where that is not served here."""
    in_front = _IN_FRONT.get(func)
    return None if in_front is None or not _NAMED.issuperset(kwargs) else in_front(value, *args, **kwargs)


def one_by_one(func: Callable[..., Any], value: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`func`, which moves data, on each slice of the last axis, by torch.func.vmap.

    Integers are moved as floating numbers: some movements have no kernel for them.
    """
    moving = value if value.is_floating_point() else value.double()
    result = torch.func.vmap(lambda slice: func(slice, *args, **kwargs), in_dims=-1, out_dims=-1)(moving)
    if moving is value:
        return result
    return result.to(value.dtype) if isinstance(result, Tensor) else [piece.to(value.dtype) for piece in result]


# -- look-ups ----------------------------------------------------------------------------------------------------------


def _read(points: Tensor, block: int, data: Tensor, key: Any) -> Tensor | None:
    parts = key if isinstance(key, tuple) else (key,)
    others = [part for part in parts if not isinstance(part, str)]
    if len(others) != len(parts) - 1 or not all(part is None or part is ... or type(part) is slice for part in others):
        return None
    found = data[tuple(points if isinstance(part, str) else part for part in parts)]
    return found.movedim(block + points.dim() - 1, -1)


def _embedded(points: Tensor, block: int, index: str, table: Tensor) -> Tensor:
    return torch.nn.functional.embedding(points, table).movedim(points.dim() - 1, -1)


def _selected(points: Tensor, block: int, data: Tensor, dim: int, index: str) -> Tensor | None:
    if points.dim() != 2 or not data.dim() or dim < 0:
        return None
    found = torch.index_select(data, dim, points.flatten())
    return found.reshape(*data.shape[:dim], *points.shape, *data.shape[dim + 1 :]).movedim(dim + 1, -1)


def _gathered(points: Tensor, block: int, data: Tensor, dim: int, index: str) -> Tensor | None:
    if points.dim() != data.dim() + 1 or dim < 0:
        return None
    return torch.gather(data.unsqueeze(-1).expand(*data.shape, points.shape[-1]), dim, points)


_AT_POINTS: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    function: at_all
    for at_all, functions in (
        (_read, (Tensor.__getitem__,)),
        (_embedded, (torch.nn.functional.embedding,)),
        (_gathered, (Tensor.gather, torch.gather)),
        (_selected, (Tensor.index_select, torch.index_select)),
    )
    for function in functions
}
"""By the functions that look up, as `distributions.look_up` is given them: their results at all points."""


def behind_an_axis(func: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Arguments by which `func` looks up in each slice of a first axis of its data at once; None if there are none."""
    if func is not Tensor.__getitem__ or len(arguments) != 2 or arguments[0] != "data":
        return None
    parts = arguments[1] if isinstance(arguments[1], tuple) else (arguments[1],)
    if not all(part is None or part is ... or isinstance(part, str) or type(part) is slice for part in parts):
        return None
    return "data", (slice(None), *parts)


def at_points(func: Callable[..., Any], arguments: tuple[Any, ...], points: Tensor, block: int) -> Tensor | None:
    """`distributions.look_up` at all points, (..., [n]): its values; None where that is not served here."""
    at_all = _AT_POINTS.get(func)
    return None if at_all is None else at_all(points, block, *arguments)
