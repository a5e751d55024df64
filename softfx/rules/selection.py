"""Consumers of soft bools and soft indices: where, gather, embedding, one_hot, scatter and their kin.

None of these is a site; they follow what reaches them. With a soft operand they become weighted sums; looking up
integers by a soft index gives a soft index over the integers found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import softtorch
from softfx import runtime
from softfx.domains import Domain, Soft
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_index, as_probability, as_real, is_discrete

__all__ = ["RULES", "look_up"]

# A where of indices mixes their points; beyond this many the distribution costs more than it tells.
_MOST_POINTS = 4096


def _where(context: RuleContext, condition: Any, input: Any, other: Any) -> Any:
    hard = context.hard
    like = next(o.value for o in (condition, input, other) if isinstance(o, Soft))
    probability = as_probability(context, condition, like)
    if hard.is_floating_point():
        return context.call(softtorch.where, probability, _branch(context, input, hard), _branch(context, other, hard))
    if hard.dtype is torch.bool:
        branches = (as_probability(context, operand, like) for operand in (input, other))
        return context.soft(context.call(softtorch.where, probability, *branches), "soft_bool")
    (p, p_points), (q, q_points) = as_index(context, input, like), as_index(context, other, like)
    if p.shape[-1] + q.shape[-1] > _MOST_POINTS:
        raise Cut(f"a mixture of indices over more than {_MOST_POINTS} points")
    weights, support = context.call(runtime.mixture, probability, p, p_points, q, q_points)
    return context.soft(weights, "soft_index", support)


def _branch(context: RuleContext, operand: Any, hard: Tensor) -> Any:
    real = as_real(context, operand)
    if not isinstance(real, Tensor):
        return context.call(torch.full, (), real, dtype=hard.dtype, device=hard.device)
    return real if real.dtype == hard.dtype else context.call(torch.Tensor.to, real, hard.dtype)


def _masked_fill(context: RuleContext, input: Any, mask: Any, value: Any) -> Any:
    return _where(context, mask, value, input)


def look_up(
    context: RuleContext, func: Callable[..., Tensor], arguments: tuple[Any, ...], index: Soft, block: int
) -> Any:
    """`func` of an integer index, at a soft one: a weighted sum, or a soft index over the integers found.

    arguments: func's, with "index" in the index's place.
    block: the axis of the result at which the index's own axes begin.
    """
    if index.domain is Domain.SOFT_BOOL:
        raise Cut("a soft bool stands where an index is wanted")
    p, points = as_index(context, index, index.value)
    weights, values = context.call(runtime.look_up, func, arguments, p, points, block)
    if values.is_floating_point():
        return context.call(runtime.weighted, weights, values)
    if values.dtype is torch.bool:
        return context.soft(context.call(runtime.weighted, weights, values), "soft_bool")
    return context.soft(weights, "soft_index", values)


def _data(operand: Any) -> Tensor:
    if isinstance(operand, Soft):
        raise Cut("soft data selected by a soft index has no rule")
    assert isinstance(operand, Tensor)
    return operand


def _plain(index: Any, data: Any, size: int) -> bool:
    """Whether `index` ranges over exactly the rows of real `data`: then a weighted sum needs no points."""
    return (
        isinstance(index, Soft)
        and index.domain is Domain.SOFT_INDEX
        and index.support is None
        and index.value.shape[-1] == size
        and isinstance(data, Tensor)
        and data.is_floating_point()
    )


def _moved(context: RuleContext, func: Callable[..., Tensor], input: Soft, *args: Any, **kwargs: Any) -> Any:
    """Soft data selected by a hard index: the selection is made on the shadow."""
    if input.domain is Domain.SOFT_INDEX:
        if input.support is not None and input.support.dim() > 1:
            raise Cut("a soft index with points of its own is selected from")
        value = context.call(runtime.move, func, input.value, *args, **kwargs)
        return context.soft(value, "soft_index", input.support)
    return context.soft(context.call(func, input.value, *args, **kwargs), input.domain.value)


def _gather(context: RuleContext, input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    if not isinstance(index, Soft):
        return _moved(context, torch.gather, input, dim, index)
    data = _data(input)
    if _plain(index, data, data.shape[dim]):
        return context.call(softtorch.gather, data, dim, index.value)
    return look_up(context, torch.gather, (data, dim, "index"), index, 0)


def _take_along_dim(context: RuleContext, input: Any, indices: Any, dim: int | None = None) -> Any:
    if not isinstance(indices, Soft):
        return _moved(context, torch.take_along_dim, input, indices, dim)
    data = _data(input)
    return look_up(context, torch.take_along_dim, (data, "index", dim), indices, 0)


def _index_select(context: RuleContext, input: Any, dim: int, index: Any) -> Any:
    if not isinstance(index, Soft):
        return _moved(context, torch.index_select, input, dim, index)
    data = _data(input)
    axis = dim % max(data.dim(), 1)
    return look_up(context, torch.index_select, (data, axis, "index"), index, axis)


def _embedding(
    context: RuleContext, input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Any:  # fmt: skip
    if max_norm is not None:
        raise Cut("embedding with max_norm renormalises its table in place")
    data = _data(weight)
    if _plain(input, data, data.shape[0]):
        return context.call(softtorch.embedding, input.value, data)
    return look_up(context, F.embedding, ("index", data), input, 0)


def _one_hot(context: RuleContext, tensor: Any, num_classes: int = -1) -> Any:
    if not isinstance(tensor, Soft) or tensor.domain is Domain.SOFT_BOOL:
        raise Cut("one_hot of a soft bool has no rule")
    classes = context.hard.shape[-1]
    if tensor.domain is Domain.SOFT_INDEX and tensor.support is None and tensor.value.shape[-1] == classes:
        return context.soft(tensor.value, "soft_bool")
    p, points = as_index(context, tensor, tensor.value)
    return context.soft(context.call(runtime.histogram, p, points, classes), "soft_bool")


def _scatter(
    context: RuleContext, input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Any:
    if reduce is not None:
        raise Cut("scatter with reduce has no rule")
    source = src if src is not None else value
    return _scattered(context, torch.scatter, softtorch.scatter, input, dim, index, source)


def _scatter_add(context: RuleContext, input: Any, dim: int, index: Any, src: Any) -> Any:
    return _scattered(context, torch.scatter_add, softtorch.scatter_add, input, dim, index, src)


def _scattered(
    context: RuleContext, exact: Callable[..., Tensor], soft: Callable[..., Tensor], input: Any, dim: int, index: Any, src: Any
) -> Any:  # fmt: skip
    like = next(o.value for o in (input, index, src) if isinstance(o, Soft))
    data = _form(context, input, like)
    values = _form(context, src, like)
    if not isinstance(index, Soft):
        result = context.call(exact, data, dim, index, values)
    elif _plain(index, data, data.shape[dim]):
        if not isinstance(values, Tensor):
            values = context.call(torch.full, index.value.shape[:-1], values, dtype=data.dtype, device=data.device)
        result = context.call(soft, data, dim, index.value, values)
    else:
        raise Cut("scatter by a soft index with points of its own has no rule")
    if context.hard.is_floating_point():
        return result
    return context.soft(result, "soft_bool" if _stays_bool(context, input, src) else "count")


def _form(context: RuleContext, operand: Any, like: Tensor) -> Any:
    real = as_real(context, operand)
    return context.call(torch.Tensor.to, real, like.dtype) if is_discrete(real) else real


def _stays_bool(context: RuleContext, input: Any, src: Any) -> bool:
    return bool(context.hard.dtype is torch.bool) or src in (0, 1)


def _selection(code: str, op: str, carry: Callable[..., Any], soft: str, *aliases: str) -> Rule:
    return Rule(
        code,
        op,
        "selection",
        "Selects by a bool or an index; with a soft one it becomes a weighted sum.",
        "It follows what reaches it.",
        "SoftTorch 0.1.1 documentation",
        soft=soft,
        carry=carry,
        aliases=aliases,
        options=(),
    )


RULES = (
    _selection("SX501", "where", _where, "softtorch.where"),
    _selection("SX502", "masked_fill", _masked_fill, "softtorch.where"),
    _selection("SX503", "gather", _gather, "softtorch.gather"),
    _selection("SX504", "take_along_dim", _take_along_dim, "softtorch.take_along_dim"),
    _selection("SX505", "index_select", _index_select, "softtorch.index_select"),
    _selection("SX506", "embedding", _embedding, "softtorch.embedding"),
    _selection("SX507", "one_hot", _one_hot, "softtorch.one_hot"),
    _selection("SX508", "scatter", _scatter, "softtorch.scatter"),
    _selection("SX509", "scatter_add", _scatter_add, "softtorch.scatter_add"),
)
