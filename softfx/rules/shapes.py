"""Operations that only move data: on a shadow they do the same, slice by slice of a distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_indices, as_number, as_probability, counted, integer_domain, moved, points
from softfx.runtime import distributions
from softfx.values.domains import Domain, Soft

__all__ = ["RULES"]


def _like(context: RuleContext, input: Any, other: Any) -> Any:
    """x.view_as(y): of y only the shape is wanted."""
    if not isinstance(input, Soft):
        return None
    expands = getattr(context.func, "__name__", "") == "expand_as"
    return moved(context, torch.Tensor.expand if expands else torch.reshape, input, tuple(context.hard.shape))


def _move(context: RuleContext, input: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(input, Soft) or any(isinstance(arg, Soft) for arg in args):
        raise Cut("a soft value stands where a shape is wanted")
    func, args = _spoken(context.func, args)
    return moved(context, func, input, *args, **kwargs)


def _spoken(func: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A property's getter as code can write it."""
    if getattr(func, "__name__", "") != "__get__":
        return func, args
    descriptor: Any = getattr(func, "__self__", None)
    return getattr, (descriptor.__name__, *args)


def _same(context: RuleContext, input: Soft, *args: Any, **kwargs: Any) -> Any:
    """What leaves every element where it is; what stops the derivative stops the shadow's too."""
    func = torch.detach if getattr(context.func, "__name__", "") in ("detach", "__get__") else context.func
    value = context.call(func, input.value, *args, **kwargs)
    return context.soft(value, input.domain.value, input.support)


def _triangle(context: RuleContext, input: Soft, diagonal: int = 0) -> Any:
    if input.domain is Domain.SOFT_INDEX:
        raise Cut("zeroing a part of a soft index has no rule")
    return context.soft(context.call(context.func, input.value, diagonal), input.domain.value)


def _pad(context: RuleContext, input: Soft, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    if mode != "constant":
        return _move(context, input, pad, mode)
    filler = value or 0
    if input.domain is not Domain.SOFT_INDEX:
        return context.soft(context.call(F.pad, input.value, pad, "constant", float(filler)), input.domain.value)
    weights, support = points(context, input)
    padded, numbers = context.call(distributions.padded, weights, support, list(pad), filler)
    return context.soft(padded, "soft_index", numbers)


def _cat(context: RuleContext, tensors: Any, dim: int = 0) -> Any:
    return _join(context, _without_empty(context, tensors), dim, torch.cat)


def _stack(context: RuleContext, tensors: Any, dim: int = 0) -> Any:
    return _join(context, tensors, dim, torch.stack)


def _join(context: RuleContext, operands: Any, dim: int, func: Callable[..., Any]) -> Any:
    like = next(operand.value for operand in operands if isinstance(operand, Soft))
    if context.hard.is_floating_point():
        numbers = [as_number(context, operand, context.hard) for operand in operands]
        return counted(context, context.call(func, numbers, dim), *operands)
    if context.hard.dtype is torch.bool:
        weights = [as_probability(context, operand, like) for operand in operands]
        return context.soft(context.call(func, weights, dim), "soft_bool")
    domain = integer_domain(operands)
    if domain is not Domain.SOFT_INDEX:
        values = [as_number(context, operand, like) for operand in operands]
        return context.soft(context.call(func, values, dim), domain.value)
    weights, supports = as_indices(context, operands)
    axis = dim if dim >= 0 else dim - 1
    support = None if supports is None else context.call(func, supports, axis)
    return context.soft(context.call(func, weights, axis), "soft_index", support)


def _without_empty(context: RuleContext, operands: Any) -> list[Any]:
    """torch.cat lets 1-d empty tensors stand among larger ones."""
    return [o for o in operands if isinstance(o, Soft) or o.shape != (0,) or context.hard.dim() == 1]


def _hstack(context: RuleContext, tensors: Any) -> Any:
    return _join(context, tensors, 0 if context.hard.dim() == 1 else 1, torch.cat)


def _vstack(context: RuleContext, tensors: Any) -> Any:
    if any(len(_shape(tensor)) < 2 for tensor in tensors):
        return _join(context, tensors, 0, torch.stack)
    return _join(context, tensors, 0, torch.cat)


def _shape(operand: Any) -> Any:
    if not isinstance(operand, Soft):
        return operand.shape
    return operand.value.shape[:-1] if operand.domain is Domain.SOFT_INDEX else operand.value.shape


def _rule(code: str, op: str, carry: Callable[..., Any], *aliases: str) -> Rule:
    return Rule(
        code,
        op,
        "selection",
        "Moves data; a soft value moves with it.",
        "It follows what reaches it.",
        "",
        soft=f"torch.{op}",
        carry=carry,
        aliases=aliases,
        options=(),
    )


_MOVING = (
    "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose",
    "t", "T", "mT", "movedim", "expand", "broadcast_to", "repeat", "tile", "narrow", "select", "split",
    "chunk", "unbind", "flip", "roll", "ravel", "diagonal", "repeat_interleave", "tensor_split", "unfold", "adjoint",
    "fliplr", "flipud", "rot90", "atleast_1d", "atleast_2d", "atleast_3d", "hsplit", "vsplit",
    "H", "mH", "unsafe_chunk", "unsafe_split", "split_with_sizes",
)  # fmt: skip
_SAME = ("clone", "contiguous", "detach", "data", "cpu", "cuda", "requires_grad_", "pin_memory", "alias", "resolve_neg",
         "resolve_conj", "positive")  # fmt: skip
_ALIASES = {"transpose": ("swapaxes", "swapdims"), "movedim": ("moveaxis",)}

RULES = (
    *(_rule(f"SX7{i:02d}", op, _move, *_ALIASES.get(op, ())) for i, op in enumerate(_MOVING, 1)),
    *(_rule(f"SX7{i:02d}", op, _same) for i, op in enumerate(_SAME, 61)),
    *(_rule(f"SX7{i}", op, _like) for i, op in enumerate(("view_as", "reshape_as", "expand_as"), 81)),
    _rule("SX790", "pad", _pad),
    _rule("SX791", "cat", _cat, "concat", "concatenate"),
    _rule("SX792", "stack", _stack),
    _rule("SX793", "hstack", _hstack),
    _rule("SX794", "vstack", _vstack, "row_stack"),
    _rule("SX795", "tril", _triangle),
    _rule("SX796", "triu", _triangle),
)
