"""Reading by soft indices: take_along_dim, gather, take, index_select, narrow, dynamic_slice, choose, embedding.

A SoftIndex is a tensor shaped like torch's index with a distribution [n] over the positions after it; each function
gives the expected value of what torch reads. Selection by soft conditions is in selection.py, writing by soft indices
in scatter.py. An entry of probability 0 adds nothing, also when it is infinite or NaN. To add one: bring index and
values into the shape of `contract`, through `checked`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from softtorch.checks import resolve_dim
from softtorch.errors import DimensionError, OptionError, ShapeError, message
from softtorch.kernels.numeric.copies import copied, distinct
from softtorch.kernels.numeric.weighted import contract, dot
from softtorch.operators.selection import check_floating, dtypes

__all__ = ["choose", "dynamic_slice", "embedding", "gather", "index_select", "narrow", "take", "take_along_dim"]


def take_along_dim(x: Tensor, soft_index: Tensor, dim: int | None = None) -> Tensor:
    """The expected elements of `x` at soft positions along `dim`.

    Relaxes `torch.take_along_dim`, to which one-hot indices are equal.

    Args:
        x: shape (..., n, ...), with n along `dim`.
        soft_index: SoftIndex shaped like torch's index, with k along `dim`. Shape (..., k, ..., [n]).
        dim: the dim indexed; None takes both `x` and the index as flat, and gives a flat result.

    Returns:
        Shape (..., k, ...); the other dims are broadcast.

    Raises:
        ShapeError: the index is no SoftIndex over `dim`, or has another number of dims.
        DimensionError: `dim` is out of range.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, selection operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.take_along_dim(torch.tensor([1.0, 3.0]), torch.tensor([[0.5, 0.5]]), dim=0)
        tensor([2.])
    """
    if dim is None:
        soft_index = soft_index.flatten(0, -2) if soft_index.dim() > 1 else soft_index.unsqueeze(0)
        return take_along_dim(x.flatten(), soft_index, 0)
    dim = axis("take_along_dim", x, dim)
    if x.dim() == 0 < soft_index.dim() <= 2:
        return take(x, soft_index, 0)
    if soft_index.dim() != x.dim() + 1:
        wrong = f"soft_index {tuple(soft_index.shape)} does not have one dim more than input {tuple(x.shape)}"
        legal = "It is shaped like torch's index with [n] after it"
        raise ShapeError(message("take_along_dim", wrong, legal, "Use take to select by indices of any shape"))
    dtype, weights, values = checked("take_along_dim", x, soft_index, dim)
    lead = [axis for axis in range(x.dim()) if axis != dim]
    weights = distinct(weights, tuple(axis for axis in lead if axis in copied(weights) and x.shape[axis] > 1))
    # What one index reads at several places of other axes is one product of matrices.
    shared = [axis for axis in lead if weights.shape[axis] == 1 < x.shape[axis]]
    own = [axis for axis in lead if axis not in shared]
    lines = weights.permute(*own, *shared, dim, -1).flatten(len(own), -2)  # (..., k, [n])
    columns = values.permute(*own, dim, *shared).unsqueeze(-1).flatten(len(own) + 1)  # (..., n, d)
    taken = contract(lines, columns)  # (..., k, d)
    taken = taken.reshape(*taken.shape[:-1], *(x.shape[axis] for axis in shared))
    order = [*own, dim, *shared]
    return taken.permute([order.index(axis) for axis in range(x.dim())]).to(dtype)


def gather(x: Tensor, dim: int, soft_index: Tensor) -> Tensor:
    """The expected elements of `x` at soft positions along `dim`, without broadcasting.

    Relaxes `torch.gather`, to which one-hot indices are equal.

    Args:
        x: shape (..., n, ...), with n along `dim`.
        dim: the dim indexed.
        soft_index: SoftIndex shaped like torch's index, no larger than x in the other dims. (..., k, ..., [n]).

    Returns:
        Shape of the index without [n].

    Raises:
        ShapeError: the index is no SoftIndex over `dim`, or does not fit.
        DimensionError: `dim` is out of range.

    Source: `take_along_dim`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.gather(torch.tensor([1.0, 3.0]), 0, torch.tensor([[0.5, 0.5]]))
        tensor([2.])
    """
    dim = axis("gather", x, dim)
    if x.dim() == 0 < soft_index.dim() <= 2:
        return take(x, soft_index, 0)
    return take_along_dim(block("gather", x, soft_index, dim), soft_index, dim)


def take(x: Tensor, soft_index: Tensor, dim: int | None = None) -> Tensor:
    """The expected slices of `x` at soft positions along `dim`, or elements of the flat `x`.

    Relaxes `torch.take`, and along `dim` numpy's: every index selects from all of `x`.

    Args:
        x: shape (..., n, ...), with n along `dim`.
        soft_index: SoftIndex of any shape. Shape (k..., [n]).
        dim: the dim indexed; None takes `x` as flat.

    Returns:
        Shape (..., k..., ...): the shape of the index takes the place of `dim`.

    Raises:
        ShapeError: the index is no SoftIndex over `dim`.
        DimensionError: `dim` is out of range.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, selection operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.take(torch.tensor([[1.0, 3.0], [5.0, 9.0]]), torch.tensor([0.5, 0.5]), dim=0)
        tensor([3., 6.])
    """
    if dim is None:
        return take(x.flatten(), soft_index, 0)
    dim = axis("take", x, dim)
    x = x if x.dim() else x.unsqueeze(0)
    dtype, weights, values = checked("take", x, soft_index, dim)
    rest = [size for place, size in enumerate(x.shape) if place != dim]
    rows = values.movedim(dim, 0).flatten(1) if rest else values.unsqueeze(-1)  # (n, d)
    flat = contract(weights.reshape(-1, weights.shape[-1]), rows)  # (k, [n]), (n, d) -> (k, d)
    taken = flat.reshape([*weights.shape[:-1], *rest])
    lead = range(weights.dim() - 1)
    return taken.movedim(tuple(lead), tuple(dim + place for place in lead)).to(dtype)


def index_select(x: Tensor, soft_index: Tensor, dim: int, keepdim: bool = True) -> Tensor:
    """The expected slices of `x` at soft positions along `dim`.

    Relaxes `torch.index_select`, to which one-hot indices are equal.

    Args:
        x: shape (..., n, ...), with n along `dim`.
        soft_index: SoftIndex, one ([n]) or several (k, [n]).
        dim: the dim indexed.
        keepdim: for a single index, keep `dim` with size 1 as torch does.

    Returns:
        Shape (..., k, ...), with k = 1 for a single index; (..., ...) with keepdim=False.

    Raises:
        ShapeError: the index is no SoftIndex over `dim`, or keepdim=False with several.
        DimensionError: `dim` is out of range.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, selection operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.index_select(torch.tensor([[1.0, 3.0], [5.0, 9.0]]), torch.tensor([0.5, 0.5]), dim=0)
        tensor([[3., 6.]])
    """
    several = soft_index.dim() > 1
    if soft_index.dim() > 2 or (several and not keepdim):
        wrong = f"soft_index has shape {tuple(soft_index.shape)} and keepdim={keepdim}"
        legal = "It is one index ([n]), or several (k, [n]) with keepdim=True"
        raise ShapeError(message("index_select", wrong, legal, "Use take for indices of any shape"))
    dim = axis("index_select", x, dim)
    taken = take(x, soft_index, dim)
    return taken if several or not keepdim or x.dim() == 0 else taken.unsqueeze(dim)


def narrow(x: Tensor, soft_start: Tensor, length: int, dim: int = 0) -> Tensor:
    """The expected window of `length` elements of `x` along `dim` from a soft start.

    Relaxes `torch.narrow`, to which a one-hot start is equal. A window that passes the end goes on at the beginning.

    Args:
        x: shape (..., n, ...), with n along `dim`.
        soft_start: SoftIndex of the first element. Shape ([n]).
        length: the number of elements, 0 to n.
        dim: the dim narrowed.

    Returns:
        Shape (..., length, ...).

    Raises:
        ShapeError: the start is no SoftIndex over `dim`, or `length` is not within it.
        DimensionError: `dim` is out of range.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, selection operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.narrow(torch.tensor([0.0, 2.0, 4.0]), torch.tensor([0.5, 0.5, 0.0]), length=2)
        tensor([1., 3.])
    """
    if x.dim() == 0:
        raise DimensionError(message("narrow", "input () has no dims", "Use an input with at least one"))
    dim = axis("narrow", x, dim)
    n = x.shape[dim]
    if soft_start.dim() != 1 or not 0 <= length <= n:
        wrong = f"length={length} and soft_start {tuple(soft_start.shape)} for the {n} elements along dim={dim}"
        legal = f"Use 0 <= length <= {n} and one start ([{n}])"
        raise ShapeError(message("narrow", wrong, legal))
    checked("narrow", x, soft_start, dim)
    places = torch.arange(n, device=x.device)
    shifts = torch.arange(length, device=x.device).unsqueeze(-1)
    rolled = soft_start[(places - shifts) % n]  # ([n]) -> (length, [n]): each row one place further
    return take(x, rolled, dim)


def dynamic_slice(x: Tensor, soft_starts: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """The expected block of `x` of the given sizes from soft starts, one for each dim.

    Relaxes `jax.lax.dynamic_slice`; the starts are independent, and each dim is read as by `narrow`.

    Args:
        x: shape (n_1, ..., n_d).
        soft_starts: d SoftIndex, the i-th of shape ([n_i]).
        sizes: d sizes, the i-th within n_i.

    Returns:
        Shape (sizes...).

    Raises:
        ShapeError: not one start and one size for each dim, or one of them does not fit its dim.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, selection operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.dynamic_slice(torch.tensor([0.0, 2.0, 4.0]), [torch.tensor([0.5, 0.5, 0.0])], [2])
        tensor([1., 3.])
    """
    if not len(soft_starts) == len(sizes) == x.dim():
        wrong = f"{len(soft_starts)} starts and {len(sizes)} sizes for input {tuple(x.shape)}"
        raise ShapeError(message("dynamic_slice", wrong, f"Give {x.dim()} of each, one for each dim"))
    for dim, (start, size) in enumerate(zip(soft_starts, sizes, strict=True)):
        x = narrow(x, start, size, dim)
    return x


def choose(soft_index: Tensor, choices: Tensor | Sequence[Tensor]) -> Tensor:
    """The expected choice, element by element, among n tensors.

    Relaxes `numpy.choose`: `out[i] = choices[index[i]][i]`, the index and the choices broadcast against each other.

    Args:
        soft_index: SoftIndex over the choices. Shape (..., [n]).
        choices: n tensors that broadcast against each other, or one of shape (n, ...).

    Returns:
        Shape (...).

    Raises:
        ShapeError: the index is no SoftIndex over the choices.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, selection operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.choose(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
        tensor([1., 4.])
    """
    if not isinstance(choices, Tensor):
        if not isinstance(choices, Sequence) or not all(isinstance(choice, Tensor) for choice in choices):
            raise OptionError(message("choose", "choices are no tensors", "Use a tensor, or a sequence of tensors"))
        sizes = (choice.shape for choice in choices)
        shape = torch.broadcast_shapes(*sizes)  # type: ignore[no-untyped-call]  # untyped in torch
        choices = torch.stack([choice.expand(shape) for choice in choices])
    dtype, weights, values = checked("choose", choices, soft_index, 0)
    return dot(weights, values.movedim(0, -1)).to(dtype)


def embedding(soft_index: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The expected rows of an embedding matrix at soft indices.

    Relaxes `torch.nn.functional.embedding`, to which one-hot indices are equal.

    Args:
        soft_index: SoftIndex over the rows. Shape (..., [n]).
        weight: the embedding matrix. Shape (n, d).
        padding_idx: a row that gets no gradient, as in torch.

    Returns:
        Shape (..., d).

    Raises:
        ShapeError: the index is no SoftIndex over the rows.

    Source: the expected value of a row.

    Example:
        >>> import torch, softtorch
        >>> softtorch.embedding(torch.tensor([0.5, 0.5]), torch.tensor([[1.0, 3.0], [5.0, 9.0]]))
        tensor([3., 6.])
    """
    checked("embedding", weight, soft_index, 0)
    if padding_idx is not None:
        rows = torch.arange(weight.shape[0], device=weight.device).unsqueeze(-1)
        weight = torch.where(rows == padding_idx % weight.shape[0], weight.detach(), weight)
    return take(weight, soft_index, 0)


def axis(where: str, x: Tensor, dim: int) -> int:
    """`dim` counted from the front, or an error; a 0-dim tensor is a line of one element, as in torch."""
    return resolve_dim(where, dim, x)


def checked(where: str, x: Tensor, soft_index: Tensor, dim: int) -> tuple[torch.dtype, Tensor, Tensor]:
    """The dtype of the result, and index and values in the dtype computed in; or a ShapeError."""
    check_floating(where, "soft_index", soft_index)
    n = x.shape[dim]
    if soft_index.dim() == 0 or soft_index.shape[-1] != n:
        wrong = f"soft_index {tuple(soft_index.shape)} does not range over the {n} elements along dim={dim}"
        wrong += f" of {tuple(x.shape)}"
        legal = f"Its last dim holds one probability for each of them: (..., [{n}])"
        raise ShapeError(message(where, wrong, legal))
    computed, dtype = dtypes(x.dtype, soft_index.dtype)
    return dtype, soft_index.to(computed), x.to(computed)


def block(where: str, x: Tensor, soft_index: Tensor, dim: int) -> Tensor:
    """The part of `x` that a torch index of this shape reaches: as large as the index in the other dims."""
    sizes = soft_index.shape[:-1]
    fits = len(sizes) == x.dim() and all(
        size <= whole or place == dim for place, (size, whole) in enumerate(zip(sizes, x.shape, strict=True))
    )
    if not fits:
        wrong = f"soft_index {tuple(soft_index.shape)} does not fit input {tuple(x.shape)}"
        raise ShapeError(message(where, wrong, "Less [n], it has the dims of input, no larger but along dim"))
    for place, size in enumerate(sizes):
        x = x if place == dim else x.narrow(place, 0, size)
    return x
