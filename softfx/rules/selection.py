"""Consumers of soft bools and soft indices that read: where, gather, embedding, index_select and their kin.

None of these is a site; they follow what reaches them. With a soft operand they become weighted sums; looking up
integers by a soft index gives a soft index over the integers found. Writing is in writing.py, x[key] in indexing.py.
To add a consumer that looks elements up, write its function by `look_up` and append its record to RULES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Kwargs
from softfx.ops.operation import Operation
from softfx.rules import chosen
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.readings import (
    as_index,
    as_number,
    as_probability,
    as_real,
    counted,
    shape_of,
    softs_in,
)
from softfx.rules.refusals import CannotSoften, is_discrete
from softfx.rules.rule import Rule
from softfx.runtime import distributions, infinities
from softfx.values import Soft, SoftChoice, SoftCount, SoftIndex, SoftReal, SoftSum

__all__ = [
    "MOST_POINTS",
    "RULES",
    "excluded",
    "excludes",
    "far_from",
    "look_up",
    "masked_fill",
    "may_be_infinite",
    "positions",
    "selecting",
    "spans",
]

# A mixture or a composition of indices has the points of all; beyond this many it costs more than it tells.
MOST_POINTS = 4096
# A number of this size that fills a mask means that what it fills is to be left out: -1e4 in half precision.
_EXCLUDES = 1e4


# -- where -------------------------------------------------------------------------------------------------------------


def _where(context: RuleContext, condition: Operand, input: Operand, other: Operand) -> Shadow:
    hard = context.hard
    like = softs_in((condition, input, other))[0].tensor
    probability = as_probability(context, condition, like)
    if not is_discrete(hard):
        for fill, rest, where_false in ((input, other, False), (other, input, True)):
            number = context.fill(fill) if isinstance(fill, Tensor) else fill
            if isinstance(number, int | float) and excludes(number):
                return excluded(context, number, rest, probability, where_false)
        branches = [_branch(context, operand, hard) for operand in (input, other)]
        blended = context.call(distributions.blend, probability, *branches)
        return counted(context, blended, input, other)
    if hard.dtype is torch.bool:
        branches = [as_probability(context, operand, like) for operand in (input, other)]
        return context.soft_bool(context.call(softtorch.where, probability, *branches))
    (p, p_points), (q, q_points) = as_index(context, input, like), as_index(context, other, like)
    if p.shape[-1] + q.shape[-1] > MOST_POINTS:
        raise CannotSoften(f"a mixture of indices over more than {MOST_POINTS} points")
    weights, support = context.call(distributions.mixture, probability, p, p_points, q, q_points)
    return context.soft_index(weights, support)


def _branch(context: RuleContext, operand: Operand, hard: Tensor) -> Tensor:
    """A branch as a real number in the dtype of the result."""
    real = as_real(context, operand)
    if not isinstance(real, Tensor):
        filled: Tensor = context.call(torch.full, (), real, dtype=hard.dtype, device=hard.device)
        return filled
    return real if real.dtype == hard.dtype else context.call(torch.Tensor.to, real, hard.dtype)


def excludes(fill: Operand | None) -> bool:
    """Return True if a mask is filled with a number that stands for an infinite one."""
    return isinstance(fill, int | float) and abs(fill) >= _EXCLUDES


def excluded(context: RuleContext, fill: float, rest: Operand, condition: Tensor, where_false: bool) -> Tensor:
    """The blend of a tensor with a fill that excludes, of which no average is of use.

    The value is the hard one. The derivative is that of x + log(1 - p), p the probability of being excluded, which
    multiplies an exponential of x by 1 - p.
    """
    left = condition if where_false else context.call(torch.rsub, condition, 1)
    soft = context.call(distributions.excluding, _branch(context, rest, context.hard), left, fill)
    result: Tensor = context.call(softtorch.straight_through, context.hard, soft)
    return result


def masked_fill(context: RuleContext, input: Operand, mask: Operand, value: Operand) -> Shadow:
    """The propagation of masked_fill."""
    return _where(context, mask, value, input)


# -- looking up --------------------------------------------------------------------------------------------------------


def look_up(
    context: RuleContext, func: Callable[..., Tensor], arguments: tuple[object, ...], index: Soft, block: int, size: int
) -> Shadow:
    """`func` of an integer index, at a soft one: a weighted sum, or a soft index over the integers found.

    arguments: func's, with "index" in the index's place; the data may be soft itself.
    block: the axis of the result at which the index's own axes begin.
    size: the length of the axis that is indexed.
    """
    if isinstance(index, SoftChoice):
        return chosen.look_up(context, func, arguments, index, block, size)
    weights, places = positions(context, index, size)
    data = next((argument for argument in arguments if isinstance(argument, Soft)), None)
    if data is None:
        return _found(context, func, arguments, weights, places, block)
    if isinstance(data, SoftIndex):
        arguments = tuple("data" if argument is data else argument for argument in arguments)
        return _composed(context, func, arguments, (weights, places), data, block)
    arguments = tuple(data.tensor if argument is data else argument for argument in arguments)
    found = _found(context, func, arguments, weights, places, block)
    return context.like(data, found) if isinstance(found, Tensor) and is_discrete(context.hard) else found


def _found(
    context: RuleContext,
    func: Callable[..., Tensor],
    arguments: tuple[object, ...],
    p: Tensor,
    places: Tensor,
    block: int,
) -> Shadow:
    weights, values = context.call(distributions.look_up, func, arguments, p, places, block)
    if not is_discrete(values):
        if values.shape[:-1] == context.hard.shape and _reads_infinities(context, func, arguments):
            return context.call(infinities.averaged, weights, values, context.hard)
        return context.call(distributions.weighted, weights, values)
    if values.dtype is torch.bool:
        return context.soft_bool(context.call(distributions.weighted, weights, values))
    return context.soft_index(weights, values)


def _reads_infinities(context: RuleContext, func: Callable[..., Tensor], arguments: tuple[object, ...]) -> bool:
    """Return True if what is looked into may hold infinities; the table of an embedding holds none."""
    data = (argument for argument in arguments if isinstance(argument, Tensor | Soft))
    return func is not F.embedding and any(may_be_infinite(context, operand) for operand in data)


def _composed(
    context: RuleContext, func: Callable[..., Tensor], arguments: tuple[object, ...], where: tuple[Tensor, Tensor],
    data: SoftIndex, block: int,
) -> SoftIndex:  # fmt: skip
    """Soft indices looked up by a soft index."""
    weights = context.call(distributions.compose, func, arguments, *where, data.weights, block)
    if data.support is None or data.support.dim() == 1:
        return context.soft_index(context.call(torch.sum, weights, -2), data.support)
    if weights.shape[-2] * weights.shape[-1] > MOST_POINTS:
        raise CannotSoften(f"a composition of indices over more than {MOST_POINTS} points")
    full = context.call(Tensor.expand, data.support, data.weights.shape)
    support = context.call(distributions.found_points, func, arguments, *where, full, block)
    return context.soft_index(context.call(torch.flatten, weights, -2), context.call(torch.flatten, support, -2))


def positions(context: RuleContext, index: Soft, size: int) -> tuple[Tensor, Tensor]:
    """A shadow as weights over positions on an axis of `size`.  # -> (..., [n]), broadcastable to (..., [n])"""
    if isinstance(index, SoftSum):
        index = index.as_place(context.call, size)
    elif isinstance(index, SoftCount):
        weights, legal = context.call(distributions.count_positions, index.value, size)
        return weights, legal
    weights, support = index.finite(context.call)
    if isinstance(index, SoftIndex) and index.support is None and index.size <= size:
        return weights, support
    return weights, context.call(distributions.legal_points, support, size)


