"""The leaves of a run's result. Most calls return one tensor, which is its own leaf and is not looked through."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from softfx import torch_private as private
from softfx.ops.calls import Result

__all__ = ["flatten", "leaves_of", "unflatten"]

_LEAF = private.flatten(0)[1]


def flatten(result: Result) -> tuple[list[Any], Any]:
    """The leaves of a result, and its structure.

    >>> flatten(3.0)[1] == _LEAF
    True
    """
    return ([result], _LEAF) if type(result) is Tensor else private.flatten(result)


def leaves_of(result: Result) -> list[Any]:
    """The leaves of a result."""
    return flatten(result)[0]


def unflatten(leaves: list[Any], structure: Any) -> Result:
    """The result of which `flatten` gave the leaves and the structure."""
    return leaves[0] if structure is _LEAF else private.unflatten(leaves, structure)
