"""The kinds of soft value, a class each: what a hard tensor of the program is worth to the derivative.

The program keeps seeing its own hard tensors; beside a tensor that is discrete (or was a moment ago) lives a `Soft`,
its shadow. A shadow holds tensors and says how to read them: as a real number, as the probability of being true, as
weights over integers. Its methods compute with `emit`, which makes a call as one visible step of rewritten code. To add
a kind, write its class here; which operations hand it on is a matter of their rules (softfx.rules).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from softfx import torch_private
from softfx.ops.calls import Function
from softfx.runtime import counts, distributions

__all__ = [
    "Emit", "Kind", "SelectedRows", "Soft", "SoftBool", "SoftCount", "SoftIndex", "SoftReal", "SoftSign", "SoftSum",
    "Term",
]  # fmt: skip

Kind = Literal["real", "count", "soft_bool", "soft_index", "selected_rows"]
# emit(function, *args, **kwargs): the result of a call that softening adds.
Emit = Function


@dataclass(frozen=True, eq=False, slots=True)
class Soft:
    """The shadow of a hard tensor. It is never changed. Each kind is a subclass, which says how to read it.

    exact: every softened operation behind it is straight-through, so the hard value is the value.
    sites: the sites that it comes from.
    joint: how many decisions have become one in a mask, as planning counts them.
    """

    exact: bool = field(default=True, kw_only=True)
    sites: frozenset[int] = field(default=frozenset(), kw_only=True)
    joint: int = field(default=1, kw_only=True)

    kind: ClassVar[Kind]
    """The name of its kind, as written code and reports give it."""
    integral: ClassVar[bool] = True
    """True if it stands for whole numbers."""

    @property
    def tensor(self) -> Tensor:
        """The tensor that carries its derivative."""
        raise NotImplementedError

    def with_tensor(self, tensor: Tensor) -> Self:
        """The same with another tensor of the same meaning."""
        raise NotImplementedError

    @property
    def shape(self) -> torch.Size:
        """The shape of the hard tensor that it stands for."""
        return self.tensor.shape

    @property
    def size(self) -> int:
        """How many numbers it ranges over; a number by itself lies between two."""
        return 2

    def real(self, emit: Emit) -> Tensor:
        """The real number that it is worth.  # -> (...)"""
        raise NotImplementedError

    def truth(self, emit: Emit) -> Tensor:
        """The probability that it is not zero.  # -> (...)"""
        magnitude = emit(torch.abs, self.real(emit))
        result: Tensor = emit(torch.clamp, magnitude, max=1.0)
        return result

    def finite(self, emit: Emit) -> tuple[Tensor, Tensor]:
        """Its weights over finitely many integers.  # -> (..., [n]), broadcastable to (..., [n])"""
        weights, support = emit(distributions.count_points, self.real(emit))
        return weights, support

    def hardened(self, emit: Emit, hard: Tensor) -> Tensor:
        """The hard tensor in the form of `tensor`: 0 or 1, a one-hot, or the number."""
        result: Tensor = emit(torch.Tensor.to, hard, self.tensor.dtype)
        return result

    def moved(self, emit: Emit, func: Function, *args: Any, **kwargs: Any) -> Self | list[Self]:
        """`func`, which only moves elements: a Soft, or a list of them where it returns several tensors."""
        result = emit(func, self.tensor, *args, **kwargs)
        return self.with_tensor(result) if isinstance(result, Tensor) else [self.with_tensor(item) for item in result]


@dataclass(frozen=True, eq=False, slots=True)
class _SoftNumber(Soft):
    """A shadow that is one real number for each element."""

    value: Tensor

    @property
    def tensor(self) -> Tensor:
        return self.value

    def with_tensor(self, tensor: Tensor) -> Self:
        return replace(self, value=tensor)

    def real(self, emit: Emit) -> Tensor:
        return self.value


@dataclass(frozen=True, eq=False, slots=True)
class SoftReal(_SoftNumber):
    """A real number that runs beside its hard value (scope = "linear", "model")."""

    kind: ClassVar[Kind] = "real"
    integral: ClassVar[bool] = False


@dataclass(frozen=True, eq=False, slots=True)
class SoftCount(_SoftNumber):
    """A real number that stands for an integer: a sum of soft bools, a rounded number."""

    kind: ClassVar[Kind] = "count"


@dataclass(frozen=True, eq=False, slots=True)
class SoftSign(SoftCount):
    """A count that is 1 or -1, and nothing in between."""

    def finite(self, emit: Emit) -> tuple[Tensor, Tensor]:
        weights, support = emit(counts.sign_points, self.value)
        return weights, support


