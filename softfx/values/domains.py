"""What a tensor of the program stands for once something upstream has been softened.

The program keeps seeing its own hard tensors; beside a tensor that is discrete (or was a moment ago) lives a
`Soft`, its shadow. `Values` is the side table that ties the two together, by identity and without keeping
tensors alive. How shadows flow through operations is the rules' business (softfx.rules), not this file's.
"""

from __future__ import annotations

import enum
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

__all__ = ["ATOMS", "Beside", "Domain", "Facts", "Known", "Soft", "Values", "map_tensors", "rebuilt", "tensors_in"]

_T = TypeVar("_T")


_SEQUENCES = (tuple, list)
# Types that hold no tensors.
ATOMS = frozenset(
    {int, float, complex, bool, str, type(None), type(...), torch.Size, torch.dtype, torch.device, torch.layout}
)


class Domain(enum.Enum):
    """The meaning of a shadow."""

    REAL = "real"  # a real number running beside its hard value (scope = "model")
    COUNT = "count"  # a real number standing for an integer
    SOFT_BOOL = "soft_bool"  # a probability standing for a bool
    SOFT_INDEX = "soft_index"  # a distribution over [n], last axis, standing for an integer
    SELECTED = "selected"  # the rows that a soft mask selects, standing for them as all rows and their probabilities


@dataclass(eq=False, slots=True)
class Soft:
    """The shadow of a hard tensor: what it is worth to the derivative. It is never changed.

    value: REAL, COUNT, SOFT_BOOL: shaped like the hard tensor; SOFT_INDEX: (..., [n]); SELECTED: all rows (n, ...).
    support: the numbers a SOFT_INDEX ranges over, broadcastable to (..., [n]); None stands for 0..n-1.
        Of SELECTED the probabilities (n).
    exact: every softened operation behind it is straight-through, so the hard value is the value.
    sites: the sites it comes from.
    distinct: no two integers along an axis are the same one, as in what argsort returns.
    """

    domain: Domain
    value: Tensor
    support: Tensor | None = None
    exact: bool = True
    sites: frozenset[int] = frozenset()
    distinct: bool = False
    mask: Tensor | None = None  # of SELECTED, what the original selects (n)


@dataclass(eq=False, slots=True)
class Known:
    """What is known of one tensor object: does it depend on a differentiable source, what shadows it.

    A real tensor has a discrete shadow while it goes on standing for integers or bools: cast to float, summed, rounded.
    Tensors of which the same is known share one of these, see `Facts`: it is never changed.
    """

    tainted: bool
    soft: Soft | None = None
    carries: frozenset[int] = frozenset()  # sites whose derivative reaches this real number
    whole: bool = False  # a tensor of whole numbers; integers and bools are
    hard: Any = None  # what a soft real tensor would be without softening: a tensor, or a Follow
    version: int = 0  # of the tensor, when `hard` was found
    fill: float | None = None  # the one number that a constant is filled with
    stops: frozenset[Any] = frozenset()  # the source.Location of each place that detached all that it depends on

    @property
    def plain(self) -> bool:
        """Whether it holds no tensors: what a call leaves of it can be looked up."""
        return self.soft is None and self.hard is None


_SOURCE, _CONSTANT, _INTEGERS = Known(True), Known(False), Known(False, whole=True)


def by_flag(tensor: Tensor) -> Known:
    """What is known of a tensor of which nothing is remembered."""
    if tensor.requires_grad:
        return _SOURCE
    return _CONSTANT if tensor.is_floating_point() or tensor.is_complex() else _INTEGERS


