"""Top-k of many entries in rewritten code: places that are kept or given up, in memory of a few masks.

A choice is its places (...), the probability `kept` of each to stay, the `row` (...) that each is of, and of the
entries that each row left out their weights `rest` (rows, [n]), which add up to `mass` (rows). The weight of a place is
`kept` at itself and (1 - kept) rest / mass elsewhere: never the matrix of all places and entries. All functions take
and return tensors, on any device, differentiable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softfx.runtime.elements import by_parts, is_discrete

__all__ = [
    "FEWEST",
    "MOST_WEIGHTS",
    "average",
    "chosen",
    "compared",
    "counted",
    "distribution",
    "expected",
    "gathered",
    "indexed",
    "is_wide",
    "kept_or_given_up",
    "moved_rows",
    "numbers_by_row",
    "numbers_of",
    "on_axis",
    "scattered",
    "taken",
]

MOST_WEIGHTS = 1 << 20
"""Distributions of more numbers than that, of more than `FEWEST` places a row, are not written out."""
FEWEST = 16


def is_wide(places: int, k: int, n: int) -> bool:
    """Return True if distributions over n entries for so many places, k a row, are too large to be written out.

    >>> is_wide(8 * 2048, 2048, 32768), is_wide(8 * 8, 8, 64)
    (True, False)
    """
    return k > FEWEST and places * n > MOST_WEIGHTS


def chosen(mask: Tensor, places: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The choice that torch.topk has made along `dim` of what has that soft mask: kept, row, rest, mass.

    # (..., n, ...), (..., k, ...) -> (..., k, ...) x2, (rows, [n]), (rows)

    >>> import softtorch
    >>> mask = softtorch.topk_mask(torch.tensor([0.0, 3.0, 1.0, 2.0]), 2)
    >>> kept, row, rest, mass = chosen(mask, torch.tensor([1, 3]), 0)
    >>> bool(torch.isclose(kept.sum() + mass.sum(), torch.tensor(2.0)))
    True
    """
    mask, index = mask.movedim(dim, -1), places.movedim(dim, -1)
    kept = mask.gather(-1, index).movedim(-1, dim)
    rest = mask.scatter(-1, index, 0.0).reshape(-1, mask.shape[-1])
    rows = torch.arange(rest.shape[0], device=mask.device).reshape(index.shape[:-1])
    return kept, rows.unsqueeze(-1).expand(index.shape).movedim(-1, dim), rest, rest.sum(-1)


def kept_or_given_up(kept: Tensor, own: Tensor, others: Tensor) -> Tensor:
    """The expectation of `own` where a place is kept, and of `others` where it is given up.  # (...) x3 -> (...)

    >>> kept_or_given_up(torch.tensor([0.75]), torch.tensor([4.0]), torch.tensor([0.0]))
    tensor([3.])
    """
    return by_parts(lambda own, others: torch.lerp(others.to(kept.dtype), own.to(kept.dtype), kept), own, others)


def numbers_of(rest: Tensor, numbers: Tensor | None) -> Tensor:
    """The integers that the entries stand for.  # (rows, [n]) -> (n) or (rows, n)"""
    return torch.arange(rest.shape[-1], device=rest.device) if numbers is None else numbers


