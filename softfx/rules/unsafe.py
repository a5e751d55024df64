"""Operations whose gradient is infinite or NaN somewhere: guarded, which never changes a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import is_discrete, through_real

__all__ = ["RULES"]


def _guard(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any) -> Any:
        if is_discrete(input):
            raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")
        return context.call(function, input)

    return relax


def _rule(code: str, op: str, function: Callable[..., Tensor], edge: str, *aliases: str) -> Rule:
    relax = _guard(function)
    return Rule(
        code,
        op,
        "unsafe",
        f"Its derivative is infinite at {edge}: one such element turns a whole gradient into NaN.",
        "Keep it where the operand is bounded away from there.",
        "",
        soft=f"softtorch.{function.__name__}",
        relax=relax,
        carry=through_real(relax),
        aliases=aliases,
        options=(),
        drop_in=True,
    )


RULES = (
    _rule("SX901", "sqrt", softtorch.sqrt, "0"),
    _rule("SX902", "log", softtorch.log, "0"),
    _rule("SX903", "asin", softtorch.arcsin, "-1 and 1", "arcsin"),
    _rule("SX904", "acos", softtorch.arccos, "-1 and 1", "arccos"),
)
