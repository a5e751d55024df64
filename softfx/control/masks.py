"""Calls whose result has as many rows as a mask has elements that hold."""

from __future__ import annotations

import torch
from torch import Tensor

from softfx import ops
from softfx.ops.calls import Args, Function
from softfx.ops.operation import Operation
from softfx.ops.spelling import INDEX

__all__ = ["MASKED", "MOST_MEMBERS", "mask_place"]

MOST_MEMBERS = 4096  # of a mask whose elements are decisions: each is a choice in Python, some 10 microseconds
# Where each of them has its mask.
MASKED: dict[Operation, int] = {ops.getitem: 1, ops.masked_select: 1, ops.nonzero: 0, ops.argwhere: 0}


def mask_place(func: Function, args: Args) -> int | None:
    """The number of the argument that is a mask; None where no mask gives the result its shape.

    >>> x = torch.ones(2)
    >>> mask_place(torch.Tensor.__getitem__, (x, x > 0)), mask_place(torch.Tensor.__getitem__, (x, 0))
    (1, None)
    """
    place = MASKED[INDEX.of(func).operation]
    if len(args) <= place or not isinstance(args[place], Tensor) or args[place].dtype is not torch.bool:
        return None
    return place
