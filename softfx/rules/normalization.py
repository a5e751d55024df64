"""Softmax, as something a policy may replace: by softpick, which lets a row choose nothing.

Softmax is smooth and no site of its own accord: only a policy that names these operations, or their family, finds them.
To add one, append a record to RULES.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softfx import ops
from softfx.ops.operation import Operation
from softfx.rules.context import RuleContext, RuleFunction
from softfx.rules.readings import through_real
from softfx.rules.rule import Rule
from softfx.runtime import normalized

__all__ = ["RULES"]

_WHY = "Softmax has to give its weight to something: where nothing fits, to the first token, the attention sink."
_KEEP = "Keep it in a model that was trained with it, unless it is trained on: softpick gives other values."


def _softmax(
    context: RuleContext, input: Tensor, dim: int | None = None, dtype: torch.dtype | None = None, _stacklevel: int = 3
) -> Tensor:
    return context.call(normalized.softpick, input, dim, dtype, **context.options)


def _attention(
    context: RuleContext, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    call = normalized.softpick_attention
    return context.call(call, query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, **context.options)


def _normalization(code: str, operation: Operation, relax: RuleFunction, soft: str, formula: str) -> Rule:
    return Rule(
        code,
        operation,
        "normalization",
        _WHY,
        _KEEP,
        "arXiv 2504.20966",
        formula=formula,
        soft=soft,
        relax=relax,
        propagate=through_real(relax),
        options=("variant",),
        drop_in=True,
    )


RULES = (
    _normalization(
        "SX141",
        ops.softmax,
        _softmax,
        "softtorch.softpick",
        "softpick, scores of -1000 or less masked: x_i / (1 + sum_j |x_j|); variant = 'rectified': "
        "max(e^x_i - 1, 0) / (1e-6 + sum_j |e^x_j - 1|)",
    ),
    _normalization(
        "SX142",
        ops.scaled_dot_product_attention,
        _attention,
        "softtorch.softpick_attention",
        "softpick(Q K^T / sqrt(d) + mask) V",
    ),
)
