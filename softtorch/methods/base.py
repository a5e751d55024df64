"""The protocol of a relaxation method: one file, one class, one relaxation of sorting.

An operator hands over `Keys` (the input, prepared) and `Positions` (the order statistics it wants) and gets back rows,
values or ranks. No operator knows a method, no method knows an operator; shapes are (..., [n]) with the operator's dim
last. To add a method: a file with a subclass of Method, its flags and its contract in it, and one line in
methods/__init__.py. checks.py turns the flags into error messages.
"""

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

import torch
from torch import Tensor

from softtorch.errors import MethodError, message
from softtorch.kernels.numeric.precision import log_probability
from softtorch.kernels.pointwise import slopes
from softtorch.methods.contract import LAWS, NO, YES, Contract, Law
from softtorch.methods.keys import Keys, prepare
from softtorch.methods.positions import Every, Positions
from softtorch.modes import Mode


class Selection(NamedTuple):
    """Order statistics and where they came from."""

    values: Tensor
    """(..., k)"""
    rows: Tensor | None
    """(..., k, [n]) probabilities, or None for a method that pairs no index with its values."""


class Method(ABC):
    """One relaxation. A subclass that has options is a frozen dataclass; equal options mean equal behaviour.

    Laws, for every method and x (..., [n]):
    - each row of `rows` lies on the simplex, and tends to the one-hot place of the exact order statistic as softness
      tends to 0, wherever that is unique;
    - `values` tends to the exact order statistics; with `has_rows` and no override it is rows @ x;
    - permuting the entries of x permutes the columns of `rows` and the entries of `rank`, and leaves `values`;
    - the first place belongs to entries of level -1 and the last to those of level 1 (see `Keys`), if there are any:
      rows of finite places give such entries exactly 0.
    """

    name: ClassVar[str]
    modes: ClassVar[tuple[str, ...]] = ("smooth", "c0", "c1", "c2")
    """The modes it is defined for, "hard" apart."""
    has_values: ClassVar[bool] = True
    """It gives order statistics: sort, topk, quantile and their kin work."""
    has_rows: ClassVar[bool] = True
    """It gives soft indices: argmax, argsort and their kin work."""
    pairs_index: ClassVar[bool] = True
    """sort, topk, max, min and median return an index beside the values."""
    has_rank: ClassVar[bool] = True
    """`rank` works."""
    has_mask: ClassVar[bool] = False
    """`mask` works: soft top-k membership with sum exactly k."""
    contract: ClassVar[Contract]
    """The laws that its results keep, and what it costs."""

    def __init_subclass__(cls) -> None:
        """Add the contract to the docstring of the class that states it."""
        super().__init_subclass__()
        if "contract" in vars(cls) and cls.__doc__:
            cls.__doc__ = f"{inspect.cleandoc(cls.__doc__)}\n\n{_described(cls)}"

    @classmethod
    def law(cls, name: str) -> Law | None:
        """A law of LAWS as this method keeps it; None where it gives nothing that the law is about."""
        if not any(getattr(cls, flag) for flag in LAWS[name]):
            return None
        law: Law = getattr(cls.contract, name, YES)  # those that every method keeps are not stated
        return law

    @classmethod
    def mode_of(cls, mode: Mode) -> Mode:
        """The mode that rows are in where `mode` is asked for: without a tail, unless the method has rows with one."""
        return mode if mode.name in cls.modes else mode.tailless

    @property
    def doubly_stochastic(self) -> bool:
        """True if the n rows of all places form a matrix whose columns sum to 1 too."""
        return self.law("doubly_stochastic") not in (None, NO)

    def prepare(self, x: Tensor, softness: Tensor | float, mode: Mode, standardize: bool) -> Keys:
        """Keys for x, (..., [n]); a method that never standardizes overrides this."""
        return prepare(x, softness, mode, standardize)

    def with_ot_kwargs(self, ot_kwargs: dict[str, Any] | None) -> Self:
        """This method with SoftTorch's `ot_kwargs`, checked, applied; they mean something to method ot alone."""
        return self

    def rows(self, keys: Keys, positions: Positions) -> Tensor:
        """Probabilities (..., k, [n]) of each entry to be at each of the k positions."""
        self._cannot("gives no soft indices")

    def log_rows(self, keys: Keys, positions: Positions) -> Tensor:
        """The logarithm of `rows`, (..., k, [n]), exact zeros at -inf."""
        return log_probability(self.rows(keys, positions))

    def values(self, keys: Keys, positions: Positions, gated_grad: bool = True) -> Tensor:
        """Order statistics (..., k) in the units of the input.

        A method that has a cheaper way than rows @ x, or no rows, overrides this. gated_grad=False stops the gradient
        through the weights and leaves the one through the entries that they weigh.
        """
        rows = self.rows(keys, positions)
        return weighted(rows if gated_grad else rows.detach(), keys, positions)

    def select(self, keys: Keys, positions: Positions, gated_grad: bool, with_rows: bool) -> Selection:
        """Values (..., k), and rows (..., k, [n]) where asked for and the method pairs them with values."""
        if not (with_rows and self.pairs_index):
            return Selection(self.values(keys, positions, gated_grad), None)
        rows = self.rows(keys, positions)
        return Selection(weighted(rows if gated_grad else rows.detach(), keys, positions), rows)

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        """Soft ranks 1 .. n, (..., [n]); descending gives the largest entry rank 1.

        The default is the mean place of each column of the matrix of all rows, the column normalized to sum 1.
        """
        columns = self.rows(keys, Every())
        places = torch.arange(1, keys.n + 1, device=columns.device, dtype=columns.dtype)
        mass = columns.sum(dim=-2)
        ranks = (places.unsqueeze(-1) * columns).sum(dim=-2) / torch.where(mass == 0, 1.0, mass)
        # An entry that no place wants (sparse modes, large softness) has only its exact place to go by.
        ascending = torch.where(mass == 0, middle_rank(keys), ranks)
        return keys.n + 1 - ascending if descending else ascending

    def mask(self, keys: Keys, k: Tensor | float) -> Tensor:
        """Soft membership in the k largest, (..., [n]) in [0, 1], with sum k along the axis; k number or (..., [1])."""
        self._cannot("gives no top-k mask")

    def _cannot(self, why: str) -> NoReturn:
        raise MethodError(message("softtorch", f"method {self.name!r} {why}"))


