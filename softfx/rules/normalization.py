"""Softmax, as something a policy may replace: by softpick, which lets a row choose nothing.

Softmax is smooth and no site of its own accord: only a policy that names these operations, or their family, finds them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softfx.rules.rule import Rule, RuleContext
from softfx.rules.values import through_real
from softfx.runtime import normalized

__all__ = ["RULES"]

_WHY = "Softmax has to give its weight to something: where nothing fits, to the first token, the attention sink."
_KEEP = "Keep it in a model that was trained with it, unless it is trained on: softpick gives other values."


def _softmax(context: RuleContext, input: Any, dim: int | None = None, dtype: Any = None, _stacklevel: int = 3) -> Any:
    return context.call(normalized.softpick, input, dim, dtype, **context.options)


def _attention(
    context: RuleContext, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    call = normalized.softpick_attention
    return context.call(call, query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, **context.options)


def _normalization(code: str, op: str, relax: Callable[..., Any], soft: str) -> Rule:
    return Rule(
        code,
        op,
        "normalization",
        _WHY,
        _KEEP,
        "arXiv 2504.20966",
        soft=soft,
        relax=relax,
        carry=through_real(relax),
        options=("variant",),
        drop_in=True,
    )


RULES = (
    _normalization("SX141", "softmax", _softmax, "softtorch.softpick"),
    _normalization("SX142", "scaled_dot_product_attention", _attention, "softtorch.softpick_attention"),
)
