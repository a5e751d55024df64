"""Calls whose result has the shape that the elements of a mask give it, or how many whole numbers are different."""

from __future__ import annotations

import torch

from softfx import ops
from softfx.ops.calls import Args, Function
from softfx.ops.operation import Operation
from softfx.ops.spelling import INDEX
from softfx.rules.refusals import is_discrete

__all__ = ["MASKED", "MOST_MEMBERS", "mask_place"]

MOST_MEMBERS = 4096  # of a mask whose elements are decisions: each is a choice in Python, some 10 microseconds
_DIFFERENT = frozenset({ops.unique, ops.unique_consecutive})
# Where each of them has its mask, or its whole numbers.
MASKED: dict[Operation, int] = {
    ops.getitem: 1, ops.masked_select: 1, ops.nonzero: 0, ops.argwhere: 0, ops.where: 0, **dict.fromkeys(_DIFFERENT, 0),
}  # fmt: skip


def mask_place(func: Function, args: Args) -> int | None:
    """The number of the argument whose elements give the result its shape; None where none do.

    Real numbers that are whole ones may have been made so; by values alone, so that it is alike in every run.

    >>> x = torch.ones(2)
    >>> mask_place(torch.Tensor.__getitem__, (x, x > 0)), mask_place(torch.Tensor.__getitem__, (x, 0))
    (1, None)
    >>> mask_place(torch.unique, (x / 2,)), mask_place(torch.unique, (x.long(),))
    (None, 0)
    """
    operation = INDEX.of(func).operation
    place = MASKED[operation]
    if len(args) <= place or (operation is ops.where and len(args) > 1) or not isinstance(args[place], torch.Tensor):
        return None
    decides = args[place].dtype is torch.bool or (operation in _DIFFERENT and _is_whole(args[place]))
    return place if decides else None


def _is_whole(tensor: torch.Tensor) -> bool:
    return is_discrete(tensor) or bool((tensor == tensor.detach().round()).all())