def may_be_infinite(context: RuleContext, operand: Operand) -> bool:
    """Return False for what is known to be finite: numbers of a finite fill, and whole ones."""
    fill = context.fill(operand) if isinstance(operand, Tensor) else operand
    if isinstance(fill, int | float):
        return excludes(fill)
    if isinstance(operand, Tensor):
        return operand.is_floating_point() and not context.is_integral(operand, by_elements=False)
    return isinstance(operand, SoftReal)


def far_from(context: RuleContext, *operands: Operand) -> float:
    """The least size of a number that stands for an infinite one among these operands."""
    fills = [context.fill(operand) if isinstance(operand, Tensor) else operand for operand in operands]
    return _EXCLUDES if any(map(excludes, fills)) else torch.inf


def spans(index: Operand, data: Operand, size: int) -> TypeGuard[SoftIndex]:
    """Return True if `index` ranges over exactly the rows of real `data`: a weighted sum then needs no points."""
    return (
        isinstance(index, SoftIndex)
        and index.support is None
        and index.size == size
        and isinstance(data, Tensor)
        and data.is_floating_point()
    )


def _gather(
    context: RuleContext, input: TensorOrSoft, dim: int, index: TensorOrSoft, *, sparse_grad: bool = False
) -> Shadow:
    if not isinstance(index, Soft):
        assert isinstance(input, Soft)  # one of the two is
        return input.moved(context.call, torch.gather, dim, index)
    size = shape_of(input)[dim]
    if spans(index, input, size):
        if may_be_infinite(context, input):
            return context.call(infinities.gathered, input, dim, index.weights, context.hard)
        return context.call(softtorch.gather, input, dim, index.weights)
    axis = dim % max(len(shape_of(input)), 1)  # counted from the front: slices of distributions have one axis less
    return look_up(context, torch.gather, (input, axis, "index"), index, 0, size)


def _take_along_dim(context: RuleContext, input: TensorOrSoft, indices: TensorOrSoft, dim: int | None = None) -> Shadow:
    if not isinstance(indices, Soft):
        assert isinstance(input, Soft)  # one of the two is
        return input.moved(context.call, torch.take_along_dim, indices, dim)
    shape = shape_of(input)
    size = shape.numel() if dim is None else shape[dim]
    if dim is not None and spans(indices, input, size) and len(shape_of(indices)) == len(shape):
        if may_be_infinite(context, input):
            return context.call(infinities.taken_along_dim, input, indices.weights, dim, context.hard)
        return context.call(softtorch.take_along_dim, input, indices.weights, dim)
    return look_up(context, torch.take_along_dim, (input, "index", dim), indices, 0, size)


