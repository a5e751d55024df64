"""Consumers of soft bools and soft indices that read: where, gather, embedding, index_select and their kin.

None of these is a site; they follow what reaches them. With a soft operand they become weighted sums; looking up
integers by a soft index gives a soft index over the integers found. Writing is in writing.py, x[key] in indexing.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_index, as_number, as_probability, as_real, counted, moved, points
from softfx.runtime import distributions
from softfx.values.domains import Domain, Soft

__all__ = ["MOST_POINTS", "RULES", "excluded", "excludes", "look_up", "plain", "positions", "selecting", "shape_of"]

# A mixture or a composition of indices has the points of all; beyond this many it costs more than it tells.
MOST_POINTS = 4096
# A number of this size that fills a mask means that what it fills is to be left out: -1e4 in half precision.
_EXCLUDES = 1e4


def _where(context: RuleContext, condition: Any, input: Any, other: Any) -> Any:
    hard = context.hard
    like = next(o.value for o in (condition, input, other) if isinstance(o, Soft))
    probability = as_probability(context, condition, like)
    if hard.is_floating_point():
        for fill, rest, where_false in ((input, other, False), (other, input, True)):
            number = context.fill(fill) if isinstance(fill, Tensor) else fill
            if isinstance(number, int | float) and excludes(number):
                return excluded(context, number, rest, probability, where_false)
        branches = [_branch(context, operand, hard) for operand in (input, other)]
        blended = context.call(distributions.blend, probability, *branches)
        return counted(context, blended, input, other)
    if hard.dtype is torch.bool:
        branches = [as_probability(context, operand, like) for operand in (input, other)]
        return context.soft(context.call(softtorch.where, probability, *branches), "soft_bool")
    (p, p_points), (q, q_points) = as_index(context, input, like), as_index(context, other, like)
    if p.shape[-1] + q.shape[-1] > MOST_POINTS:
        raise Cut(f"a mixture of indices over more than {MOST_POINTS} points")
    weights, support = context.call(distributions.mixture, probability, p, p_points, q, q_points)
    return context.soft(weights, "soft_index", support)


def _branch(context: RuleContext, operand: Any, hard: Tensor) -> Any:
    real = as_real(context, operand)
    if not isinstance(real, Tensor):
        return context.call(torch.full, (), real, dtype=hard.dtype, device=hard.device)
    return real if real.dtype == hard.dtype else context.call(torch.Tensor.to, real, hard.dtype)


def excludes(fill: Any) -> bool:
    """Whether a mask is filled with a number that stands for an infinite one."""
    return isinstance(fill, int | float) and abs(fill) >= _EXCLUDES


def excluded(context: RuleContext, fill: float, rest: Any, condition: Tensor, where_false: bool) -> Tensor:
    """A fill that stands for an infinite number excludes: no average with it is of use.

    The value is the hard one. The derivative is that of x + log(1 - p), p the probability of being excluded, which
    multiplies an exponential of x by 1 - p.
    """
    left = condition if where_false else context.call(torch.rsub, condition, 1)
    soft = context.call(distributions.excluding, _branch(context, rest, context.hard), left, fill)
    result: Tensor = context.call(softtorch.straight_through, context.hard, soft)
    return result


def _masked_fill(context: RuleContext, input: Any, mask: Any, value: Any) -> Any:
    return _where(context, mask, value, input)


def look_up(
    context: RuleContext, func: Callable[..., Tensor], arguments: tuple[Any, ...], index: Soft, block: int, size: int
) -> Any:
    """`func` of an integer index, at a soft one: a weighted sum, or a soft index over the integers found.

    arguments: func's, with "index" in the index's place; the data may be soft itself.
    block: the axis of the result at which the index's own axes begin.
    size: the length of the axis that is indexed.
    """
    weights, places = positions(context, index, size)
    data = next((argument for argument in arguments if isinstance(argument, Soft)), None)
    if data is None:
        return _found(context, func, arguments, weights, places, block)
    if data.domain is Domain.SOFT_INDEX:
        arguments = tuple("data" if argument is data else argument for argument in arguments)
        return _composed(context, func, arguments, (weights, places), data, block)
    arguments = tuple(data.value if argument is data else argument for argument in arguments)
    found = _found(context, func, arguments, weights, places, block)
    return found if context.hard.is_floating_point() else context.soft(found, data.domain.value)


def _found(
    context: RuleContext, func: Callable[..., Tensor], arguments: tuple[Any, ...], p: Tensor, places: Tensor, block: int
) -> Any:
    weights, values = context.call(distributions.look_up, func, arguments, p, places, block)
    if values.is_floating_point():
        return context.call(distributions.weighted, weights, values)
    if values.dtype is torch.bool:
        return context.soft(context.call(distributions.weighted, weights, values), "soft_bool")
    return context.soft(weights, "soft_index", values)


def _composed(
    context: RuleContext,
    func: Callable[..., Tensor],
    arguments: tuple[Any, ...],
    where: tuple[Tensor, Tensor],
    data: Soft,
    block: int,
) -> Soft:
    """Soft indices looked up by a soft index."""
    weights = context.call(distributions.compose, func, arguments, *where, data.value, block)
    if data.support is None or data.support.dim() == 1:
        return context.soft(context.call(torch.sum, weights, -2), "soft_index", data.support)
    if weights.shape[-2] * weights.shape[-1] > MOST_POINTS:
        raise Cut(f"a composition of indices over more than {MOST_POINTS} points")
    full = context.call(Tensor.expand, data.support, data.value.shape)
    support = context.call(distributions.found_points, func, arguments, *where, full, block)
    return context.soft(
        context.call(torch.flatten, weights, -2), "soft_index", context.call(torch.flatten, support, -2)
    )


def positions(context: RuleContext, index: Soft, size: int) -> tuple[Tensor, Tensor]:
    """A shadow as weights over positions on an axis of `size`.  # -> (..., [n]), broadcastable to (..., [n])"""
    if index.domain is Domain.COUNT:
        weights, legal = context.call(distributions.count_positions, index.value, size)
        return weights, legal
    weights, support = points(context, index)
    if index.domain is Domain.SOFT_INDEX and index.support is None and index.value.shape[-1] <= size:
        return weights, support
    return weights, context.call(distributions.legal_points, support, size)