def _described(method: type[Method]) -> str:
    """The contract as the last part of a docstring."""
    contract = method.contract
    laws = {name.replace("_", " "): law for name in LAWS if (law := method.law(name)) is not None}
    costs = {"time": contract.time, "memory": contract.memory}
    rest = {"ties": contract.ties, "infinities": contract.infinities, "NaN": contract.nan, "limit": contract.limit}
    facts = {"modes": ", ".join(method.modes), **laws, "smoothness": contract.smoothness, **costs, **rest}
    lines = [f"    {fact}: {text}" for fact, text in {**facts, "source": contract.source}.items()]
    return "\n".join(["Contract, for n entries and k places asked for:", *lines])


class ScoredMethod(Method):
    """A method whose rows are the mode's projection of scores: it supplies `scores` alone."""

    @abstractmethod
    def scores(self, keys: Keys, positions: Positions) -> Tensor:
        """Scores over softness, (..., k, [n]), for the entries of every position; infinities need no care here."""

    def _admitted(self, keys: Keys, positions: Positions) -> Tensor:
        """Scores, (..., k, [n]), with -inf where the level of entry and place differ."""
        if keys.moderate:
            return self.scores(keys, positions)
        place = keys.place_level(positions.index(keys.n, keys.raw.device))
        foreign = place.unsqueeze(-1) != keys.level.unsqueeze(-2)
        return self.scores(keys, positions).masked_fill(foreign, -torch.inf)

    def rows(self, keys: Keys, positions: Positions) -> Tensor:
        return keys.mode.project(self._admitted(keys, positions))

    def log_rows(self, keys: Keys, positions: Positions) -> Tensor:
        return keys.mode.log_project(self._admitted(keys, positions))


def weighted(rows: Tensor, keys: Keys, positions: Positions) -> Tensor:
    """rows (..., k, [n]) times the raw entries: (..., k); places of infinite level get the exact value."""
    return with_extremes(keys.valued(_averages(rows, keys.entries)), keys, positions)


def _averages(rows: Tensor, entries: Tensor) -> Tensor:
    """rows (..., k, [n]) times entries (..., [n]): (..., k)."""
    kind = rows.device.type
    # Autocast would run a matrix product in half precision; it leaves sums of products alone. They are faster for one,
    # and where all is small.
    small = rows.shape[-2] == 1 or rows.numel() < slopes.SMALL
    if small or (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return (rows * entries.unsqueeze(-2)).sum(dim=-1)
    return torch.matmul(rows, entries.unsqueeze(-1)).squeeze(-1)


def with_extremes(values: Tensor, keys: Keys, positions: Positions) -> Tensor:
    """Values (..., k) at `positions`, with those of infinite level replaced by torch's own, gradient included."""
    if keys.moderate:
        return values
    place = keys.place_level(positions.index(keys.n, values.device))
    return torch.where(place == 0, values, positions.exact(keys.raw)[0].to(values.dtype))


def settled(rows: Tensor, keys: Keys, positions: Positions) -> Tensor:
    """Rows (..., k, [n]) cut to entries of the level of their place and renormalized.

    For methods that cannot keep infinite entries out by themselves. Where nothing is left the entries of that level
    share the row evenly.
    """
    if keys.moderate:
        return rows
    place = keys.place_level(positions.index(keys.n, rows.device))
    admitted = (place.unsqueeze(-1) == keys.level.unsqueeze(-2)).to(rows.dtype)
    kept = rows * admitted
    mass = kept.sum(dim=-1, keepdim=True)
    even = admitted / admitted.sum(dim=-1, keepdim=True).clamp(min=1.0)
    intact = (keys.level == 0).all(dim=-1, keepdim=True).unsqueeze(-1)
    shared = torch.where(mass > 0, kept / torch.where(mass > 0, mass, 1.0), even)
    return torch.where(intact, rows, shared)


def middle_rank(keys: Keys) -> Tensor:
    """Exact ascending ranks (..., [n]), ties sharing their mean, as constants."""
    compared = keys.compared.detach().contiguous()
    ordered = compared.sort(dim=-1).values
    left = torch.searchsorted(ordered, compared, right=False)
    right = torch.searchsorted(ordered, compared, right=True)
    return (left + right + 1).to(compared.dtype) / 2.0