def numbers_by_row(row: Tensor, rest: Tensor, numbers: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers and an operand, the same for all places of a row, so that they broadcast.

    # (...), (rows, [n]), (n) or (rows, n), broadcastable to (...) -> (rows, n), (rows, 1)
    """
    spread = other.new_zeros(rest.shape[0]).scatter(0, row.flatten(), other.expand(row.shape).flatten())
    return numbers.expand(rest.shape), spread.unsqueeze(-1)


def _shares(rest: Tensor, mass: Tensor) -> Tensor:
    """1 / mass, and 0 where nothing is left out.  # (rows)"""
    some = mass > 0
    return torch.where(some, 1.0 / torch.where(some, mass, 1.0), 0.0)


def _by_place(values: Tensor, row: Tensor) -> Tensor:
    """What belongs to the rows, for each place: (rows, ...), (k...) -> (k..., ...)."""
    first = tuple(slice(0, 1) if row.stride(axis) == 0 else slice(None) for axis in range(row.dim()))
    own = row[first]
    found = values.index_select(0, own.flatten()).reshape((*own.shape, *values.shape[1:]))
    return found.expand((*row.shape, *values.shape[1:]))


def average(row: Tensor, rest: Tensor, mass: Tensor, values: Tensor) -> Tensor:
    """The mean, for each place, of values of the entries that its row left out.  # (n) or (rows, n) -> (...)"""

    def mean(values: Tensor) -> Tensor:
        values = values.to(rest.dtype)
        return rest @ values if values.dim() == 1 else torch.linalg.vecdot(rest, values)

    means = by_parts(mean, values)
    return _by_place(means * _shares(rest, mass), row)


def distribution(
    places: Tensor, kept: Tensor, row: Tensor, rest: Tensor, mass: Tensor, numbers: Tensor | None, limited: bool
) -> tuple[Tensor, Tensor]:
    """The distributions of all places, with the numbers that they range over.  # -> (..., [n]), broadcastable to it

    The place itself stands at the entry of its number. With `limited`, more than MOST_WEIGHTS weights are refused.
    """
    n = rest.shape[-1]
    if limited and kept.numel() * n > MOST_WEIGHTS:
        raise ValueError(f"{kept.numel()} soft places among {n} entries, which would need {kept.numel() * n} weights")
    given_up = ((1.0 - kept) * _by_place(_shares(rest, mass), row)).unsqueeze(-1) * rest[row]
    if numbers is None:
        return given_up.scatter_add(-1, places.unsqueeze(-1), kept.unsqueeze(-1)), torch.arange(n, device=rest.device)
    entries = numbers if numbers.dim() == 1 else numbers[row]
    support = torch.cat([entries.expand(given_up.shape), places.unsqueeze(-1).to(entries.dtype)], -1)
    return torch.cat([given_up, kept.unsqueeze(-1)], -1), support


def moved_rows(func: Callable[..., Any], row: Tensor, *args: Any, **kwargs: Any) -> Any:
    """`func`, which only moves elements, of the rows of places; axes along which they repeat stay such.

    >>> moved_rows(torch.Tensor.repeat, torch.tensor([[0], [1]]), 1, 3).stride()
    (1, 0)
    """
    moved = func(row, *args, **kwargs)
    if func not in (Tensor.repeat, torch.tile, Tensor.tile) or moved.dim() < row.dim():
        return moved
    padded = (1,) * (moved.dim() - row.dim()) + tuple(row.shape)
    repeats = all(a == b or a == 1 for a, b in zip(padded, moved.shape, strict=True))
    return row.expand(moved.shape) if repeats else moved


# -- reading -----------------------------------------------------------------------------------------------------------


def on_axis(rest: Tensor, numbers: Tensor | None, size: int) -> Tensor:
    """Weights of entries as weights of the positions on an axis of that size.  # (rows, [n]) -> (rows, [size])"""
    n = rest.shape[-1]
    if numbers is None:
        return rest if n == size else torch.nn.functional.pad(rest, (0, size - n))
    legal = torch.where(numbers < 0, numbers + size, numbers).clamp(0, max(size - 1, 0))
    zeros = rest.new_zeros(rest.shape[0], size)
    return zeros.index_add(1, legal, rest) if legal.dim() == 1 else zeros.scatter_add(1, legal, rest)


def expected(kept: Tensor, row: Tensor, mass: Tensor, own: Tensor, sums: Tensor, block: int) -> Tensor:
    """What is `own` at the places, and on average sums / mass for those given up.

    The axes of the places begin at `block` in `own`.
    # (k...), (k...), (rows), (before, k..., after), (rows, before, after) -> (before, k..., after)
    """
    others = sums * _shares(sums, mass).reshape(-1, *(1,) * (sums.dim() - 1))
    others = _by_place(others, row).movedim(tuple(range(row.dim(), row.dim() + block)), tuple(range(block)))
    after = own.dim() - block - kept.dim()
    return kept_or_given_up(kept.reshape((*kept.shape, *(1,) * after)), own, others).to(own.dtype)


def taken(
    x: Tensor, dim: int, own: Tensor, kept: Tensor, row: Tensor, rest: Tensor, mass: Tensor, numbers: Tensor | None
) -> Tensor:
    """Slices of x along `dim` at the places, `own` the hard ones.  # (..., n, ...) -> (..., k..., ...)

    >>> import softtorch
    >>> x, index = torch.tensor([0.0, 3.0, 1.0, 2.0]), torch.tensor([1, 3])
    >>> kept, row, rest, mass = chosen(softtorch.topk_mask(x, 2, softness=1e-3), index, 0)
    >>> taken(x, 0, x[index], kept, row, rest, mass, None)
    tensor([3., 2.])
    """
    values = x.to(rest.dtype) if is_discrete(x) else x
    first = values.movedim(dim, 0)
    if numbers is not None and numbers.dim() == 2:
        sums = torch.einsum("rn,rn...->r...", rest.to(first.dtype), first[numbers])
    else:
        sums = torch.tensordot(on_axis(rest, numbers, x.shape[dim]).to(first.dtype), first, 1)
    return expected(kept, row, mass, own.to(values.dtype), sums, dim)


def gathered(
    x: Tensor, dim: int, own: Tensor, kept: Tensor, row: Tensor, rest: Tensor, mass: Tensor, numbers: Tensor | None
) -> Tensor:
    """torch.gather of x along `dim` at the places, `own` the hard one.  # (..., n, ...), (..., k, ...) -> (..., k, ...)

    >>> import softtorch
    >>> x, index = torch.tensor([[0.0, 3.0, 1.0, 2.0]]), torch.tensor([[1, 3]])
    >>> gathered(x, 1, x.gather(1, index), *chosen(softtorch.topk_mask(x, 2, softness=1e-3), index, 1), None)
    tensor([[3., 2.]])
    """
    values = x.to(rest.dtype) if is_discrete(x) else x
    row = _alike(row, dim)
    for axis, size in enumerate(row.shape):
        values = values if axis == dim or values.shape[axis] == size else values.narrow(axis, 0, size)
    rows = row.squeeze(dim)
    along = values.movedim(dim, -1)
    others = _contracted(rows, on_axis(rest, numbers, x.shape[dim]).to(along.dtype), along)
    others = (others * _by_place(_shares(rest, mass), rows)).unsqueeze(dim)
    return kept_or_given_up(kept, own.to(values.dtype), others).to(values.dtype)


def _alike(row: Tensor, dim: int) -> Tensor:
    """The rows of places that are the same along `dim`: (..., 1, ...)."""
    if row.shape[dim] > 1 and row.stride(dim) != 0:
        raise ValueError("places of several rows stand along the axis that is indexed")
    return row.narrow(dim, 0, 1)


def _contracted(rows: Tensor, rest: Tensor, values: Tensor) -> Tensor:
    """sum_j rest[rows]_j values_j, without a copy of `rest` for axes along which rows repeat.

    # (...), (rows, [n]), (..., [n]) -> (...)
    """
    repeats = [axis for axis in range(rows.dim()) if rows.stride(axis) == 0 and rows.shape[axis] > 1]
    varies = [axis for axis in range(rows.dim()) if axis not in repeats]
    own = rows[tuple(0 if axis in repeats else slice(None) for axis in range(rows.dim()))]
    weights = rest.index_select(0, own.flatten())
    lined = values.permute(*varies, *repeats, -1)
    flat = lined.reshape(weights.shape[0], -1, rest.shape[-1])
    one = flat.shape[1] == 1  # of each row: a sum of products is faster than a product of matrices then
    sums = torch.linalg.vecdot(flat, weights.unsqueeze(1)) if one else torch.bmm(flat, weights.unsqueeze(-1))
    sums = sums.reshape(lined.shape[:-1])
    back = [0] * rows.dim()
    for place, axis in enumerate((*varies, *repeats)):
        back[axis] = place
    return sums.permute(back)


def indexed(
    x: Tensor, key: tuple[Any, ...], own: Tensor, kept: Tensor, row: Tensor, rest: Tensor, mass: Tensor,
    numbers: Tensor | None, size: int, block: int,
) -> Tensor:  # fmt: skip
    """x[key] at the places, held in the key by the string "index" beside other integer tensors; `own` the hard one.

    size: the length of the axis that the places index.  block: the axis of `own` at which their axes begin.
    # -> (before, k..., after)
    """
    axis = _axis_of_places(row, [part for part in key if isinstance(part, Tensor)])
    every = torch.arange(size, device=x.device).reshape([-1 if a == axis else 1 for a in range(row.dim())])
    found = x[tuple(every if isinstance(part, str) else part for part in key)]
    found = found.movedim(block + axis, -1).to(rest.dtype if is_discrete(x) else x.dtype)
    rows = row.select(axis, 0)
    sums = _beside(rows, on_axis(rest, numbers, size).to(found.dtype), found, block)
    scale = _by_place(_shares(rest, mass), rows).reshape((*rows.shape, *(1,) * (sums.dim() - block - rows.dim())))
    others = (sums * scale).unsqueeze(block + axis)
    after = own.dim() - block - kept.dim()
    return kept_or_given_up(kept.reshape((*kept.shape, *(1,) * after)), own, others).to(found.dtype)


def _axis_of_places(row: Tensor, beside: list[Tensor]) -> int:
    """The axis along which places are of one row, and the other indices in a key do not vary."""
    for axis, size in enumerate(row.shape):
        from_end = axis - row.dim()
        alike = all(part.dim() < -from_end or part.shape[from_end] == 1 for part in beside)
        if size > 1 and row.stride(axis) == 0 and alike:
            return axis
    raise ValueError("other indices vary beside many soft places")


def _beside(rows: Tensor, rest: Tensor, found: Tensor, block: int) -> Tensor:
    """sum_j rest[rows]_j found_j.  # (r...), (rows, [n]), (before, r..., after, [n]) -> (before, r..., after)"""
    found = found.expand(*found.shape[:block], *rows.shape, *found.shape[block + rows.dim() :])
    lined = found.movedim(tuple(range(block, block + rows.dim())), tuple(range(rows.dim())))
    flat = lined.reshape(rows.numel(), -1, rest.shape[-1])
    sums = torch.bmm(flat, rest[rows.flatten()].unsqueeze(-1)).reshape(lined.shape[:-1])
    return sums.movedim(tuple(range(rows.dim())), tuple(range(block, block + rows.dim())))


# -- comparing and writing ---------------------------------------------------------------------------------------------


def compared(
    func: Callable[..., Tensor], places: Tensor, kept: Tensor, row: Tensor, rest: Tensor, mass: Tensor,
    numbers: Tensor | None, other: Any, reflected: bool,
) -> Tensor:  # fmt: skip
    """The probability that `func` holds of each place and `other`, a number or integers that are alike in a row.

    # (...), broadcastable to (...) -> (...)
    """
    entries, beside = numbers_of(rest, numbers), other
    if isinstance(other, Tensor) and other.dim():
        _check_alike(row, other)
        entries, beside = numbers_by_row(row, rest, entries, other)
    own, others = (func(other, places), func(beside, entries)) if reflected else (
        func(places, other), func(entries, beside))  # fmt: skip
    return kept_or_given_up(kept, own, average(row, rest, mass, others))


def _check_alike(row: Tensor, other: Tensor) -> None:
    """Refuse an operand that varies among the places of a row."""
    wide = other.expand(row.shape)
    for axis, size in enumerate(row.shape):
        if size > 1 and row.stride(axis) == 0 and wide.stride(axis) != 0:
            raise ValueError("many soft places meet other numbers one by one")


def scattered(
    places: Tensor, dim: int, size: int, kept: Tensor, row: Tensor, rest: Tensor, mass: Tensor,
    numbers: Tensor | None, values: Tensor | None,
) -> Tensor:  # fmt: skip
    """What is brought to each position along `dim`: the places' weights, or `values` by these.

    # (..., k, ...) -> (..., size, ...)

    >>> import softtorch
    >>> x, index = torch.tensor([0.0, 3.0, 1.0, 2.0]), torch.tensor([1, 3])
    >>> mask = scattered(index, 0, 4, *chosen(softtorch.topk_mask(x, 2), index, 0), None, None)
    >>> torch.allclose(mask, softtorch.topk_mask(x, 2))
    True
    """
    rows = _alike(row, dim).squeeze(dim)
    own, loss = (kept, 1.0 - kept) if values is None else (kept * values, (1.0 - kept) * values)
    share = (loss.sum(dim) * _by_place(_shares(rest, mass), rows)).unsqueeze(-1)
    spread = on_axis(rest, numbers, size)
    found = spread.index_select(0, rows.flatten()).reshape((*rows.shape, size))
    return (found * share).movedim(-1, dim).scatter_add(dim, places, own)


def counted(
    places: Tensor, size: int, kept: Tensor, row: Tensor, rest: Tensor, mass: Tensor, numbers: Tensor | None,
    values: Tensor | None,
) -> Tensor:  # fmt: skip
    """How often all places together are each position on an axis, or `values` by that.  # (...) -> (size)

    >>> import softtorch
    >>> x, index = torch.tensor([0.0, 3.0, 1.0, 2.0]), torch.tensor([1, 3])
    >>> round(float(counted(index, 4, *chosen(softtorch.topk_mask(x, 2), index, 0), None, None).sum()), 4)
    2.0
    """
    own, loss = (kept, 1.0 - kept) if values is None else (kept * values, (1.0 - kept) * values)
    by_row = torch.zeros_like(mass).index_add(0, row.flatten(), loss.flatten().to(mass.dtype)) * _shares(rest, mass)
    return (by_row @ on_axis(rest, numbers, size)).index_add(0, places.flatten(), own.flatten().to(mass.dtype))
