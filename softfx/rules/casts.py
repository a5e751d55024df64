"""Casts between dtypes: from floats to integers or bools (a site), and of anything soft (its meaning stays).

All spellings are one operation, ops.cast. A method whose name is a dtype of integers belongs in _TO_DISCRETE, too.
"""

from __future__ import annotations

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Function, Kwargs
from softfx.rules.context import RuleContext, Shadow, TensorOrSoft
from softfx.rules.refusals import CannotSoften, is_discrete, refuse_discrete
from softfx.rules.rule import Rule
from softfx.rules.units import CAST
from softfx.runtime import ties
from softfx.values import Soft, SoftBool, SoftReal

__all__ = ["RULES"]

_TO_DISCRETE = (Tensor.long, Tensor.int, Tensor.short, Tensor.char, Tensor.byte, Tensor.bool)
_FLOATING = ("Float", "Double", "Half")  # as the name of a tensor type spells them: torch.FloatTensor


def _discretizes(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True if a call turns floats into integers or bools."""
    input = args[0] if args else kwargs.get("input", kwargs.get("self"))
    if not isinstance(input, Tensor) or is_discrete(input):
        return False
    if func in _TO_DISCRETE:
        return True
    for argument in (*args[1:], *kwargs.values()):
        if isinstance(argument, str) and argument.startswith("torch."):  # x.type("torch.LongTensor")
            return not any(name in argument for name in _FLOATING)
        dtype = argument if isinstance(argument, torch.dtype) else getattr(argument, "dtype", None)
        if isinstance(dtype, torch.dtype):  # of a tensor, or of a type: x.type(torch.LongTensor)
            return not (dtype.is_floating_point or dtype.is_complex)
    return False


def _relax(context: RuleContext, input: Tensor, *args: object, **kwargs: object) -> Soft:
    """The number without its fraction; the probability that it is not 0 in a cast to bool."""
    options = {key: value for key, value in context.options.items() if key in ("softness", "mode")}
    if context.hard.dtype is torch.bool:
        zero = context.call(torch.zeros, (), dtype=input.dtype, device=input.device)
        return context.soft_bool(context.call(softtorch.not_equal, input, zero, **options))
    refuse_discrete(input)
    return context.soft_count(context.call(softtorch.trunc, input, **options))


def _ties(input: Tensor, *args: object, **kwargs: object) -> Tensor:
    """Where a cast to integers jumps.  # (...) -> (...)"""
    return ties.whole(input)


def _propagate(context: RuleContext, input: TensorOrSoft, *args: object, **kwargs: object) -> Shadow:
    """The same kind of shadow: floats of a mask are a mask (the product of two has one derivative, test_contracts).

    A mask cast to integers is an index over 0 and 1, an index cast to bools the probability that it is not 0.
    """
    if not isinstance(input, Soft):
        raise CannotSoften("a cast to the type of a soft value")
    dtype = context.hard.dtype
    if isinstance(input, SoftReal):
        raise CannotSoften("a cast of a real shadow")
    if dtype is torch.bool:
        return context.soft_bool(input.truth(context.call))
    if isinstance(input, SoftBool) and is_discrete(context.hard) and dtype is not torch.uint8:  # a mask to torch
        weights, _ = input.finite(context.call)
        return context.soft_index(weights)
    return context.like(input, input.tensor)


RULES = (
    Rule(
        "SX601",
        ops.cast,
        "discrete",
        "Integers and bools carry no gradient: a cast from floats ends it.",
        "Keep it where the integer is only a size, a label or a hash.",
        "",
        formula="to integers: trunc(x), trunc soft; to bools: ne(x, 0), ne soft",
        soft="softtorch.trunc",
        relax=_relax,
        propagate=_propagate,
        moves=True,
        is_site=_discretizes,
        unit=CAST,
        ties=_ties,
    ),
)
