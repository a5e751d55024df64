"""Reductions of masks and counts: sum, mean, cumsum, prod. A sum of soft bools is a count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_real, counted, is_discrete
from softfx.values.domains import Soft

__all__ = ["RULES"]


def _reduce(exact: Callable[..., Any]) -> Callable[..., Any]:
    def carry(context: RuleContext, input: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        if not isinstance(input, Soft):
            raise Cut(f"{exact.__name__} over a soft axis")
        value: Any = context.call(exact, as_real(context, input), *args, **kwargs)
        return value if exact is torch.mean else counted(context, value, input)

    return carry


def _integral(context: RuleContext, input: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """Real numbers reduced in an integer type: each loses its fraction first."""
    if is_discrete(input):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")
    func = _EXACT[str(getattr(context.func, "__name__", ""))]
    return context.call(func, context.call(softtorch.trunc, input, **context.options), *args, **kwargs)


def _carry_integral(context: RuleContext, input: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """Numbers that stand for integers have no fraction to lose."""
    func = _EXACT[str(getattr(context.func, "__name__", ""))]
    return context.soft(context.call(func, as_real(context, input), *args, **kwargs), "count")


def _is_integral(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    dtype, input = kwargs.get("dtype"), args[0] if args else kwargs.get("input")
    whole = isinstance(dtype, torch.dtype) and not (dtype.is_floating_point or dtype.is_complex)
    return "reduce_as_integers" if whole and isinstance(input, Tensor) and not is_discrete(input) else None


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


_EXACT: dict[str, Callable[..., Any]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "cumsum": torch.cumsum,
    "prod": torch.prod,
    "cumprod": torch.cumprod,
}

RULES = (
    *(
        replace(_rule(f"SX{code}", op, _reduce(exact)), becomes=_is_integral)
        for code, (op, exact) in zip((621, 622, 623, 624, 626), _EXACT.items(), strict=True)
    ),
    Rule(
        "SX602",
        "reduce_as_integers",
        "discrete",
        "A sum taken in an integer type drops the fractions: no gradient passes.",
        "Keep it where the numbers summed are whole.",
        "",
        soft="softtorch.trunc",
        relax=_integral,
        carry=_carry_integral,
    ),
    _rule("SX625", "count_nonzero", _count_nonzero),
)
