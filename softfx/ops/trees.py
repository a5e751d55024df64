"""The tensors inside a call's arguments and results: found, and replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softfx.ops.calls import Args, Kwargs

__all__ = ["ATOMS", "BARE", "in_own_containers", "is_flat", "map_tensors", "rebuilt", "tensors_in"]

_SEQUENCES = (tuple, list)
# Tensors that are no more than their elements: a subclass may be.
BARE = frozenset({Tensor, torch.nn.Parameter})
# Types that hold no tensors.
ATOMS = frozenset(
    {int, float, complex, bool, str, type(None), type(...), torch.Size, torch.dtype, torch.device, torch.layout}
)


# Arguments of these types are their own leaves.
_LEAVES = frozenset({*BARE, int, float, bool, str})


def is_flat(args: Args, kwargs: Kwargs) -> bool:
    """Return True if the arguments of a call are tensors and numbers, as they mostly are, in no containers."""
    return _LEAVES.issuperset(map(type, args)) and _LEAVES.issuperset(map(type, kwargs.values()))


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


def in_own_containers(tree: Any) -> Any:
    """The same values in lists and dicts of their own: a program may write its own ones once a call is made.

    >>> shape = [2, 3]
    >>> kept = in_own_containers((shape,))
    >>> shape[0] = 1
    >>> kept
    ([2, 3],)
    """
    return map_tensors(lambda tensor: tensor, tree)
