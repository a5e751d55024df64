"""Positions: the order statistics that an operator asks for. Position p is the place in ascending order, 0 .. n-1.

Each kind knows the places, and torch's own function for them: `exact` is what mode="hard" returns (so ties fall as they
do in torch) and where a method takes its anchors from. To add a kind: one frozen dataclass with the two.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from softtorch.kernels.numeric.constants import listed


class Positions(ABC):
    """k places in the ascending order of n entries, the same for every row."""

    complete: ClassVar[bool] = False
    """True if these are all the places there are, each once."""

    @abstractmethod
    def places(self, n: int) -> tuple[int, ...] | Tensor:
        """The k places, 0 .. n-1, in the order of the output; a tensor, (k,), only where they depend on data."""

    @property
    def mirror(self) -> "Positions | None":
        """The places to ask of -x instead, for kinds that are defined so (min is -max(-x)); else None."""
        return None

    @abstractmethod
    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """torch's values (..., k) and indices (..., k) along the last axis of x, (..., [n])."""

    def nearness(self, x: Tensor) -> Tensor:
        """Minus the distances of the entries x, (..., [n]), from the exact values, (..., k, [n]).

        Rows may be off by a constant: for what lies on one side of all others the entries themselves serve.
        """
        return -(self.exact(x)[0].unsqueeze(-1) - x.unsqueeze(-2)).abs()

    def index(self, n: int, device: torch.device) -> Tensor:
        """The places as a tensor of integers, (k,)."""
        places = self.places(n)
        return places if isinstance(places, Tensor) else listed(places, torch.long, device)

    def count(self, n: int) -> int:
        """k, how many places there are."""
        return len(self.places(n))

    def picked(self, ascending: Tensor) -> Tensor:
        """The entries at the places, (..., k), of something given for all places in ascending order, (..., [n])."""
        return ascending.index_select(-1, self.index(ascending.shape[-1], ascending.device))

    def picked_falling(self, descending: Tensor) -> Tensor:
        """The same, (..., k), of something given in descending order, (..., [n])."""
        n = descending.shape[-1]
        return descending.index_select(-1, n - 1 - self.index(n, descending.device))


@dataclass(frozen=True)
class Every(Positions):
    """All of them, as torch.sort gives them."""

    descending: bool = False
    stable: bool = False

    complete = True

    def places(self, n: int) -> tuple[int, ...]:
        return tuple(range(n - 1, -1, -1) if self.descending else range(n))

    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.sort(x, dim=-1, descending=self.descending, stable=self.stable)
        return values, indices

    def index(self, n: int, device: torch.device) -> Tensor:
        index = torch.arange(n, device=device)
        return index.flip(0) if self.descending else index

    def count(self, n: int) -> int:
        return n

    def picked(self, ascending: Tensor) -> Tensor:
        return ascending.flip(-1) if self.descending else ascending

    def picked_falling(self, descending: Tensor) -> Tensor:
        return descending if self.descending else descending.flip(-1)


@dataclass(frozen=True)
class Highest(Positions):
    """The k largest, largest first, as torch.topk gives them."""

    k: int

    def places(self, n: int) -> tuple[int, ...]:
        return tuple(n - 1 - i for i in range(self.k))  # a range would fix a symbolic n

    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.topk(x, self.k, dim=-1)
        return values, indices


@dataclass(frozen=True)
class Lowest(Positions):
    """The k smallest, smallest first, as torch.topk(largest=False) gives them."""

    k: int

    def places(self, n: int) -> tuple[int, ...]:
        return tuple(range(self.k))

    @property
    def mirror(self) -> Positions:
        return Highest(self.k)

    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.topk(x, self.k, dim=-1, largest=False)
        return values, indices


@dataclass(frozen=True)
class Largest(Positions):
    """The maximum alone, as torch.max gives it."""

    def places(self, n: int) -> tuple[int, ...]:
        return (n - 1,)

    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.max(x, dim=-1, keepdim=True)
        return values, indices

    def nearness(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-2)


@dataclass(frozen=True)
class Smallest(Positions):
    """The minimum alone, as torch.min gives it."""

    def places(self, n: int) -> tuple[int, ...]:
        return (0,)

    @property
    def mirror(self) -> Positions:
        return Largest()

    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.min(x, dim=-1, keepdim=True)
        return values, indices

    def nearness(self, x: Tensor) -> Tensor:
        return -x.unsqueeze(-2)


@dataclass(frozen=True)
class Kth(Positions):
    """The k-th smallest alone, k = 1 .. n, as torch.kthvalue gives it."""

    k: int

    def places(self, n: int) -> tuple[int, ...]:
        return (self.k - 1,)

    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.kthvalue(x, self.k, dim=-1, keepdim=True)
        return values, indices


@dataclass(frozen=True)
class Median(Positions):
    """The lower median alone, as torch.median gives it."""

    def places(self, n: int) -> tuple[int, ...]:
        return ((n - 1) // 2,)

    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.median(x, dim=-1, keepdim=True)
        return values, indices


@dataclass(frozen=True)
class At(Positions):
    """Chosen places: integers (negative ones count from the top), or a tensor (k,) of places 0 .. n-1.

    A NaN makes its row NaN, as in torch.quantile, which picks its entries so.
    """

    chosen: tuple[int, ...] | Tensor

    def places(self, n: int) -> tuple[int, ...] | Tensor:
        return self.chosen if isinstance(self.chosen, Tensor) else tuple(p % n for p in self.chosen)

    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        ordered, order = torch.sort(x, dim=-1)
        place = self.index(x.shape[-1], x.device)
        values, indices = ordered.index_select(-1, place), order.index_select(-1, place)
        return values.masked_fill(x.isnan().any(dim=-1, keepdim=True), torch.nan), indices


@dataclass(frozen=True)
class Neighbours(At):
    """The places that Q quantiles lie at or between: the lower ones and then, where two are mixed, the upper ones."""

    lower: tuple[int, ...] | Tensor
    """(Q,) the lower ones"""
    ends: tuple[bool, ...] | Tensor
    """(Q,) which quantiles are the minimum or the maximum itself, q = 0 or 1"""
    paired: bool
    """whether each quantile is one of a place and its successor, also where the successor has no weight"""
