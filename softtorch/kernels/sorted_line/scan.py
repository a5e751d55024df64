"""Sums with exponential decay along a sorted axis, and the wide dtype that long sums are accumulated in.

sum_{j <= i} e^-(y_i - y_j) v_j is the first-order recurrence h_i = v_i + e^-(y_i - y_(i-1)) h_(i-1), in O(n) time and
memory with a fixed number of operators, so that every transform and compiler takes it. `Decay` prepares the places once
for several sums. What the sums mean is in laplace.py, sums.py and in the methods.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad


def accumulated(x: Tensor) -> Tensor:
    """`x` (any shape) in the dtype that long sums run in: float64, or float32 on a device without it.

    >>> accumulated(torch.ones(2)).dtype
    torch.float64
    """
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)


def together(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """x and y broadcast to one shape."""
    if x.shape == y.shape:
        return x, y
    x, y = torch.broadcast_tensors(x, y)  # type: ignore[no-untyped-call]  # torch has no types here
    return x, y


def decayed_sums(y: Tensor, v: Tensor) -> Tensor:
    """sum_{j <= i} e^-(y_i - y_j) v_j at every i.

    Args:
        y: places (..., n) in rising order, in units of the decay length.
        v: weights (..., n) of either sign.

    Returns:
        (..., n), right to the rounding of its largest term.
    """
    y, v = together(y, v)
    return Decay(y).before(v)


def decayed_sums_behind(y: Tensor, v: Tensor) -> Tensor:
    """sum_{j >= i} e^-(y_j - y_i) v_j at every i; y (..., n) rises, v is (..., n)."""
    y, v = together(y, v)
    return Decay(y).behind(v)


SPAN = 600.0
"""e^SPAN, times as many entries as there may be, is a float64."""


def _reach(dtype: torch.dtype) -> tuple[int, float]:
    """Places a chunk, and the gap beyond which e^-gap is below the rounding of 1: their product must not overflow."""
    return (16, 40.0) if dtype == torch.float64 else (4, 18.0)  # exp overflows at 709 and at 88


class Decay:
    """Places y, (..., n) in rising order, in units of the decay length, ready for sums of several weights (..., n).

    Where y falls, by rounding, neighbours count as equal. `narrow` says that y is float64 and no row spans more than
    SPAN, which takes fewer passes.
    """

    def __init__(self, y: Tensor, narrow: bool = False) -> None:
        size, reach = _reach(y.dtype)
        self._scan: type[_Scan] | type[_Chunk] = _Chunk if narrow or y.shape[-1] <= size else _Scan
        self.gap = torch.diff(y, dim=-1, prepend=y[..., :1]).clamp(0.0, reach)
        self._forward: _Scan | _Chunk | None = None
        self._backward: _Scan | _Chunk | None = None

    def before(self, v: Tensor) -> Tensor:
        """sum_{j <= i} e^-(y_i - y_j) v_j at every i."""
        if self._forward is None:
            self._forward = self._scan(self.gap)
        return self._forward.sums(v)

    def behind(self, v: Tensor) -> Tensor:
        """sum_{j >= i} e^-(y_j - y_i) v_j at every i."""
        if self._backward is None:
            # The gap before a place is, seen from the other end, the gap before the next one.
            self._backward = self._scan(pad(self.gap[..., 1:], (0, 1)).flip(-1))
        return self._backward.sums(v.flip(-1)).flip(-1)


class _Chunk:
    """h_i = v_i + e^-gap_i h_(i-1) for gap (..., n) of small sum: one cumulative sum of e^offset v.

    The first gap does not matter.
    """

    def __init__(self, gap: Tensor) -> None:
        offset = gap.cumsum(dim=-1) - gap[..., :1]
        self.last = offset[..., -1]
        self.grow = offset.exp()
        # The derivative of the reciprocal squares it, which underflows; where there is none it is cheaper.
        self.fall = torch.exp(-offset) if torch.is_grad_enabled() else self.grow.reciprocal()

    def sums(self, v: Tensor) -> Tensor:
        """The recurrence for weights v, (..., n)."""
        return (self.grow * v).cumsum(dim=-1) * self.fall


class _Scan:
    """The same for gaps of any sum, none above the reach: in chunks, whose last values obey the same recurrence."""

    def __init__(self, gap: Tensor) -> None:
        self.n = gap.shape[-1]
        self.size, reach = _reach(gap.dtype)
        self.chunks = -(-self.n // self.size)
        gap = self._cut(gap)
        self.chunk = _Chunk(gap)
        self.enter = torch.exp(-gap[..., :1])  # (..., chunks, 1), from the last place of the chunk before
        across = (gap[..., 0] + self.chunk.last).clamp(max=reach)
        self.across = _Scan(across) if self.chunks > self.size else _Chunk(across)

    def sums(self, v: Tensor) -> Tensor:
        """The recurrence for weights v, (..., n)."""
        inside = self.chunk.sums(self._cut(v))  # (..., chunks, size)
        carry = pad(self.across.sums(inside[..., -1])[..., :-1], (1, 0)).unsqueeze(-1) * self.enter
        return torch.addcmul(inside, self.chunk.fall, carry).flatten(-2)[..., : self.n]

    def _cut(self, x: Tensor) -> Tensor:
        """x (..., n) as (..., chunks, size), filled up with zeros."""
        extra = self.chunks * self.size - self.n
        return (pad(x, (0, extra)) if extra else x).reshape(*x.shape[:-1], self.chunks, self.size)
