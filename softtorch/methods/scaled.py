"""Keys in units of the softness, for methods that work there; nothing here knows what they do with it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from softtorch.kernels.laplace_pairs import is_small
from softtorch.kernels.numeric.constants import listed
from softtorch.kernels.sorted_line.scan import accumulated
from softtorch.methods.keys import Keys

# Infinite entries are put this many softnesses beyond the finite ones: e^-1000, halfway, is 0 in float64.
BEYOND = 2000.0


def wide_softness(keys: Keys) -> Tensor | float:
    """The softness in the dtype of long sums, broadcastable to (..., 1)."""
    return accumulated(keys.softness) if isinstance(keys.softness, Tensor) else keys.softness


def scaled(keys: Keys) -> Tensor:
    """compared / softness, (..., [n]), infinite entries far out on their side; in the dtype of long sums."""
    y = accumulated(keys.compared) / wide_softness(keys)
    if keys.moderate:
        return y
    fixed, within = y.detach(), keys.level == 0
    # Twice as far out and BEYOND that: beside 1e20 it alone would be rounded away.
    low = 2.0 * torch.where(within, fixed, torch.inf).amin(dim=-1, keepdim=True).clamp(max=0.0) - BEYOND
    high = 2.0 * torch.where(within, fixed, -torch.inf).amax(dim=-1, keepdim=True).clamp(min=0.0) + BEYOND
    return torch.where(within, y, torch.where(keys.level > 0, high, low))


def count_like(k: Tensor | float, y: Tensor) -> Tensor:
    """A count, a number or (..., 1), as a tensor like y, (..., [n]), without its last axis: (..., 1)."""
    return k.to(y.dtype) if isinstance(k, Tensor) else torch.full_like(y[..., :1], k)


def mixed(keys: Keys, of: Callable[[Keys], Tensor]) -> Tensor:
    """The mean of `of` over the widths of the keys' mode, an axis of their own in front where there are few entries."""
    widths = keys.mode.widths
    if len(widths) == 1:
        return of(keys)
    if is_small(keys.raw):
        factors = listed(widths, accumulated(keys.raw[:0]).dtype, keys.raw.device)
        factors = factors.reshape(-1, *[1] * keys.raw.ndim)
        return of(replace(keys, softness=wide_softness(keys) * factors)).mean(dim=0)
    first, *rest = (of(replace(keys, softness=keys.softness * factor)) for factor in widths)
    return sum(rest, start=first) / len(widths)
