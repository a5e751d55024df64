"""What a tensor of the program stands for once something upstream has been softened.

The program keeps seeing its own hard tensors; beside a tensor that is discrete (or was a moment ago) lives a
`Soft`, its shadow. `Values` is the side table that ties the two together, by identity and without keeping
tensors alive. How shadows flow through operations is the rules' business (softfx.rules), not this file's.
"""

from __future__ import annotations

import enum
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

__all__ = ["Domain", "Known", "Soft", "Values", "map_tensors", "rebuilt", "tensors_in"]


class Domain(enum.Enum):
    """The meaning of a shadow."""

    REAL = "real"  # a real number running beside its hard value (scope = "model")
    COUNT = "count"  # a real number standing for an integer
    SOFT_BOOL = "soft_bool"  # a probability standing for a bool
    SOFT_INDEX = "soft_index"  # a distribution over [n], last axis, standing for an integer
    SELECTED = "selected"  # the rows that a soft mask selects, standing for them as all rows and their probabilities


@dataclass(frozen=True, eq=False)
class Soft:
    """The shadow of a hard tensor: what it is worth to the derivative.

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


@dataclass(eq=False)
class Known:
    """What is known of one tensor object: does it depend on a differentiable source, what shadows it.

    A real tensor has a discrete shadow while it goes on standing for integers or bools: cast to float, summed, rounded.
    """

    tainted: bool
    soft: Soft | None = None
    carries: frozenset[int] = frozenset()  # sites whose derivative reaches this real number
    whole: bool = False  # a real tensor of whole numbers
    hard: Any = None  # what a soft real tensor would be without softening: a tensor, or a softfx.engine.behind.Follow
    version: int = 0  # of the tensor, when `hard` was found
    fill: float | None = None  # the one number that a constant is filled with
    stops: frozenset[Any] = frozenset()  # the source.Location of each place that detached all that it depends on
    terms: Any = None  # the few tensors it is the sum of, see softfx.engine.existing
    read: Any = None  # where it was looked up by a soft index, see softfx.engine.updates


@dataclass(eq=False)
class Values:
    """Side table from tensor objects to `Known`, by identity; an entry goes when its tensor goes."""

    _known: dict[int, tuple[weakref.ref[Tensor], Known]] = field(default_factory=dict)

    def get(self, tensor: Tensor) -> Known | None:
        entry = self._known.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def known(self, tensor: Tensor) -> Known:
        """What is known; of one met for the first time (a parameter, constant, opaque output) what its flag says."""
        known = self.get(tensor)
        if known is None:
            known = Known(tainted=tensor.requires_grad)
            self.set(tensor, known)
        return known

    def set(self, tensor: Tensor, known: Known) -> None:
        key = id(tensor)
        entry = self._known.get(key)
        if entry is not None and entry[0]() is tensor:
            self._known[key] = (entry[0], known)
            return
        self._known[key] = (weakref.ref(tensor, lambda dead: self._forget(key, dead)), known)

    def _forget(self, key: int, dead: weakref.ref[Tensor]) -> None:
        entry = self._known.get(key)
        if entry is not None and entry[0] is dead:
            del self._known[key]


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists, dicts and slices, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for item in tree:
            yield from tensors_in(item)
    elif isinstance(tree, dict):
        for item in tree.values():
            yield from tensors_in(item)
    elif isinstance(tree, slice):
        yield from tensors_in((tree.start, tree.stop, tree.step))


def rebuilt(like: Any, items: list[Any]) -> Any:
    """`items` in the sequence type of `like`: list, tuple, named tuple or torch's own (torch.return_types.topk)."""
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*items)
    return type(like)(items)


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """`tree` with `function` applied to each tensor; named tuples and dict types keep their kind."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, torch.Size):
        return tree
    if isinstance(tree, tuple | list):
        return rebuilt(tree, [map_tensors(function, item) for item in tree])
    if isinstance(tree, dict):
        return {key: map_tensors(function, item) for key, item in tree.items()}
    if isinstance(tree, slice):
        return slice(*(map_tensors(function, item) for item in (tree.start, tree.stop, tree.step)))
    return tree
