"""The soft value of many chosen places: what top-k gives where a distribution for each place would be too large.

k places of n for each of q rows need q k n weights as distributions, and q n as a mask. Each place is taken to be kept
with the probability that the soft mask gives its own entry, and given up otherwise for an entry that was left out, in
proportion to the mask's probabilities of those. The weights of all k places add up to the soft mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from softfx.ops.calls import Function
from softfx.runtime import choices
from softfx.values.domains import Emit, Kind, Soft, SoftIndex

__all__ = ["SoftChoice"]


@dataclass(frozen=True, eq=False, slots=True)
class SoftChoice(Soft):
    """Places of which each is kept, or given up for one that was left out.

    places: the hard integers.  # (...)
    kept: the probability of each to stay.  # (...)
    row: which row of `rest` each is of.  # (...)
    rest: the weights of the entries that were left out, 0 for those that were chosen.  # (rows, [n])
    mass: what a row of `rest` adds up to.  # (rows)
    numbers: the integers that the n entries stand for, (n) or (rows, n); None stands for 0..n-1.
    mask: the soft mask and the axis along which it chooses, while these are all the places that it has.
    """

    places: Tensor
    kept: Tensor
    row: Tensor
    rest: Tensor
    mass: Tensor
    numbers: Tensor | None = None
    mask: tuple[Tensor, int] | None = None

    kind: ClassVar[Kind] = "soft_index"

    @property
    def tensor(self) -> Tensor:
        return self.kept

    def with_tensor(self, tensor: Tensor) -> Self:
        return replace(self, kept=tensor, mask=None)

    @property
    def size(self) -> int:
        return self.rest.shape[-1]

    @property
    def left_out(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the functions of softfx.runtime.choices take of the entries that were left out."""
        return self.row, self.rest, self.mass

    def expected(self, emit: Emit, own: Tensor, values: Tensor) -> Tensor:
        """The expectation of what is `own` at the places, and `values` at the entries.  # (...), (n) or (rows, n)"""
        others = emit(choices.average, *self.left_out, values)
        result: Tensor = emit(choices.kept_or_given_up, self.kept, own, others)
        return result

    def real(self, emit: Emit) -> Tensor:
        own = emit(Tensor.to, self.places, self.kept.dtype)
        return self.expected(emit, own, emit(choices.numbers_of, self.rest, self.numbers))

    def truth(self, emit: Emit) -> Tensor:
        others = emit(torch.ne, emit(choices.numbers_of, self.rest, self.numbers), 0)
        return self.expected(emit, emit(torch.ne, self.places, 0), others)

    def finite(self, emit: Emit) -> tuple[Tensor, Tensor]:
        weights, support = emit(choices.distribution, self.places, self.kept, *self.left_out, self.numbers, True)
        return weights, support

    def as_index(self, emit: Emit) -> SoftIndex:
        """The same as distributions, whatever they take."""
        weights, support = emit(choices.distribution, self.places, self.kept, *self.left_out, self.numbers, False)
        return SoftIndex(weights, None if self.numbers is None else support, exact=self.exact, sites=self.sites)

    def hardened(self, emit: Emit, hard: Tensor) -> Tensor:
        result: Tensor = emit(torch.ones_like, self.kept)
        return result

    def moved(self, emit: Emit, func: Function, *args: Any, **kwargs: Any) -> Self | list[Self]:
        places = emit(func, self.places, *args, **kwargs)
        kept = emit(func, self.kept, *args, **kwargs)
        row = emit(choices.moved_rows, func, self.row, *args, **kwargs)
        if isinstance(places, Tensor):
            return replace(self, places=places, kept=kept, row=row, mask=None)
        return [replace(self, places=p, kept=q, row=r, mask=None) for p, q, r in zip(places, kept, row, strict=True)]