class Facts:
    """One `Known` for all tensors of which the same is known, so that what calls make of it can be looked up.

    Those that hold tensors (a shadow, a hard value) are nobody else's and not kept here.
    """

    _MOST = 4096  # a program that fills a tensor with another number at each step makes ever more of them

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Known] = {}
        self._begin()

    def __reduce__(self) -> tuple[type[Facts], tuple[()]]:
        return Facts, ()  # a copy finds its own

    def of(self, known: Known) -> Known:
        """The one that stands for all that are like `known`."""
        if not known.plain:
            return known
        if len(self._known) > self._MOST:
            self._begin()
        key = (known.tainted, known.whole, known.carries, known.fill, known.stops)
        return self._known.setdefault(key, known)

    def _begin(self) -> None:
        self._known.clear()
        for known in (_SOURCE, _CONSTANT, _INTEGERS):
            self.of(known)


class Beside(Generic[_T]):
    """Side table from tensor objects to something, by identity; an entry goes when its tensor goes."""

    def __init__(self) -> None:
        self.entries: dict[int, tuple[weakref.ref[Tensor], _T]] = {}

    def get(self, tensor: Tensor) -> _T | None:
        entry = self.entries.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def set(self, tensor: Tensor, value: _T) -> None:
        key = id(tensor)
        self.entries[key] = (weakref.ref(tensor, lambda dead: self._forget(key, dead)), value)

    def discard(self, tensor: Tensor) -> None:
        if self.entries:
            self.entries.pop(id(tensor), None)

    def _forget(self, key: int, dead: weakref.ref[Tensor]) -> None:
        entry = self.entries.get(key)
        if entry is not None and entry[0] is dead:
            del self.entries[key]


class Values(Beside[Known]):
    """What is known of tensors. Nothing is remembered of those of which their flag says all."""

    def __init__(self, facts: Facts | None = None) -> None:
        super().__init__()
        self.facts = Facts() if facts is None else facts

    def known(self, tensor: Tensor) -> Known:
        """What is known; where nothing is remembered (a parameter, constant, opaque output) what its flag says."""
        entry = self.entries.get(id(tensor))
        if entry is not None and entry[0]() is tensor:
            return entry[1]
        return by_flag(tensor)

    def set(self, tensor: Tensor, value: Known) -> None:
        if not value.plain:
            super().set(tensor, value)
            return
        if not value.whole and not (tensor.is_floating_point() or tensor.is_complex()):
            value = replace(value, whole=True)
        self.share(tensor, self.facts.of(value))

    def share(self, tensor: Tensor, value: Known) -> None:
        """The same of one of `Facts`, which holds no tensors: it may stay when its tensor has gone."""
        if value is by_flag(tensor):
            self.entries.pop(id(tensor), None)
        else:
            self.entries[id(tensor)] = (weakref.ref(tensor), value)


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists, dicts and slices, in order."""
    found: list[Tensor] = []
    _collect(tree, found)
    return found


def _collect(tree: Any, found: list[Tensor]) -> None:
    if isinstance(tree, Tensor):
        found.append(tree)
    elif isinstance(tree, _SEQUENCES):
        for item in tree:
            if type(item) not in ATOMS:
                _collect(item, found)
    elif isinstance(tree, dict):
        for item in tree.values():
            _collect(item, found)
    elif isinstance(tree, slice):
        _collect((tree.start, tree.stop, tree.step), found)


def rebuilt(like: Any, items: list[Any]) -> Any:
    """`items` in the sequence type of `like`: list, tuple, named tuple or torch's own (torch.return_types.topk)."""
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*items)
    return type(like)(items)


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """`tree` with `function` applied to each tensor; named tuples and dict types keep their kind."""
    if type(tree) in ATOMS:
        return tree
    if type(tree) is tuple:
        return tuple([item if type(item) in ATOMS else map_tensors(function, item) for item in tree])
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple | list):
        return rebuilt(tree, [map_tensors(function, item) for item in tree])
    if isinstance(tree, dict):
        return {key: map_tensors(function, item) for key, item in tree.items()}
    if isinstance(tree, slice):
        return slice(*(map_tensors(function, item) for item in (tree.start, tree.stop, tree.step)))
    return tree
