"""torch's own selection and logic under the arguments of the soft operators, as values of straight-through forms.

Each takes what its namesake in selection.py, indexing.py, scatter.py or logic.py takes, with bools for SoftBools and
integers for SoftIndices. Only operators_st.py uses them. To add one: a function here and a line there.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from softtorch.operators.selection import Dims


def masked_sum(x: Tensor, mask: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The sum of the elements of x (...) where mask (...) is true."""
    return torch.where(mask, x, 0).sum(dim, keepdim=keepdim)


def masked_mean(x: Tensor, mask: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The mean of the elements of x (...) where mask (...) is true."""
    total = masked_sum(x, mask, dim, keepdim)
    return total / mask.expand(torch.where(mask, x, 0).shape).sum(dim, keepdim=keepdim)


def take(x: Tensor, index: Tensor, dim: int | None = None) -> Tensor:
    """Slices of x (..., n, ...) at integers of any shape: (..., k..., ...)."""
    if dim is None:
        return torch.take(x, index)
    x = x if x.dim() else x.unsqueeze(0)
    dim %= x.dim()
    return x.index_select(dim, index.flatten()).reshape(x.shape[:dim] + index.shape + x.shape[dim + 1 :])


def index_select(x: Tensor, index: Tensor, dim: int, keepdim: bool = True) -> Tensor:
    """Slices of x (..., n, ...) at one integer () or several (k)."""
    taken = x.index_select(dim, index)
    return taken if keepdim or x.dim() == 0 else taken.squeeze(dim)


def narrow(x: Tensor, start: Tensor, length: int, dim: int = 0) -> Tensor:
    """A window of x (..., n, ...) from an integer (), going on at the beginning after the end."""
    places = (start + torch.arange(length, device=x.device)) % x.shape[dim]
    return x.index_select(dim, places)


def dynamic_slice(x: Tensor, starts: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """A block of x (...) from integers (), one for each dim."""
    for dim, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        x = narrow(x, start, size, dim)
    return x


def choose(index: Tensor, choices: Tensor | Sequence[Tensor]) -> Tensor:
    """Elements of n tensors at integers (...)."""
    if not isinstance(choices, Tensor):
        sizes = (choice.shape for choice in choices)
        shape = torch.broadcast_shapes(*sizes)  # type: ignore[no-untyped-call]  # untyped in torch
        choices = torch.stack([choice.expand(shape) for choice in choices])
    shape = torch.broadcast_shapes(index.shape, choices.shape[1:])  # type: ignore[no-untyped-call]
    missing = [1] * (len(shape) + 1 - choices.dim())  # axes that broadcasting puts before those of a choice
    choices = choices.reshape(len(choices), *missing, *choices.shape[1:])
    return choices.expand(len(choices), *shape).gather(0, index.expand(shape).unsqueeze(0)).squeeze(0)


def embedding(index: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of weight (n, d) at integers (...)."""
    return torch.nn.functional.embedding(index, weight)


def all_(
    x: Tensor, dim: int | None = -1, epsilon: float = 0.0, use_geometric_mean: bool = False, keepdim: bool = False
) -> Tensor:
    """torch.all of x (..., n, ...) under the arguments of the soft one."""
    if dim is None:
        return x.all().reshape([1] * x.dim() if keepdim else [])
    return x.all(dim, keepdim=keepdim)


def any_(x: Tensor, dim: int | None = -1, use_geometric_mean: bool = False, keepdim: bool = False) -> Tensor:
    """torch.any of x (..., n, ...) under the arguments of the soft one."""
    return ~all_(~x, dim, keepdim=keepdim)


def logical_and(x: Tensor, y: Tensor, use_geometric_mean: bool = False) -> Tensor:
    """torch.logical_and of x and y, (...)."""
    return torch.logical_and(x, y)


def logical_or(x: Tensor, y: Tensor, use_geometric_mean: bool = False) -> Tensor:
    """torch.logical_or of x and y, (...)."""
    return torch.logical_or(x, y)


def logical_xor(x: Tensor, y: Tensor, use_geometric_mean: bool = False) -> Tensor:
    """torch.logical_xor of x and y, (...)."""
    return torch.logical_xor(x, y)


def bincount(one_hots: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """The count of each class among one-hots (..., [n]), each counted by its weight (...)."""
    n = one_hots.shape[-1]
    counted = one_hots if weights is None else torch.where(one_hots != 0, weights.unsqueeze(-1), 0)
    return torch.nn.functional.pad(counted.reshape(-1, n).sum(dim=0), (0, max(0, minlength - n)))


def scatter_add(x: Tensor, dim: int, index: Tensor, value: Tensor | float) -> Tensor:
    """x (..., n, ...) with values added at integers of the dims of x."""
    if not isinstance(value, Tensor):
        value = torch.full((), value, dtype=x.dtype, device=x.device).expand(index.shape)
    return x.scatter_add(dim, index, value.to(x.dtype))
