"""Attention whose weights are softpick's: under the arguments of torch's scaled_dot_product_attention, and as a layer.

The weights themselves are in normalize.py.
"""

import math

import torch
from torch import Tensor, nn

from softtorch.errors import OptionError, ShapeError, message
from softtorch.operators.normalize import softpick

__all__ = ["SoftpickAttention", "softpick_attention"]


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
    """Scaled dot-product attention with softpick in place of softmax.

    Nothing is relaxed. A query that nothing answers to gets zeros, where softmax would spread its weight.

    Args:
        query: shape (..., heads, l, d).
        key: shape (..., heads, s, d).
        value: shape (..., heads, s, e).
        attn_mask: bool, true for what takes part, or added to the scores. Broadcastable to (..., l, s).
        dropout_p: of the weights.
        is_causal: a query sees the keys up to its own place.
        scale: of the scores, 1 / sqrt(d) by default.
        enable_gqa: repeat the heads of key and value to those of query.
        variant: of `softpick`.

    Returns:
        Shape (..., heads, l, e).

    Raises:
        OptionError: unknown variant, or both a mask and is_causal.
        ShapeError: a shape is not of this form.

    Source: Zuhri et al. 2025, arXiv 2504.20966.

    Example:
        >>> import torch, softtorch
        >>> softtorch.softpick_attention(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4, 5)).shape
        torch.Size([2, 5])
    """
    if attn_mask is not None and is_causal:
        wrong = "attn_mask and is_causal=True are both given"
        raise OptionError(message("softpick_attention", wrong, "Give one of them"))
    if min(query.dim(), key.dim(), value.dim()) < 2 or not query.shape[-1]:
        shapes = ", ".join(str(tuple(part.shape)) for part in (query, key, value))
        legal = "Use (..., l, d), (..., s, d) and (..., s, e) with d >= 1"
        raise ShapeError(message("softpick_attention", f"query, key and value have shapes {shapes}", legal))
    if enable_gqa:
        key, value = (v.repeat_interleave(query.shape[-3] // v.shape[-3], -3) for v in (key, value))
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.mT  # (..., l, s)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if masked else scores + attn_mask
    weights = softpick(scores, -1, variant)
    if dropout_p > 0.0:  # torch takes no comparison of a symbolic number for its flag
        weights = torch.dropout(weights, dropout_p, True)
    return weights @ value


class SoftpickAttention(nn.Module):
    """Multi-head self-attention with softpick weights.

    Args:
        embed_dim: of input and output, divisible by num_heads.
        num_heads: number of heads.
        bias: whether the projections have biases.
        dropout: of the weights, in training.
        variant: of `softpick`.

    Shape:
        (..., l, embed_dim) -> (..., l, embed_dim).

    Raises:
        OptionError: embed_dim is not divisible by num_heads.

    Source: Zuhri et al. 2025, arXiv 2504.20966.

    Example:
        >>> import torch, softtorch
        >>> softtorch.SoftpickAttention(8, 2)(torch.randn(3, 5, 8), is_causal=True).shape
        torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        bias: bool = True,
        dropout: float = 0.0,
        variant: str = "abs",
    ) -> None:
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            wrong = f"embed_dim={embed_dim} is not divisible by num_heads={num_heads}"
            raise OptionError(message("SoftpickAttention", wrong, "Each head takes an equal part"))
        self.num_heads, self.dropout, self.variant = num_heads, dropout, variant
        self.in_proj = nn.Linear(embed_dim, 3 * embed_dim, bias=bias)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Attend among x, (..., l, embed_dim), under a mask broadcastable to (..., heads, l, l)."""
        parts = self.in_proj(x).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(-2, -3) for part in parts)
        dropout = self.dropout if self.training else 0.0
        mixed = softpick_attention(query, key, value, attn_mask, dropout, is_causal, variant=self.variant)
        result: Tensor = self.out_proj(mixed.transpose(-2, -3).flatten(-2))
        return result
