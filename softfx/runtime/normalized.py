"""Softpick in place of softmax, with the arguments of torch and with masks as models write them.

The functions appear by name in rewritten code, as those of `distributions` do; the mathematics is softtorch's.
"""

from __future__ import annotations

import torch
from torch import Tensor

import softtorch

__all__ = ["softpick", "softpick_attention"]

# Models mask scores with -inf, with the lowest number of a type, or with -10000. Softmax gives all of these weight 0
# and softpick must do so too, or it would divide by them. No real score is as low.
MASKED = -1000.0


def softpick(x: Tensor, dim: int | None = None, dtype: torch.dtype | None = None, variant: str = "abs") -> Tensor:
    """Softpick with the arguments of torch.softmax; scores of -1000 or less are masked.  # (..., n, ...) -> same

    >>> softpick(torch.tensor([1.0, 0.0, -10000.0]), -1).count_nonzero()
    tensor(1)
    """
    x = x if dtype is None else x.to(dtype)
    axis = (0 if x.dim() in (0, 1, 3) else 1) if dim is None else dim  # as torch chooses where none is given
    return softtorch.softpick(x.masked_fill(x <= MASKED, -torch.inf), axis, variant)


def softpick_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    variant: str = "abs",
) -> Tensor:
    """scaled_dot_product_attention with softpick.  # (..., l, d), (..., s, d), (..., s, e) -> (..., l, e)"""
    if attn_mask is not None and attn_mask.is_floating_point():
        attn_mask = attn_mask.masked_fill(attn_mask <= MASKED, -torch.inf)
    return softtorch.softpick_attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, variant)
