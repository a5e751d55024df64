"""Places along an axis, softly: the first that is true, the place of a number among the distinct ones.

Beside softfx.runtime, whose functions are arithmetic on distributions. Tensors in, tensors out; differentiable,
batched where the operation is, any device.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["distinct", "first", "place_of"]


def first(b: Tensor, dim: int | None = None) -> Tensor:
    """The place of the first soft bool that is true along `dim` (of all, flattened); 0 where none is.

    # (..., n, ...) -> (..., [n])

    >>> first(torch.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.5000, 0.5000])
    """
    b = b.flatten() if dim is None else b.movedim(dim, -1)
    none = (1 - b).cumprod(-1)  # none up to and with each
    weights = b * torch.cat([torch.ones_like(none[..., :1]), none[..., :-1]], -1)
    start = (torch.arange(b.shape[-1], device=b.device) == 0).to(b.dtype)
    return weights + none[..., -1:] * start


def distinct(x: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct numbers of x, each the mean of those equal to it, and which of them each element is.

    # (...), (u) in ascending order, none missing -> (u), (...) int64

    >>> distinct(torch.tensor([2.0, 1.0, 2.0]), torch.tensor([1.0, 2.0]))
    (tensor([1., 2.]), tensor([1, 0, 1]))
    """
    place = torch.searchsorted(values.detach().contiguous(), x.detach().contiguous()).clamp(max=len(values) - 1)
    zeros = torch.zeros_like(values)
    counts = zeros.index_add(0, place.flatten(), torch.ones_like(x).flatten())
    return zeros.index_add(0, place.flatten(), x.flatten()) / counts.clamp(min=1), place


def place_of(ranks: Tensor, place: Tensor) -> Tensor:
    """Where elements stand among the distinct numbers that they are, from 0 on.  # (u), (...) -> (...)

    >>> place_of(torch.tensor([1.0, 2.0]), torch.tensor([1, 0, 1]))
    tensor([1., 0., 1.])
    """
    return ranks[place] - 1
