"""Writes at hard keys, made on a copy: what `base[key] = value` makes of a shadow.

All functions take and return tensors, on any device, differentiable. Writes at soft places are in `distributions`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["write"]


def write(base: Tensor, key: Any, value: Any, accumulate: bool = False) -> Tensor:
    """A copy of `base` with base[key] = value, or += value.  # (...) -> (...)

    A mask of no axes among the key writes all or nothing. Torch reads such a mask, which has no value while shapes
    alone are worked out; here it decides by `where`.

    >>> write(torch.zeros(2), (torch.tensor(True), 1), 3.0)
    tensor([0., 3.])
    """
    parts = key if isinstance(key, tuple) else (key,)
    masks = [part for part in parts if isinstance(part, Tensor) and part.dtype is torch.bool and not part.dim()]
    if masks:
        rest = tuple(part for part in parts if not any(part is mask for mask in masks))
        written = write(base, rest or (...,), value, accumulate)
        return torch.where(torch.stack(masks).all(), written, base)
    result = base.clone()
    if accumulate:
        return torch.index_put(result, key, value, accumulate=True)
    result[key] = value
    return result