def plain(index: Any, data: Any, size: int) -> bool:
    """Whether `index` ranges over exactly the rows of real `data`: then a weighted sum needs no points."""
    return (
        isinstance(index, Soft)
        and index.domain is Domain.SOFT_INDEX
        and index.support is None
        and index.value.shape[-1] == size
        and isinstance(data, Tensor)
        and data.is_floating_point()
    )


def shape_of(operand: Any) -> torch.Size:
    """The shape of what an operand stands for."""
    if not isinstance(operand, Soft):
        return torch.Size(operand.shape)
    return operand.value.shape[:-1] if operand.domain is Domain.SOFT_INDEX else operand.value.shape


def _gather(context: RuleContext, input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    if not isinstance(index, Soft):
        return moved(context, torch.gather, input, dim, index)
    size = shape_of(input)[dim]
    if plain(index, input, size):
        return context.call(softtorch.gather, input, dim, index.value)
    axis = dim % max(len(shape_of(input)), 1)  # counted from the front: slices of distributions have one axis less
    return look_up(context, torch.gather, (input, axis, "index"), index, 0, size)


def _take_along_dim(context: RuleContext, input: Any, indices: Any, dim: int | None = None) -> Any:
    if not isinstance(indices, Soft):
        return moved(context, torch.take_along_dim, input, indices, dim)
    shape = shape_of(input)
    size = shape.numel() if dim is None else shape[dim]
    return look_up(context, torch.take_along_dim, (input, "index", dim), indices, 0, size)


def _take(context: RuleContext, input: Any, index: Any) -> Any:
    if not isinstance(index, Soft):
        return moved(context, torch.take, input, index)
    return look_up(context, torch.take, (input, "index"), index, 0, shape_of(input).numel())


def _index_select(context: RuleContext, input: Any, dim: int, index: Any) -> Any:
    if not isinstance(index, Soft):
        return moved(context, torch.index_select, input, dim, index)
    axis = dim % max(len(shape_of(input)), 1)
    return look_up(context, torch.index_select, (input, axis, "index"), index, axis, shape_of(input)[axis])


def _embedding(
    context: RuleContext, input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Any:  # fmt: skip
    if max_norm is not None:
        raise Cut("embedding with max_norm renormalises its table in place")
    if not isinstance(input, Soft):
        raise Cut("a table of soft values")
    if plain(input, weight, weight.shape[0]):
        return context.call(softtorch.embedding, input.value, weight)
    return look_up(context, F.embedding, ("index", weight), input, 0, weight.shape[0])


def _nll_loss(
    context: RuleContext, input: Any, target: Any, weight: Any = None, size_average: Any = None,
    ignore_index: int = -100, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    return _expected_loss(context, F.nll_loss, input, target, weight, ignore_index, reduction)


def _cross_entropy(
    context: RuleContext, input: Any, target: Any, weight: Any = None, size_average: Any = None,
    ignore_index: int = -100, reduce: Any = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    if label_smoothing and (weight is not None or reduction != "mean" or not isinstance(target, Soft)):
        raise Cut("cross_entropy with label smoothing and weights has no rule for soft targets")
    loss = _expected_loss(context, F.cross_entropy, input, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return loss
    logits = as_number(context, input, context.hard)
    uniform = context.call(torch.mean, context.call(F.log_softmax, logits, 0 if logits.dim() == 1 else 1))
    return context.call(torch.lerp, loss, context.call(torch.neg, uniform), label_smoothing)


def _expected_loss(
    context: RuleContext, loss: Callable[..., Tensor], input: Any, target: Any, weight: Any, ignored: int,
    reduction: str,
) -> Any:  # fmt: skip
    """The loss of each class, weighted by the probability that it is the target."""
    data = as_number(context, input, context.hard)
    if not isinstance(target, Soft):
        return context.call(loss, data, target, weight=weight, ignore_index=ignored, reduction=reduction)
    p, classes = points(context, target)
    return context.call(distributions.expected_loss, loss, data, p, classes, weight, ignored, reduction)


def selecting(code: str, op: str, carry: Callable[..., Any], soft: str, *aliases: str) -> Rule:
    """The record of a consumer."""
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


def _places(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """where(condition) alone is nonzero."""
    return "nonzero" if len(args) + len(kwargs) == 1 else None


RULES = (
    replace(selecting("SX501", "where", _where, "softtorch.where"), becomes=_places),
    selecting("SX502", "masked_fill", _masked_fill, "softtorch.where"),
    selecting("SX503", "gather", _gather, "softtorch.gather"),
    selecting("SX504", "take_along_dim", _take_along_dim, "softtorch.take_along_dim"),
    selecting("SX505", "index_select", _index_select, "softtorch.index_select"),
    selecting("SX506", "embedding", _embedding, "softtorch.embedding"),
    selecting("SX513", "take", _take, "softtorch.take"),
    selecting("SX514", "nll_loss", _nll_loss, "softtorch.where"),
    selecting("SX515", "cross_entropy", _cross_entropy, "softtorch.where"),
)
