"""Small records that a run keeps of how a tensor was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

from torch import Tensor

from softfx.locations import Location
from softfx.ops.calls import Args, Function, Kwargs
from softfx.values import Soft, TensorTable

__all__ = [
    "Along",
    "ByPlace",
    "Clip",
    "Exchange",
    "Foreign",
    "LiftedAt",
    "Lookup",
    "Moved",
    "Pointwise",
    "Statistic",
    "Steps",
    "Term",
    "ViewRead",
]

LiftedAt: TypeAlias = tuple[str, Location]  # which of the two it is, as in Lift, and where


class Term(NamedTuple):
    """One tensor in a sum."""

    tensor: Tensor
    sign: int = 1
    detached: bool = False


Steps: TypeAlias = tuple[tuple[int, int], ...]


class Along(Protocol):
    """What a statistic was taken along.

    form: the soft form of a comparison with it (softfx.runtime).
    idiom: what a report calls such a comparison.
    """

    form: ClassVar[Callable[..., Tensor]]
    idiom: ClassVar[str]

    @property
    def dim(self) -> int | None:
        """The axis along which numbers stand beside each other; None for all of them."""

    def where(self, taken_of: Tensor, rows: Tensor, threshold: Tensor) -> tuple[object, ...] | None:
        """What `form` is told of rows that are those which the statistic was taken of; None where it does not fit."""


@dataclass(frozen=True, eq=False)
class Statistic:
    """What order statistics were taken of: rows, along an axis, of each prefix or around each entry.

    steps: the lengths and strides of the axes on which they lie, but for those of one entry.
    along: says which form a comparison of the same rows with them has, and where.
    writes: how many calls had written in place by then.
    """

    rows: Tensor
    steps: Steps
    along: Along
    writes: int


@dataclass(frozen=True, eq=False)
class Clip:
    """What was clipped, and at which numbers; None for none, or none that is one number.

    origin: the name and the place of the call.
    writes: how many calls had written in place by then.
    """

    input: Tensor
    low: float | None
    high: float | None
    origin: tuple[str, Location]
    writes: int


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A call that has made real numbers of one decision, element by element.

    root: the decision's shadow.
    func: what was called; None for numbers over which `root` itself ranges.
    origins: the names and places of this call and of those before it.
    writes: how many calls had written in place by then.
    is_alone: nothing else that has a derivative is in these numbers.
    """

    root: Soft
    func: Function | None
    args: Args
    kwargs: Kwargs
    origins: frozenset[tuple[str, Location]]
    writes: int
    is_alone: bool


@dataclass(frozen=True, eq=False)
class ByPlace:
    """What a choice has looked up along one axis, or a call that has made something of that, each place by itself.

    places: the index that was looked up by.
    axis: where the places lie, from the end.
    source: the whole in which it was looked up; None for what a call has made.
    in_rows: each row has places of its own, as for gather.
    writes: how many calls had written in place by then.
    """

    places: Tensor
    axis: int
    writes: int
    source: Tensor | None = None
    in_rows: bool = False
    func: Function | None = None
    args: Args = ()
    kwargs: Kwargs = field(default_factory=dict)


class Moved(NamedTuple):
    """How a tensor was moved out of another one, call by call, where no view tells."""

    source: Tensor
    calls: tuple[object, ...]


@dataclass(frozen=True, eq=False)
class Lookup:
    """A look-up source[key], and what has been added to its result since.

    writes: how many calls had written in place by then.
    once: it names no place twice.
    """

    source: Tensor
    writes: int
    key: tuple[object, ...]
    once: bool = True
    addend: Any = None


@dataclass(eq=False)
class ViewRead:
    """A look-up source[key] by a soft index, whose result is a view in the original, and a tensor of its own here.

    origin: the name and the place of the call.
    storage: the identity of the source's memory, which `reference` keeps for it.
    missing: the side, "source" or "result", that has missed what was written to the other.
    """

    origin: tuple[str, Location]
    source: Tensor
    storage: int
    key: tuple[object, ...]
    reference: Any
    missing: str | None = None


@dataclass(eq=False)
class Foreign:
    """The storages, by their keys, of parameters, buffers, inputs and whatever else the call has not made itself.

    made: those that it has made, which are kept so that no other storage takes their key.
    detached: where a lifted detachment has given another name to a tensor there.
    given: tensors there that the call was given, or met first: others there are of its own making.
    lifted: the lifted blocks and detachments, without which a tensor would carry no derivative, or another.
    lifted_in: the same of storages that were written, by their keys: all tensors there hold what was.
    sites_in: the sites whose derivative was written there, also where something else was written over it: to autograd
        that is a step of its own.
    leaves: those before tensors of which the program would make a leaf.
    went_back: a backward pass was seen inside the call.
    """

    keys: set[int] = field(default_factory=set)
    made: dict[int, Any] = field(default_factory=dict)
    detached: dict[int, Location] = field(default_factory=dict)
    given: TensorTable[bool] = field(default_factory=TensorTable)
    lifted: TensorTable[frozenset[LiftedAt]] = field(default_factory=TensorTable)
    lifted_in: dict[int, frozenset[LiftedAt]] = field(default_factory=dict)
    sites_in: dict[int, frozenset[int]] = field(default_factory=dict)
    leaves: frozenset[LiftedAt] = frozenset()
    went_back: bool = False


@dataclass(eq=False)
class Exchange:
    """The exchanges of one further run: the same of a site each time that the run meets it.

    seed: what they are drawn by.
    made: the sites at which one was made.
    """

    seed: int
    made: set[int] = field(default_factory=set)

    def places(self, site: int, chosen: Sequence[int], n: int) -> list[int]:
        """The places of n entries in another order: some of the chosen have changed places with others.

        How many is drawn, too: one at a time tries the others too rarely where many are chosen, and all at once never
        shows what goes well together.

        >>> sorted(Exchange(0).places(1, [2, 0], 4))
        [0, 1, 2, 3]
        """
        random, order = Random(self.seed + site), list(range(n))
        others = sorted(set(order).difference(chosen))
        many = random.randint(1, min(len(chosen), len(others)))
        pairs = zip(random.sample(sorted(chosen), many), random.sample(others, many), strict=True)
        for left, entered in pairs:
            order[left], order[entered] = entered, left
        return order
