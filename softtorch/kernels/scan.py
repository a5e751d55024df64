"""Sums with exponential decay along a sorted axis, and the wide dtype that long sums are accumulated in.

sum_{j <= i} e^-(y_i - y_j) v_j is the first-order recurrence h_i = v_i + e^-(y_i - y_(i-1)) h_(i-1), in O(n) time and
memory with a fixed number of operators, so that every transform and compiler takes it. What the sums mean is in
laplace.py and in the methods.
"""

import torch
from torch import Tensor


def accumulated(x: Tensor) -> Tensor:
    """`x` (any shape) in the dtype that long sums run in: float64, or float32 on a device without it.

    >>> accumulated(torch.ones(2)).dtype
    torch.float64
    """
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)


def together(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """x and y broadcast to one shape."""
    shape = torch.broadcast_shapes(x.shape, y.shape)  # type: ignore[no-untyped-call]  # torch has no types here
    return x.expand(shape), y.expand(shape)


def _reach(dtype: torch.dtype) -> tuple[int, float]:
    """Places a chunk, and the gap beyond which e^-gap is below the rounding of 1: their product must not overflow."""
    return (16, 40.0) if dtype == torch.float64 else (4, 18.0)  # exp overflows at 709 and at 88


def decayed_sums(y: Tensor, v: Tensor) -> Tensor:
    """sum_{j <= i} e^-(y_i - y_j) v_j at every i.

    Args:
        y: places (..., n) in rising order, in units of the decay length.
        v: weights (..., n) of either sign.

    Returns:
        (..., n), right to the rounding of its largest term.
    """
    y, v = together(y, v)
    return _scan(torch.diff(y, dim=-1, prepend=y[..., :1]), v)


def decayed_sums_behind(y: Tensor, v: Tensor) -> Tensor:
    """sum_{j >= i} e^-(y_j - y_i) v_j at every i; y (..., n) rises, v is (..., n)."""
    return decayed_sums(-y.flip(-1), v.flip(-1)).flip(-1)


def _scan(gap: Tensor, v: Tensor) -> Tensor:
    """h_i = v_i + e^-gap_i h_(i-1) for gap, v (..., n).

    Inside a chunk it is one cumulative sum of e^offset v; the chunks' last values obey the same recurrence.
    """
    size, reach = _reach(v.dtype)
    n = v.shape[-1]
    gap = gap.clamp(max=reach)
    if n <= size:
        return _chunk(gap, v)[0]
    chunks = -(-n // size)
    fill = (0, chunks * size - n)
    gap = torch.nn.functional.pad(gap, fill).reshape(*gap.shape[:-1], chunks, size)
    v = torch.nn.functional.pad(v, fill).reshape(*v.shape[:-1], chunks, size)
    inside, offset = _chunk(gap, v)  # (..., chunks, size)
    across = gap[..., :1] + offset  # from the last place of the chunk before
    carry = torch.nn.functional.pad(_scan(across[..., -1], inside[..., -1])[..., :-1], (1, 0))
    return (inside + torch.exp(-across) * carry.unsqueeze(-1)).flatten(-2)[..., :n]


def _chunk(gap: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The recurrence from the first place of a chunk on, and each place's distance to the first, (..., size) each."""
    offset = gap.cumsum(dim=-1) - gap[..., :1]
    return (offset.exp() * v).cumsum(dim=-1) * torch.exp(-offset), offset