@dataclass(frozen=True, eq=False, slots=True)
class SoftBool(Soft):
    """A probability that stands for a bool.

    apart: of several that `&` made one, where their noise has a tail: the probability that all happen if it is
        independent, and if it is one (softfx.runtime.joining); with False before them, made by `|`, that none happens.
    """

    probability: Tensor
    apart: tuple[bool, Tensor, Tensor] | None = None

    kind: ClassVar[Kind] = "soft_bool"

    @property
    def tensor(self) -> Tensor:
        return self.probability

    def with_tensor(self, tensor: Tensor) -> Self:
        return replace(self, probability=tensor, apart=None)

    def real(self, emit: Emit) -> Tensor:
        return self.probability

    def truth(self, emit: Emit) -> Tensor:
        return self.probability

    def finite(self, emit: Emit) -> tuple[Tensor, Tensor]:
        weights, support = emit(distributions.bool_points, self.probability)
        return weights, support


@dataclass(frozen=True, eq=False, slots=True)
class SoftIndex(Soft):
    """A distribution that stands for an integer.

    weights: the probability of each number.  # (..., [n])
    support: the numbers that it ranges over, broadcastable to (..., [n]); None stands for 0..n-1.
    distinct: the axis along which no two integers are the same one, as in the result of argsort; None if there is none.
    """

    weights: Tensor
    support: Tensor | None = None
    distinct: int | None = None
    _worth: list[Tensor] = field(default_factory=list, init=False, repr=False)

    kind: ClassVar[Kind] = "soft_index"

    @property
    def tensor(self) -> Tensor:
        return self.weights

    def with_tensor(self, tensor: Tensor) -> Self:
        return replace(self, weights=tensor)

    @property
    def shape(self) -> torch.Size:
        return self.weights.shape[:-1]

    @property
    def size(self) -> int:
        """How many numbers it ranges over."""
        return self.weights.shape[-1]

    @property
    def is_permutation(self) -> bool:
        """True if along an axis it is each of 0..n-1 once."""
        return self.distinct is not None and self.support is None and self.weights.shape[self.distinct] == self.size

    def real(self, emit: Emit) -> Tensor:
        if self._worth and self._keeps_worth:
            return self._worth[0]
        result: Tensor = emit(distributions.expectation, self.weights, self.support)
        if self._keeps_worth:
            self._worth.append(result)
        return result

    @property
    def _keeps_worth(self) -> bool:
        """True if the number is computed once for all readers: none gets it as a tensor of the program."""
        return self.exact and torch.is_grad_enabled() and not torch_private.in_transform()

    def truth(self, emit: Emit) -> Tensor:
        weights, support = self.finite(emit)
        result: Tensor = emit(distributions.probability, torch.ne, weights, support, None, 0, False)
        return result

    def finite(self, emit: Emit) -> tuple[Tensor, Tensor]:
        return self.weights, emit(distributions.support_of, self.weights, self.support)

    def hardened(self, emit: Emit, hard: Tensor) -> Tensor:
        result: Tensor = emit(distributions.index_points, hard, self.weights, self.support)
        return result

    def moved(self, emit: Emit, func: Function, *args: Any, **kwargs: Any) -> Self | list[Self]:
        weights = emit(distributions.move, func, self.weights, *args, **kwargs)
        support: Any = self.support
        if support is not None and support.dim() > 1:
            full = emit(Tensor.expand, support, self.weights.shape)
            support = emit(distributions.move, func, full, *args, **kwargs)
        if isinstance(weights, Tensor):
            return replace(self, weights=weights, support=support, distinct=None)
        supports = support if isinstance(support, tuple | list) else [support] * len(weights)
        pairs = zip(weights, supports, strict=True)
        return [replace(self, weights=piece, support=part, distinct=None) for piece, part in pairs]


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """A whole multiple of an integer, in a sum of such.

    integer: it stands for the integer.
    factor: what it is multiplied by; a tensor is one of whole numbers.
    """

    integer: Soft
    factor: Tensor | float


