"""Writing by soft indices: one_hot, scatter, scatter_add, bincount.

The expected value, or for `scatter` its usual first-order form, of what torch writes. Reading by soft indices is in
indexing.py. A value written with probability 0 adds nothing, also when it is infinite or NaN. To add one: give it the
weights and values of `_written`.
"""

import torch
from torch import Tensor

from softtorch.errors import OptionError, ShapeError, message
from softtorch.kernels.numeric.weighted import contract, scale
from softtorch.operators.indexing import axis, block, checked

__all__ = ["bincount", "one_hot", "scatter", "scatter_add"]


def one_hot(soft_index: Tensor, num_classes: int = -1) -> Tensor:
    """The distribution over classes that a soft index stands for: itself, with empty classes added on request.

    Relaxes `torch.nn.functional.one_hot`, which is called as it is for an integer index.

    Args:
        soft_index: SoftIndex (..., [n]), or integers (...).
        num_classes: the number of classes, at least n; -1 for n.

    Returns:
        Shape (..., [num_classes]).

    Raises:
        ShapeError: `num_classes` is smaller than n.

    Source: the expected value of a one-hot vector.

    Example:
        >>> import torch, softtorch
        >>> softtorch.one_hot(torch.tensor([0.5, 0.5]), num_classes=3)
        tensor([0.5000, 0.5000, 0.0000])
    """
    if not soft_index.is_floating_point():
        if soft_index.dtype != torch.int64:
            wrong = f"soft_index has dtype {soft_index.dtype}"
            raise ShapeError(message("one_hot", wrong, "Use probabilities, or indices of dtype torch.int64"))
        return torch.nn.functional.one_hot(soft_index, num_classes)
    return _padded("one_hot", soft_index, num_classes)


def scatter(x: Tensor, dim: int, soft_index: Tensor, value: Tensor | float) -> Tensor:
    """`x` with values written at soft positions along `dim`.

    Relaxes `torch.scatter`, to which one-hot indices are equal where what is written at one place is equal. What is
    left of an element is its weight that no write has taken; writes that take more than the whole share it.

    Args:
        x: shape (..., n, ...), with n along `dim`.
        dim: the dim written along.
        soft_index: SoftIndex shaped like torch's index, no larger than x in the other dims. (..., k, ..., [n]).
        value: a number, or what is written. At least of the shape of the index, (..., k, ...).

    Returns:
        x (1 - sum p) + sum p value; sum p value / sum p where sum p is above 1. Shape (..., n, ...).

    Raises:
        ShapeError: the index is no SoftIndex over `dim` or does not fit, or `value` is smaller than it.
        DimensionError: `dim` is out of range.

    Source: the expected value for one write; exact for writes that exclude each other.

    Example:
        >>> import torch, softtorch
        >>> softtorch.scatter(torch.tensor([2.0, 4.0]), 0, torch.tensor([[0.5, 0.5]]), 8.0)
        tensor([5., 6.])
    """
    if x.dim() == 0:
        return scatter(*_on_a_line("scatter", x, dim, soft_index, value)).squeeze(0)
    dtype, rows, total, added = _written("scatter", x, dim, soft_index, value)
    kept = scale((1.0 - total).clamp(min=0.0), rows)
    shared = added / total.clamp(min=1.0)
    return (kept + shared).movedim(-1, dim).to(dtype)


def scatter_add(x: Tensor, dim: int, soft_index: Tensor, value: Tensor | float) -> Tensor:
    """`x` with values added at soft positions along `dim`.

    Relaxes `torch.scatter_add`, to which one-hot indices are equal, duplicates included.

    Args:
        x: shape (..., n, ...), with n along `dim`.
        dim: the dim written along.
        soft_index: SoftIndex shaped like torch's index, no larger than x in the other dims. (..., k, ..., [n]).
        value: a number, or what is added. At least of the shape of the index, (..., k, ...).

    Returns:
        x plus sum p value. Shape (..., n, ...).

    Raises:
        ShapeError: the index is no SoftIndex over `dim` or does not fit, or `value` is smaller than it.
        DimensionError: `dim` is out of range.

    Source: the expected value.

    Example:
        >>> import torch, softtorch
        >>> softtorch.scatter_add(torch.tensor([2.0, 4.0]), 0, torch.tensor([[0.5, 0.5]]), 8.0)
        tensor([6., 8.])
    """
    if x.dim() == 0:
        return scatter_add(*_on_a_line("scatter_add", x, dim, soft_index, value)).squeeze(0)
    dtype, rows, _, added = _written("scatter_add", x, dim, soft_index, value)
    return (rows + added).movedim(-1, dim).to(dtype)


