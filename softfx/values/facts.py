"""The facts known of one tensor, in one immutable record, and the store by which equal records are one object."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from torch import Tensor

from softfx.locations import Location
from softfx.ops.operation import Infinities, Operation
from softfx.values.domains import Soft

__all__ = [
    "CONSTANT",
    "INTEGERS",
    "SOURCE",
    "FactStore",
    "HardHandle",
    "Pending",
    "ValueFacts",
    "facts_by_flag",
    "is_stepped",
    "is_written_constant",
    "unbounded_after",
    "without_tensors",
]


class HardHandle(Protocol):
    """A hard value that is computed when something asks for it (softfx.interpreter.hard_values)."""

    def value(self, backend: Any) -> Tensor | None:
        """The tensor, or None where it can no longer be known."""


@dataclass(frozen=True, eq=False, slots=True)
class ValueFacts:
    """Everything that is known of one tensor object.

    A real tensor has a discrete shadow while it goes on standing for integers or bools: cast to float, summed, rounded.
    Tensors of which the same is known share one record, see `FactStore`.

    depends_on_source: it depends on a differentiable source.
    soft: its shadow.
    gradient_sites: the sites whose derivative reaches this real number.
    integral: it holds whole numbers only; tensors of integers and bools do.
    hard: the tensor that a softened real tensor would be without softening, or a handle to compute it.
    version: of the tensor, when `hard` was found.
    fill: the one number that a constant is filled with.
    detached_at: the places that detached everything it depends on.
    stepped: in the original it is made of choices, counts or clipped numbers, and equal to others by more than chance.
    unbounded: by how many products it is multiplied with a finite derivative, for it may hold infinities that a guarded
        operation has made of finite numbers.
    """

    depends_on_source: bool
    soft: Soft | None = None
    gradient_sites: frozenset[int] = frozenset()
    integral: bool = False
    hard: Tensor | HardHandle | None = None
    version: int = 0
    fill: float | None = None
    detached_at: frozenset[Location] = frozenset()
    stepped: bool = False
    unbounded: int = 0

    @property
    def holds_tensors(self) -> bool:
        """True if it holds tensors, so that it belongs to one tensor object alone."""
        return self.soft is not None or self.hard is not None


@dataclass(eq=False, slots=True)
class Pending:
    """Facts of a real tensor that are found when something asks for them: its shadow is not made yet.

    find: finds them.
    find_number: finds the facts of it as a mere number, which is less work; for what reads no more of a shadow.
    storages: gives the keys of the memory that finding them reads, and of the tensor's own.
    sites: the sites that its shadow comes from.
    depth: how many such facts are found one after the other at most.
    number: what find_number has found.
    """

    find: Callable[[], ValueFacts]
    find_number: Callable[[], ValueFacts]
    storages: Callable[[], frozenset[int | None]]
    sites: frozenset[int]
    depth: int
    number: ValueFacts | None = None
    depends_on_source: ClassVar[bool] = True


SOURCE, CONSTANT, INTEGERS = ValueFacts(True), ValueFacts(False), ValueFacts(False, integral=True)


def facts_by_flag(tensor: Tensor) -> ValueFacts:
    """The facts of a tensor of which nothing is remembered: a parameter, a constant, the output of unseen code."""
    if tensor.requires_grad:
        return SOURCE
    return CONSTANT if tensor.is_floating_point() or tensor.is_complex() else INTEGERS


# Three factors are what an entropy or an average has; a longer chain of products is not followed at its cost.
_PRODUCTS = 2


def unbounded_after(operation: Operation, operands: Iterable[ValueFacts], makes_infinities: bool = False) -> int:
    """The `unbounded` of the results of a call. makes_infinities: it is guarded, and may make them itself."""
    if makes_infinities:
        return _PRODUCTS
    if not operation.passes_infinities:
        return 0
    left = max((facts.unbounded for facts in operands), default=0)
    return max(left - (operation.infinities is Infinities.SPREAD), 0)


def is_stepped(facts: ValueFacts) -> bool:
    """Return True for what the original makes of choices, counts or clipped numbers, for it lies on jumps."""
    return facts.stepped or facts.soft is not None or (facts.integral and facts.depends_on_source)


def is_written_constant(facts: ValueFacts | Pending, tensor: Tensor) -> bool:
    """Return True for a tensor that was a constant, and requires a gradient since it was written through a view.

    A leaf that the program itself makes require a gradient is a source, too.
    """
    return not facts.depends_on_source and tensor.requires_grad


def without_tensors(facts: ValueFacts) -> ValueFacts:
    """The facts of a tensor that no longer has a shadow, or another hard value."""
    return replace(facts, soft=None, hard=None) if facts.holds_tensors else facts


class FactStore:
    """One record for all tensors of which the same is known, so that the outcome of calls can be looked up by it.

    Records that hold tensors belong to one tensor each and are not kept here.
    """

    _MOST = 4096  # a program that fills a tensor with another number at each step makes ever more of them

    def __init__(self) -> None:
        self._records: dict[tuple[object, ...], ValueFacts] = {}
        self._begin()

    def __reduce__(self) -> tuple[type[FactStore], tuple[()]]:
        return FactStore, ()  # a copy finds its own

    def shared(self, facts: ValueFacts) -> ValueFacts:
        """The record that stands for all that are equal to `facts`."""
        if facts.holds_tensors:
            return facts
        if len(self._records) > self._MOST:
            self._begin()
        flags = (facts.depends_on_source, facts.integral, facts.stepped, facts.unbounded)
        key = (flags, facts.gradient_sites, facts.fill, facts.detached_at)
        return self._records.setdefault(key, facts)

    def _begin(self) -> None:
        self._records.clear()
        for facts in (SOURCE, CONSTANT, INTEGERS):
            self.shared(facts)
