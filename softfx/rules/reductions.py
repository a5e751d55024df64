"""Reductions of masks and counts: sum, mean, cumsum, prod. A sum of soft bools is a count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from softfx.domains import Soft
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_real

__all__ = ["RULES"]


def _reduce(exact: Callable[..., Any]) -> Callable[..., Any]:
    def carry(context: RuleContext, input: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        if not isinstance(input, Soft):
            raise Cut(f"{exact.__name__} over a soft axis")
        return context.call(exact, as_real(context, input), *args, **kwargs)

    return carry


def _count_nonzero(context: RuleContext, input: Soft, dim: Any = None) -> Any:
    value = as_real(context, input)
    return context.call(torch.sum, value) if dim is None else context.call(torch.sum, value, dim)


def _rule(code: str, op: str, carry: Callable[..., Any], *aliases: str) -> Rule:
    return Rule(
        code,
        op,
        "selection",
        "A sum of soft bools is a count: a real number standing for an integer.",
        "It follows what reaches it.",
        "",
        soft=f"torch.{op}",
        carry=carry,
        aliases=aliases,
        options=(),
    )


RULES = (
    _rule("SX621", "sum", _reduce(torch.sum)),
    _rule("SX622", "mean", _reduce(torch.mean)),
    _rule("SX623", "cumsum", _reduce(torch.cumsum)),
    _rule("SX624", "prod", _reduce(torch.prod)),
    _rule("SX625", "count_nonzero", _count_nonzero),
)
