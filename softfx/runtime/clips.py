"""Comparisons of clipped numbers with the number at which they were clipped: relu(x) > 0 asks whether x is above 0.

A relu has no derivative where it is clipped, so that of the comparison would end there; that of x goes on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import softtorch
from softfx.runtime.mirrored import mirrored

__all__ = ["beside_corner"]


def beside_corner(
    compare: Callable[..., Tensor],
    x: Tensor,
    corner: float,
    is_lowest: bool,
    softness: Tensor | float = 0.1,
    mode: str = "smooth",
    epsilon: float = 0.0,
) -> Tensor:
    """The soft form of `compare(x.clamp(min=corner), corner)`; of `x.clamp(max=corner)` where not `is_lowest`.

    # (...) -> (...)

    >>> beside_corner(torch.ne, torch.tensor([-1.0, 0.0, 1.0]), 0.0, True, softness=0.5)
    tensor([0.1192, 0.5000, 0.8808])
    """
    asked = compare if is_lowest else mirrored(compare)
    if asked in (torch.ge, torch.lt):  # always, and never
        return torch.full_like(x, float(asked is torch.ge), requires_grad=False)
    level = x.new_full((), corner)
    beyond = softtorch.greater if is_lowest else softtorch.less
    clipped = softtorch.less_equal if is_lowest else softtorch.greater_equal
    return (beyond if asked in (torch.gt, torch.ne) else clipped)(x, level, softness, mode, epsilon)