@dataclass(frozen=True, eq=False, slots=True)
class SoftSum(SoftCount):
    """A count that is a sum of whole multiples of integers, as row * width + column is: it is between no two pixels.

    terms: the multiples, independent of each other.
    offset: what is added to them.
    held: the type of few bytes that it wraps around in; None where it does not.
    """

    terms: tuple[Term, ...]
    offset: Tensor | float = 0
    held: torch.dtype | None = None

    def with_tensor(self, tensor: Tensor) -> SoftCount:  # type: ignore[override]  # of another number no terms are known
        if tensor is self.value:
            return self
        return SoftCount(tensor, exact=self.exact, sites=self.sites)

    @property
    def size(self) -> int:
        """How many numbers it ranges over, those of its terms in all combinations."""
        return math.prod(term.integer.size for term in self.terms)

    def held_in(self, value: Tensor, dtype: torch.dtype) -> Self:
        """The same as a type of few bytes holds it, where it is worth `value`."""
        fits = self.held is not None and self.held.itemsize < dtype.itemsize
        return replace(self, value=value, held=self.held if fits else dtype)

    def in_radices(self, emit: Emit, *radices: object) -> SoftSum:
        """The same as a number in mixed radices, each of its terms a digit; of one term alone it stays as it is.

        radices: what else is known of them, as what it is divided by.
        """
        return self if len(self.terms) == 1 else self.as_place(emit, *radices)

    def as_place(self, emit: Emit, *radices: object) -> SoftSum:
        """The same with digits for its counts, none of which leaves its range for its neighbour's sake.

        The neighbour of the last column is no pixel of the next row, nor that of the first element the last. Where
        factors are no radices a digit stays on its side of zero.

        radices: what else is known of them: the size of the axis that it is a place on, what it is divided by.
        """
        known: list[Tensor | float] = [term.factor for term in self.terms]
        if isinstance(self.offset, Tensor) or self.offset or any(not isinstance(f, Tensor) and f <= 0 for f in known):
            return replace(self, terms=tuple(self._as_digit(term, [], emit) for term in self.terms))
        known += [int(radix) for radix in radices if isinstance(radix, int | float)]
        return replace(self, terms=tuple(self._as_digit(term, known, emit) for term in self.terms))

    def _as_digit(self, term: Term, known: list[Tensor | float], emit: Emit) -> Term:
        if type(term.integer) is not SoftCount:
            return term
        base: Any = None
        if known:
            of_tensors = any(isinstance(radix, Tensor) for radix in known)
            base = emit(counts.base_of, term.factor, known) if of_tensors else counts.base_of(term.factor, known)
        weights, support = emit(counts.digit, term.integer.value, base)
        return replace(term, integer=SoftIndex(weights, support, exact=self.exact, sites=self.sites))

    def finite(self, emit: Emit) -> tuple[Tensor, Tensor]:
        weights, support = None, self.offset
        for term in self.in_radices(emit).terms:
            own, numbers = term.integer.finite(emit)
            weights, support = emit(counts.combined, weights, support, own, numbers, term.factor)
        assert isinstance(support, Tensor)  # of the first term on
        support = support if self.held is None else emit(counts.held, support, self.held)
        return emit(Tensor.expand, weights, (*self.shape, -1)), support

    def truth(self, emit: Emit) -> Tensor:
        weights, support = self.finite(emit)
        result: Tensor = emit(distributions.probability, torch.ne, weights, support, None, 0, False)
        return result

    def moved(self, emit: Emit, func: Function, *args: Any, **kwargs: Any) -> SoftCount | list[SoftCount]:  # type: ignore[override]  # a sum is moved as a whole

        def moved(operand: Any) -> list[Any]:
            if not isinstance(operand, Tensor | Soft) or (isinstance(operand, Tensor) and not operand.dim()):
                return [operand] * len(values)
            if isinstance(operand, Soft):
                pieces: Any = _expanded(operand, self.shape, emit).moved(emit, func, *args, **kwargs)
            else:
                pieces = emit(func, emit(Tensor.expand, operand, self.shape), *args, **kwargs)
            return list(pieces) if isinstance(pieces, tuple | list) else [pieces]

        result = emit(func, self.value, *args, **kwargs)
        values = list(result) if isinstance(result, tuple | list) else [result]
        integers = zip(*(moved(term.integer) for term in self.terms), strict=True)
        factors = zip(*(moved(term.factor) for term in self.terms), strict=True)
        parts = [
            replace(self, value=value, terms=tuple(map(Term, own, multiples)), offset=offset)
            for value, own, multiples, offset in zip(values, integers, factors, moved(self.offset), strict=True)
        ]
        return parts[0] if isinstance(result, Tensor) else list(parts)


def _expanded(soft: Soft, shape: torch.Size, emit: Emit) -> Soft:
    """A shadow of a tensor of `shape`, to which its own broadcasts."""
    if soft.shape == shape:
        return soft
    if isinstance(soft, SoftSum):
        return soft.moved(emit, Tensor.expand, shape)  # type: ignore[return-value]  # of one tensor it is one
    if not isinstance(soft, SoftIndex):
        return soft.with_tensor(emit(Tensor.expand, soft.tensor, shape))
    return replace(soft, weights=emit(Tensor.expand, soft.weights, (*shape, soft.size)))


@dataclass(frozen=True, eq=False, slots=True)
class SelectedRows(Soft):
    """The rows that a soft mask selects: all rows, with the probability of each.

    rows: all rows, selected or not.  # (n, ...)
    probabilities: of each row being selected.  # (n)
    mask: the rows that the original selects.  # (n)
    stands: what the rows are, real numbers, counts, or probabilities that stand for bools.
    """

    rows: Tensor
    probabilities: Tensor
    mask: Tensor
    stands: Kind = "real"

    kind: ClassVar[Kind] = "selected_rows"
    integral: ClassVar[bool] = False

    @property
    def tensor(self) -> Tensor:
        return self.rows

    def with_tensor(self, tensor: Tensor) -> Self:
        return replace(self, rows=tensor)

    def real(self, emit: Emit) -> Tensor:
        return self.rows
