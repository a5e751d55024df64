"""Which real tensors hold whole numbers: zeros, ones, floors, casts of integers, and what is added up from them.

A count or an index goes on being one in a floating type: cast to float, summed, compared, cast back. Beside soft values
these tensors count as integers, so that a capacity check on `mask.float().cumsum(-1) <= k` is resolved as the check
on integers is. To add an operation, append its name to the set it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

__all__ = [
    "BLANK",
    "SHAPE_ONLY",
    "STOPS",
    "counts",
    "filled_with",
    "gives_whole",
    "is_whole_number",
    "may_keep",
]

# Filled with the numbers among their arguments, or with 0 or 1.
_CREATING = frozenset({
    "zeros", "ones", "full", "eye", "arange", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones",
    "new_full",
})  # fmt: skip
_ROUNDING = frozenset({"round", "floor", "ceil", "trunc", "sign", "floor_divide", "trunc_divide"})
# Whole where their operands are.
_KEEPING = frozenset({
    "add", "sub", "mul", "neg", "abs", "relu", "clamp", "clamp_min", "clamp_max", "minimum", "maximum", "remainder",
    "sum", "cumsum", "prod", "cumprod", "max", "min", "amax", "amin", "sort", "topk", "where", "masked_fill", "gather",
    "index_select", "take_along_dim", "take", "getitem", "scatter", "scatter_add", "index_add", "index_copy",
    "index_fill", "index_put", "setitem", "cat", "stack", "hstack", "vstack", "pad", "reshape", "view", "view_as",
    "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "T", "mT", "movedim", "expand", "expand_as",
    "broadcast_to", "repeat", "tile", "narrow", "select", "split", "chunk", "unbind", "flip", "roll", "ravel",
    "diagonal", "repeat_interleave", "clone", "contiguous", "detach", "data", "cpu", "cuda", "tril", "triu", "matmul",
    "cast", "diff", "copy_", "fill_", "zero_",
})  # fmt: skip

# Where the number stands among the arguments of what fills a tensor with it.
_FILLING = {"full": 1, "full_like": 1, "new_full": 2, "tensor": 0, "scalar_tensor": 0, "as_tensor": 0}
_SPREADING = frozenset({"expand", "expand_as", "reshape", "view", "unsqueeze", "squeeze", "clone", "cast", "repeat"})
# The value of these depends on the shape of their tensor operands only.
SHAPE_ONLY = frozenset({
    "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "randint_like", "new_zeros",
    "new_ones", "new_empty", "new_full", "new_tensor", "size", "numel", "dim", "stride", "storage_offset",
    "is_floating_point", "is_contiguous",
})  # fmt: skip
# What these return is arbitrary: beside a soft write it would be part of an average.
BLANK = ("empty", "empty_like", "new_empty")
# No derivative goes on from these.
STOPS = ("detach", "data")


def is_whole_number(value: Any) -> bool:
    """Whether a Python number is an integer.

    >>> is_whole_number(2.0), is_whole_number(0.5)
    (True, False)
    """
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def filled_with(op: str, args: tuple[Any, ...], kwargs: dict[str, Any], fills: list[float | None]) -> float | None:
    """The one number that a call fills its result with, if it does; `fills` says it of each tensor it is given."""
    if op in _FILLING:
        numbers = [value for value in (*args[_FILLING[op] :], kwargs.get("fill_value")) if value is not None]
        first = numbers[0] if numbers else None
        return float(first) if isinstance(first, int | float) else None
    return fills[0] if op in _SPREADING and fills else None


def counts(op: str) -> bool:
    """Whether the numbers among its arguments decide what `op` fills its result with, or if that is whole."""
    return op in _ROUNDING or op in _CREATING or op in _FILLING


def may_keep(op: str, whole: Sequence[bool]) -> bool:
    """Whether it is left to the numbers among its arguments whether `op` gives whole numbers."""
    return op in _KEEPING and all(whole)


def gives_whole(op: str, args: tuple[Any, ...], kwargs: dict[str, Any], whole: list[bool]) -> bool:
    """Whether `op` of these arguments gives whole numbers; `whole` says it of each tensor among them, in order."""
    if op in _ROUNDING:
        return not kwargs.get("decimals")
    if op in _CREATING:
        return all(is_whole_number(number) for number in _numbers((args[1:] if whole else args, kwargs)))
    return op in _KEEPING and all(whole) and all(is_whole_number(number) for number in _numbers((args, kwargs)))


def _numbers(tree: Any) -> list[Any]:
    """The numbers in nested arguments."""
    if isinstance(tree, int | float):
        return [tree]
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, tuple | list) and not isinstance(tree, torch.Size):
        return [number for item in tree for number in _numbers(item)]
    return []
