"""A tally: a count of soft bools that keeps them, for what asks which numbers it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from softfx.ops.calls import Function
from softfx.runtime import distributions, tallies
from softfx.values.domains import Emit, SoftCount

__all__ = ["SoftTally", "tally_of"]


@dataclass(frozen=True, eq=False, slots=True)
class SoftTally(SoftCount):
    """How many of several soft bools are true: as a number their sum, else whatever they may add up to.

    mask: the probabilities of the bools, which are independent of each other.  # (..., n, ...)
    dim: the axis along which they are counted; None for all.
    keepdim: that axis is kept, of size 1.
    """

    mask: Tensor
    dim: int | None = None
    keepdim: bool = False

    def rows(self, emit: Emit) -> Tensor:
        """The probabilities of the bools that are counted.  # (..., [n])"""
        result: Tensor = emit(tallies.rows_of, self.mask, self.dim, self.keepdim)
        return result

    @property
    def counted(self) -> int:
        """How many bools are counted."""
        return self.mask.numel() if self.dim is None else self.mask.shape[self.dim]

    def with_tensor(self, tensor: Tensor) -> SoftCount:  # type: ignore[override]  # of another number no bools are known
        if tensor is self.value:
            return self
        return SoftCount(tensor, joint=self.joint, exact=self.exact, sites=self.sites)

    def moved(self, emit: Emit, func: Function, *args: Any, **kwargs: Any) -> SoftCount | list[SoftCount]:  # type: ignore[override]  # a tally is moved with its bools
        value = emit(func, self.value, *args, **kwargs)
        rows = emit(distributions.move, func, self.rows(emit), *args, **kwargs)
        values, masks = ([value], [rows]) if isinstance(value, Tensor) else (list(value), list(rows))
        found = [
            SoftTally(own, mask, -1, joint=self.joint, exact=self.exact, sites=self.sites)
            for own, mask in zip(values, masks, strict=True)
        ]
        return found[0] if isinstance(value, Tensor) else list(found)


def tally_of(value: SoftCount, mask: Tensor, dim: int | None, keepdim: bool) -> SoftTally:
    """A count as a tally of the bools that it counts."""
    return SoftTally(value.value, mask, dim, keepdim, joint=value.joint, exact=value.exact, sites=value.sites)
