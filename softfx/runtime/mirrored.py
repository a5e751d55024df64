"""Comparisons with their operands exchanged: y > x is x < y."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["mirrored"]

_MIRRORED: dict[Callable[..., Tensor], Callable[..., Tensor]] = {
    torch.gt: torch.lt,
    torch.lt: torch.gt,
    torch.ge: torch.le,
    torch.le: torch.ge,
}


def mirrored(compare: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The comparison that holds of (y, x) where `compare` holds of (x, y).

    >>> mirrored(torch.gt) is torch.lt, mirrored(torch.eq) is torch.eq
    (True, True)
    """
    return _MIRRORED.get(compare, compare)