def bincount(soft_index: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Soft torch.bincount: the count of each class among soft indices, each counted by its probability.

    Relaxes `torch.bincount`, to which one-hot indices are equal; the result is a real number for each class.

    Args:
        soft_index: SoftIndex. Shape (..., [n]).
        weights: what each index counts for, 1 by default. Shape (...).
        minlength: the least number of classes; empty ones are added.

    Returns:
        Shape (max(n, minlength)).

    Raises:
        ShapeError: `soft_index` is no SoftIndex, or `weights` has another shape.

    Source: linearity of the expected value.

    Example:
        >>> import torch, softtorch
        >>> softtorch.bincount(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), minlength=3)
        tensor([1.5000, 0.5000, 0.0000])
    """
    n = soft_index.shape[-1] if soft_index.dim() else 0
    if not n:
        wrong = f"soft_index {tuple(soft_index.shape)} has no classes"
        raise ShapeError(message("bincount", wrong, "Its last dim holds their probabilities"))
    if not isinstance(minlength, int | torch.SymInt) or minlength < 0:
        raise OptionError(message("bincount", f"minlength={minlength!r} is no count", "Use an integer >= 0"))
    flat = soft_index.reshape(-1, n)
    if weights is None:
        weights = torch.ones(flat.shape[0], dtype=soft_index.dtype, device=soft_index.device)
    elif weights.shape != soft_index.shape[:-1]:
        wrong = f"weights {tuple(weights.shape)} do not fit soft_index {tuple(soft_index.shape)}"
        raise ShapeError(message("bincount", wrong, "One weight for each index: its shape less [n]"))
    dtype, positions, values = checked("bincount", weights.reshape(-1, 1), flat.T, 0)
    counts = contract(positions, values).squeeze(-1)  # (n, k), (k, 1) -> (n)
    return _padded("bincount", counts.to(dtype), max(n, minlength))


def _padded(where: str, soft_index: Tensor, size: int) -> Tensor:
    """`soft_index` with classes of probability 0 added up to `size`; -1 for none."""
    n = soft_index.shape[-1]
    if size not in (-1, n) and size < n:
        wrong = f"num_classes={size} is smaller than the {n} classes of soft_index {tuple(soft_index.shape)}"
        raise ShapeError(message(where, wrong, f"Use num_classes >= {n}, or -1"))
    return soft_index if size in (-1, n) else torch.nn.functional.pad(soft_index, (0, size - n))


def _on_a_line(
    where: str, x: Tensor, dim: int, soft_index: Tensor, value: Tensor | float
) -> tuple[Tensor, int, Tensor, Tensor | float]:
    """The arguments for a 0-dim x as torch takes it, a line of one element, with an index ([1]) or (k, [1])."""
    dim = axis(where, x, dim)
    soft_index = soft_index if soft_index.dim() > 1 else soft_index.reshape(1, -1)
    return x.unsqueeze(0), dim, soft_index, value.reshape(-1) if isinstance(value, Tensor) else value


def _written(
    where: str, x: Tensor, dim: int, soft_index: Tensor, value: Tensor | float
) -> tuple[torch.dtype, Tensor, Tensor, Tensor]:
    """The result's dtype, x, the weight written and the sum written, each with `dim` last: (..., n)."""
    dim = axis(where, x, dim)
    block(where, x, soft_index, dim)
    dtype, weights, rows = checked(where, x, soft_index, dim)
    sizes = soft_index.shape[:-1]
    written = _value(where, value, sizes, weights)
    weights, rows = weights.movedim(dim, -2), rows.movedim(dim, -1)  # (..., k, [n]), (..., n)
    column = written.movedim(dim, -1).unsqueeze(-1)  # (..., k, 1)
    added = contract(weights.mT, column).squeeze(-1)  # (..., n, k), (..., k, 1) -> (..., n)
    beyond: list[int] = []  # how far x reaches beyond the index, for pad: last dim first
    for size, whole in zip(reversed(added.shape), reversed(rows.shape), strict=True):
        beyond += [0, whole - size]
    pad = torch.nn.functional.pad
    return dtype, rows, pad(weights.sum(dim=-2), beyond), pad(added, beyond)


def _value(where: str, value: Tensor | float, sizes: torch.Size, like: Tensor) -> Tensor:
    """`value` in the dtype of `like`, cut or expanded to the sizes of the index."""
    if not isinstance(value, Tensor):
        return torch.full((), value, dtype=like.dtype, device=like.device).expand(sizes)
    if value.dim() != len(sizes) or any(have < want for have, want in zip(value.shape, sizes, strict=True)):
        wrong = f"value {tuple(value.shape)} is smaller than the index {tuple(sizes)}"
        legal = "It has the dims of the index, none smaller"
        raise ShapeError(message(where, wrong, legal, "Or pass a number"))
    for place, size in enumerate(sizes):
        value = value.narrow(place, 0, size)
    return value.to(like.dtype)
