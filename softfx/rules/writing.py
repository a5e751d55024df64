"""Consumers of soft indices that write: one_hot, scatter, index_add, bincount and their kin.

What a soft index writes is spread over its points by their weights; integers written by it stay soft indices where
each result is one of the integers written. x[key] = value is in indexing.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.selection import MOST_POINTS, plain, positions, selecting
from softfx.rules.values import as_number, counted, is_discrete
from softfx.runtime import distributions, places
from softfx.values.domains import Domain, Soft

__all__ = ["RULES", "put", "reduced"]


def _one_hot(context: RuleContext, tensor: Any, num_classes: int = -1) -> Any:
    classes = context.hard.shape[-1]
    return context.soft(_distribution(context, tensor, classes), "soft_bool")


def _distribution(context: RuleContext, index: Soft, size: int) -> Tensor:
    """A soft index as the probability of each position.  # -> (..., [size])"""
    if index.domain is Domain.SOFT_INDEX and index.support is None and index.value.shape[-1] == size:
        return index.value
    weights, places = positions(context, index, size)
    return context.call(distributions.histogram, weights, places, size)  # type: ignore[no-any-return]  # call is untyped


def _scatter(
    context: RuleContext, input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Any:
    source = src if src is not None else value
    if reduce == "add":
        return _scattered(context, torch.scatter_add, softtorch.scatter_add, input, dim, index, source)
    if reduce is not None:
        raise Cut(f"scatter with reduce={reduce!r} has no rule")
    if isinstance(index, Soft) and _integers(context, input, source):
        return _rearranged(context, input, dim, index, source)
    return _scattered(context, torch.scatter, softtorch.scatter, input, dim, index, source)


def _scatter_add(context: RuleContext, input: Any, dim: int, index: Any, src: Any) -> Any:
    return _scattered(context, torch.scatter_add, softtorch.scatter_add, input, dim, index, src)


def _scatter_reduce(
    context: RuleContext, input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    if reduce == "sum" and include_self:
        return _scatter_add(context, input, dim, index, src)
    if isinstance(index, Soft):
        return reduced(context, input, dim, index, src, reduce, include_self)
    like = next(o.value for o in (input, src) if isinstance(o, Soft))
    data, values = as_number(context, input, like), as_number(context, src, like)
    result = context.call(torch.scatter_reduce, data, dim, index, values, reduce, include_self=include_self)
    return _in_form(context, result, input, src)


def _extremum(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """The largest or smallest of each group is an operation of its own."""
    reduce = args[4] if len(args) > 4 else kwargs.get("reduce")
    return "scatter_extremum" if reduce in ("amax", "amin") else None


def reduced(
    context: RuleContext, input: Any, dim: int, index: Soft, src: Any, reduce: str, include_self: bool
) -> Any:  # fmt: skip
    """The largest, the smallest or the mean of what a soft index brings to each place."""
    if reduce not in ("amax", "amin", "mean"):
        raise Cut(f"scatter_reduce with reduce={reduce!r} by a soft index has no rule")
    data, values = as_number(context, input, index.value), as_number(context, src, index.value)
    axis = dim % max(data.dim(), 1)
    p = _distribution(context, index, data.shape[axis])
    function = places.gathered_mean if reduce == "mean" else places.gathered_extreme
    options = {} if reduce == "mean" else {"largest": reduce == "amax"}
    return _in_form(context, context.call(function, data, axis, p, values, include_self, **options), input, src)


def _scattered(
    context: RuleContext, exact: Callable[..., Tensor], soft: Callable[..., Tensor], input: Any, dim: int, index: Any,
    src: Any,
) -> Any:  # fmt: skip
    like = next(o.value for o in (input, index, src) if isinstance(o, Soft))
    data, values = as_number(context, input, like), as_number(context, src, like)
    if not isinstance(index, Soft):
        return _in_form(context, context.call(exact, data, dim, index, values), input, src)
    p = index.value if plain(index, data, data.shape[dim]) else _distribution(context, index, data.shape[dim])
    if not isinstance(values, Tensor):
        values = context.call(torch.full, p.shape[:-1], values, dtype=data.dtype, device=data.device)
    return _in_form(context, context.call(soft, data, dim, p, values), input, src)


def _integers(context: RuleContext, input: Any, src: Any) -> bool:
    """Whether hard integers are written into hard integers."""
    operands = (context.hard, input, src)
    return context.hard.dtype is not torch.bool and all(is_discrete(operand) for operand in operands)


def _rearranged(context: RuleContext, input: Tensor, dim: int, index: Soft, src: Tensor) -> Any:
    """Integers scattered by a soft index: each result is one of those written, or what was there."""
    axis = dim % max(input.dim(), 1)
    shape = index.value.shape[:-1] if index.domain is Domain.SOFT_INDEX else index.value.shape
    same = all(shape[i] == input.shape[i] for i in range(input.dim()) if i != axis)
    if not same or shape[axis] >= MOST_POINTS or input.dim() == 0:
        return _scattered(context, torch.scatter, softtorch.scatter, input, dim, index, src)
    weights, support = context.call(
        distributions.rearranged, input, axis, _distribution(context, index, input.shape[axis]), src
    )
    return context.soft(weights, "soft_index", support)


def _in_form(context: RuleContext, result: Tensor, *operands: Any) -> Any:
    if context.hard.is_floating_point():
        return counted(context, result, *operands)
    ones = all(operand in (0, 1) for operand in operands if not isinstance(operand, Tensor | Soft))
    stays = context.hard.dtype is torch.bool or (ones and not any(isinstance(o, Tensor) for o in operands[1:]))
    return context.soft(result, "soft_bool" if stays else "count")


def put(
    context: RuleContext, input: Any, key: tuple[Any, ...], index: Soft, size: int, value: Any, block: int, add: bool
) -> Any:
    """input[key] = value, or += value, at a soft index held in the key by the string "index".

    size: the length of the axis that is indexed.  block: the axis of input[key] at which the index's axes begin.
    """
    weights, places = positions(context, index, size)
    data, values = as_number(context, input, weights), as_number(context, value, weights)
    result = context.call(distributions.put, data, key, weights, places, values, block, add)
    return _in_form(context, result, input, value)


def _index_write(add: bool) -> Callable[..., Any]:
    def carry(context: RuleContext, input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
        rank = context.hard.dim()
        axis = dim % max(rank, 1)
        if isinstance(index, Soft):
            if alpha != 1:
                raise Cut("index_add by a soft index with alpha has no rule")
            key = (*(slice(None),) * axis, "index")
            return put(context, input, key, index, context.hard.shape[axis], source, axis, add)
        like = next(o.value for o in (input, source) if isinstance(o, Soft))
        options = {"alpha": alpha} if add else {}
        data, values = as_number(context, input, like), as_number(context, source, like)
        func = torch.index_add if add else torch.index_copy
        return _in_form(context, context.call(func, data, dim, index, values, **options), input, source)

    return carry


def _index_fill(context: RuleContext, input: Any, dim: int, index: Any, value: Any) -> Any:
    axis = dim % max(context.hard.dim(), 1)
    if isinstance(index, Soft):
        key = (*(slice(None),) * axis, "index")
        return put(context, input, key, index, context.hard.shape[axis], value, axis, False)
    like = next(o.value for o in (input, value) if isinstance(o, Soft))
    data, filler = as_number(context, input, like), as_number(context, value, like)
    return _in_form(context, context.call(torch.index_fill, data, dim, index, filler), input, value)


def _bincount(context: RuleContext, input: Any, weights: Any = None, minlength: int = 0) -> Any:
    classes = context.hard.shape[0]
    if not isinstance(input, Soft):
        values = as_number(context, weights, weights.value)
        zeros = context.call(torch.zeros, classes, dtype=values.dtype, device=values.device)
        return context.call(torch.index_add, zeros, 0, input, values)
    p = _distribution(context, input, classes)
    factor = None if weights is None else as_number(context, weights, p)
    counts = context.call(softtorch.bincount, p, factor, classes)
    return counted(context, counts, input, weights)


RULES: tuple[Rule, ...] = (
    selecting("SX507", "one_hot", _one_hot, "softtorch.one_hot"),
    selecting("SX508", "scatter", _scatter, "softtorch.scatter"),
    selecting("SX509", "scatter_add", _scatter_add, "softtorch.scatter_add"),
    replace(
        selecting("SX516", "scatter_reduce", _scatter_reduce, "softtorch.scatter_add"),
        becomes=_extremum,
        stands_for=("scatter_extremum",),
    ),
    selecting("SX517", "index_add", _index_write(True), "softtorch.scatter_add"),
    selecting("SX518", "index_copy", _index_write(False), "softtorch.scatter"),
    selecting("SX519", "index_fill", _index_fill, "softtorch.scatter"),
    selecting("SX520", "bincount", _bincount, "softtorch.bincount"),
)
