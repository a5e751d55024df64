"""Hard keys of shadows: `base[key]`, and `base[key] = value` made on a copy.

Torch reads a number or a bool of no axes among the key. Where shapes alone are worked out it has no value, so that here
elements are selected, and written, without reading it. All functions take and return tensors, on any device,
differentiable. Writes at soft places are in `distributions`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["has_numbers", "read", "write"]


def has_numbers(key: Any) -> bool:
    """Return True if a number that is a tensor is among a key.

    >>> has_numbers((torch.tensor(1), slice(2))), has_numbers(torch.tensor([1])), has_numbers(torch.tensor(True))
    (True, False, False)
    """
    return any(map(_is_number, key if isinstance(key, tuple) else (key,)))


def read(base: Tensor, key: Any) -> Tensor:
    """base[key].  # (...) -> (...)

    >>> read(torch.tensor([[1, 2], [3, 4]]), (..., torch.tensor(-1)))
    tensor([2, 4])
    """
    parts = key if isinstance(key, tuple) else (key,)
    at = next((i for i in reversed(range(len(parts))) if _is_number(parts[i])), None)
    if at is None:
        return base[key]
    rest = (*parts[:at], *parts[at + 1 :])
    from_end = any(part is Ellipsis for part in parts[:at])
    axis = base.dim() - _consumed(parts[at:]) if from_end else _consumed(parts[:at])
    place = (parts[at] % base.shape[axis]).to(torch.int64).reshape(1)
    return read(base.index_select(axis, place).squeeze(axis), rest or (...,))


def write(base: Tensor, key: Any, value: Any, accumulate: bool = False) -> Tensor:
    """A copy of `base` with base[key] = value, or += value.  # (...) -> (...)

    >>> write(torch.zeros(2), (torch.tensor(True), torch.tensor(1)), 3.0)
    tensor([0., 3.])
    """
    parts = key if isinstance(key, tuple) else (key,)
    masks = [part for part in parts if isinstance(part, Tensor) and part.dtype is torch.bool and not part.dim()]
    if masks and isinstance(value, Tensor) and not value.numel():  # what a mask that is False selects
        return base.clone()
    if masks:
        rest = tuple(part for part in parts if not any(part is mask for mask in masks))
        written = write(base, rest or (...,), value, accumulate)
        return torch.where(torch.stack(masks).all(), written, base)
    if has_numbers(key):
        places = read(torch.arange(base.numel(), device=base.device).reshape(base.shape), key)
        flat = torch.as_tensor(value, dtype=base.dtype, device=base.device)
        while flat.dim() > places.dim() and flat.shape[0] == 1:  # as in an assignment
            flat = flat.squeeze(0)
        flat = flat.expand(places.shape).flatten()
        return base.flatten().index_put((places.flatten(),), flat, accumulate).reshape(base.shape)
    result = base.clone()
    if isinstance(value, Tensor):  # shadows keep their type where the program casts
        dtype = torch.promote_types(result.dtype, value.dtype)
        result, value = result.to(dtype), value.to(dtype)
    if accumulate:
        return torch.index_put(result, key, value, accumulate=True)
    result[key] = value
    return result


def _is_number(part: object) -> bool:
    return isinstance(part, Tensor) and not part.dim() and part.dtype not in (torch.bool, torch.uint8)


def _consumed(parts: tuple[Any, ...]) -> int:
    """How many axes parts of a key take up."""
    masks = sum(part.dim() for part in parts if isinstance(part, Tensor) and part.dtype is torch.bool)
    others = (part for part in parts if not (isinstance(part, Tensor) and part.dtype is torch.bool))
    return masks + sum(part is not None and part is not Ellipsis and not isinstance(part, bool) for part in others)