def _take(context: RuleContext, input: TensorOrSoft, index: TensorOrSoft) -> Shadow:
    if not isinstance(index, Soft):
        assert isinstance(input, Soft)  # one of the two is
        return input.moved(context.call, torch.take, index)
    flat: Any = (
        input.moved(context.call, torch.flatten) if isinstance(input, Soft) else context.call(torch.flatten, input)
    )
    return look_up(context, Tensor.__getitem__, (flat, "index"), index, 0, shape_of(input).numel())


def _index_select(context: RuleContext, input: TensorOrSoft, dim: int, index: TensorOrSoft) -> Shadow:
    if not isinstance(index, Soft):
        assert isinstance(input, Soft)  # one of the two is
        return input.moved(context.call, torch.index_select, dim, index)
    axis = dim % max(len(shape_of(input)), 1)
    return look_up(context, torch.index_select, (input, axis, "index"), index, axis, shape_of(input)[axis])


def _embedding(
    context: RuleContext, input: TensorOrSoft, weight: TensorOrSoft, padding_idx: int | None = None,
    max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Shadow:  # fmt: skip
    if max_norm is not None:
        raise CannotSoften("embedding with max_norm renormalises its table in place")
    if not isinstance(input, Soft):
        raise CannotSoften("a table of soft values")
    if spans(input, weight, weight.shape[0]):
        return context.call(softtorch.embedding, input.weights, weight)
    return look_up(context, F.embedding, ("index", weight), input, 0, weight.shape[0])


# -- losses ------------------------------------------------------------------------------------------------------------


def _nll_loss(
    context: RuleContext, input: TensorOrSoft, target: TensorOrSoft, weight: Tensor | None = None,
    size_average: bool | None = None, ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
) -> Shadow:  # fmt: skip
    return _expected_loss(context, F.nll_loss, input, target, weight, ignore_index, reduction)


def _cross_entropy(
    context: RuleContext, input: TensorOrSoft, target: TensorOrSoft, weight: Tensor | None = None,
    size_average: bool | None = None, ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Shadow:  # fmt: skip
    if label_smoothing and (weight is not None or reduction != "mean" or not isinstance(target, Soft)):
        raise CannotSoften("cross_entropy with label smoothing and weights has no rule for soft targets")
    loss = _expected_loss(context, F.cross_entropy, input, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return loss
    logits = as_number(context, input, context.hard)
    uniform = context.call(torch.mean, context.call(F.log_softmax, logits, 0 if logits.dim() == 1 else 1))
    return context.call(torch.lerp, loss, context.call(torch.neg, uniform), label_smoothing)


def _expected_loss(
    context: RuleContext, loss: Callable[..., Tensor], input: TensorOrSoft, target: TensorOrSoft,
    weight: Tensor | None, ignored: int, reduction: str,
) -> Shadow:  # fmt: skip
    """The loss of each class, weighted by the probability that it is the target."""
    data = as_number(context, input, context.hard)
    if not isinstance(target, Soft):
        return context.call(loss, data, target, weight=weight, ignore_index=ignored, reduction=reduction)
    p, classes = target.finite(context.call)
    return context.call(distributions.expected_loss, loss, data, p, classes, weight, ignored, reduction)


# -- records -----------------------------------------------------------------------------------------------------------


def selecting(code: str, operation: Operation, propagate: RuleFunction, soft: str) -> Rule:
    """The record of a consumer."""
    return Rule(
        code,
        operation,
        "selection",
        "Selects by a bool or an index; with a soft one it becomes a weighted sum.",
        "It follows what reaches it.",
        "SoftTorch 0.1.1 documentation",
        soft=soft,
        propagate=propagate,
        options=(),
    )


def _places(args: Args, kwargs: Kwargs) -> Operation | None:
    """The operation that where(condition) alone is."""
    return ops.nonzero if len(args) + len(kwargs) == 1 else None


RULES = (
    replace(selecting("SX501", ops.where, _where, "softtorch.where"), becomes=_places),
    selecting("SX502", ops.masked_fill, masked_fill, "softtorch.where"),
    selecting("SX503", ops.gather, _gather, "softtorch.gather"),
    selecting("SX504", ops.take_along_dim, _take_along_dim, "softtorch.take_along_dim"),
    selecting("SX505", ops.index_select, _index_select, "softtorch.index_select"),
    selecting("SX506", ops.embedding, _embedding, "softtorch.embedding"),
    selecting("SX513", ops.take, _take, "softtorch.take"),
    selecting("SX514", ops.nll_loss, _nll_loss, "softtorch.where"),
    selecting("SX515", ops.cross_entropy, _cross_entropy, "softtorch.where"),
)
