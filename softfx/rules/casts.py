"""Casts between dtypes: from floats to integers or bools (a site), and of anything soft (its meaning stays)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import is_discrete, points, truth
from softfx.values.domains import Domain, Soft

__all__ = ["RULES"]

_NAMED = ("float", "double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool")


def _discretizes(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the call turns floats into integers or bools."""
    input = args[0] if args else kwargs.get("input", kwargs.get("self"))
    if not isinstance(input, Tensor) or is_discrete(input):
        return False
    if getattr(func, "__name__", "") in ("long", "int", "short", "char", "byte", "bool"):
        return True
    for argument in (*args[1:], *kwargs.values()):
        if isinstance(argument, str) and argument.startswith("torch."):  # x.type("torch.LongTensor")
            return "Float" not in argument and "Double" not in argument and "Half" not in argument
        dtype = argument if isinstance(argument, torch.dtype) else getattr(argument, "dtype", None)
        if isinstance(dtype, torch.dtype):  # of a tensor, or of a type: x.type(torch.LongTensor)
            return not (dtype.is_floating_point or dtype.is_complex)
    return False


def _relax(context: RuleContext, input: Any, *args: Any, **kwargs: Any) -> Any:
    options = {key: value for key, value in context.options.items() if key in ("softness", "mode")}
    if context.hard.dtype is torch.bool:
        zero = context.call(torch.zeros, (), dtype=input.dtype, device=input.device)
        return context.soft(context.call(softtorch.not_equal, input, zero, **options), "soft_bool")
    if is_discrete(input):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")
    return context.soft(context.call(softtorch.trunc, input, **options), "count")


def _carry(context: RuleContext, input: Any, *args: Any, **kwargs: Any) -> Any:
    """What it stands for stays: floats of a mask are a mask (the product of two has one derivative, test_contracts).

    A mask cast to integers is an index over 0 and 1, an index cast to bools whether it is 0.
    """
    if not isinstance(input, Soft):
        raise Cut("a cast to the type of a soft value")
    dtype = context.hard.dtype
    if input.domain is Domain.REAL:
        raise Cut("a cast of a real shadow")
    if dtype is torch.bool:
        return context.soft(truth(context, input), "soft_bool")
    if input.domain is Domain.SOFT_BOOL and not dtype.is_floating_point and dtype is not torch.uint8:  # a mask to torch
        weights, _ = points(context, input)
        return context.soft(weights, "soft_index")
    return context.soft(input.value, input.domain.value, input.support)


RULES = (
    Rule(
        "SX601",
        "cast",
        "discrete",
        "Integers and bools carry no gradient: a cast from floats ends it.",
        "Keep it where the integer is only a size, a label or a hash.",
        "",
        soft="softtorch.trunc",
        relax=_relax,
        carry=_carry,
        aliases=("to", "type", "type_as", "as_tensor", *_NAMED),
        site=_discretizes,
    ),
)
