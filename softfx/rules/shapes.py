"""Operations that only move data: on a shadow they do the same, slice by slice of a distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from softfx import runtime
from softfx.domains import Domain, Soft
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import lift

__all__ = ["RULES"]


def _move(context: RuleContext, input: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(input, Soft) or any(isinstance(arg, Soft) for arg in args):
        raise Cut("a soft value stands where a shape is wanted")
    if input.domain is not Domain.SOFT_INDEX:
        moved = context.call(context.func, input.value, *args, **kwargs)
        return _each(context, moved, input.domain.value)
    moved = context.call(runtime.move, context.func, input.value, *args, **kwargs)
    support = input.support
    if support is None or support.dim() == 1:
        return _each(context, moved, "soft_index", support)
    full = context.call(Tensor.expand, support, input.value.shape)
    return _each(context, moved, "soft_index", context.call(runtime.move, context.func, full, *args, **kwargs))


def _each(context: RuleContext, moved: Any, domain: str, support: Any = None) -> Any:
    """A shadow for each piece: unbind, split and chunk return several."""
    if isinstance(moved, Tensor):
        return context.soft(moved, domain, support)
    supports = support if isinstance(support, tuple | list) else [support] * len(moved)
    return [context.soft(piece, domain, part) for piece, part in zip(moved, supports, strict=True)]


def _join(context: RuleContext, tensors: Any, dim: int = 0) -> Any:
    soft = next(tensor for tensor in tensors if isinstance(tensor, Soft))
    values = [lift(context, tensor, soft) for tensor in tensors]
    if soft.domain is Domain.SOFT_INDEX:
        if len({value.shape[-1] for value in values}) > 1:
            raise Cut("soft indices over ranges of different size cannot be joined")
        axis = dim if dim >= 0 else dim - 1
        return context.soft(context.call(context.func, values, axis), "soft_index")
    return context.soft(context.call(context.func, values, dim), soft.domain.value)


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
    "reshape", "view", "view_as", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose",
    "t", "T", "mT", "movedim", "expand", "expand_as", "broadcast_to", "repeat", "tile", "narrow", "select", "split",
    "chunk", "unbind", "flip", "roll", "clone", "contiguous", "detach", "data", "ravel", "diagonal",
    "repeat_interleave", "tril", "triu", "cpu", "cuda", "requires_grad_", "tensor_split", "unfold",
)  # fmt: skip
_ALIASES = {"transpose": ("swapaxes", "swapdims"), "movedim": ("moveaxis",)}

RULES = (
    *(_rule(f"SX7{i:02d}", op, _move, *_ALIASES.get(op, ())) for i, op in enumerate(_MOVING, 1)),
    _rule("SX791", "cat", _join, "concat", "concatenate"),
    _rule("SX792", "stack", _join),
)
