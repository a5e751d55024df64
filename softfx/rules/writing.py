"""Consumers of soft indices that write: one_hot, scatter, index_add, bincount and their kin.

A value that a soft index writes is spread over its points by their weights; integers written by it stay soft indices
where each result is one of the integers written. x[key] = value is in indexing.py. To add a consumer that writes, make
it of `put` or `_scattered` and append its record to RULES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Kwargs
from softfx.ops.operation import Operation
from softfx.rules.chosen import counted as counted_places
from softfx.rules.chosen_writes import as_hard, in_form, put_by_choice, scattered_by_choice
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.idioms import CHOSEN
from softfx.rules.readings import as_number, counted, shape_of, softs_in
from softfx.rules.refusals import CannotSoften, is_discrete
from softfx.rules.rule import Rule
from softfx.rules.selection import MOST_POINTS, excludes, far_from, masked_fill, may_be_infinite, positions, selecting
from softfx.runtime import distributions, infinities, places, selections
from softfx.values import Soft, SoftChoice, SoftIndex

__all__ = ["RULES", "put", "reduced"]

_INVERSE = "inverse permutation: numbers written in an order"


def _one_hot(context: RuleContext, tensor: Soft, num_classes: int = -1) -> Shadow:
    classes = context.hard.shape[-1]
    if isinstance(tensor, SoftChoice):
        tensor = tensor.as_index(context.call)  # the program has a tensor of that size, too
    _note_mask(context, tensor, classes, 0, 1)
    return context.soft_bool(_distribution(context, tensor, classes))


def _note_mask(context: RuleContext, index: Soft, size: int, before: object, written: object) -> None:
    """Tell that whole numbers are written at the chosen ones of places that held such: ones among zeros."""
    if not isinstance(index, SoftIndex) or index.support is not None or index.size != size or index.is_permutation:
        return
    if all(_is_whole(context, operand) for operand in (before, written)):
        context.recognise(CHOSEN)


def _is_whole(context: RuleContext, operand: object) -> bool:
    """Return True for a number or a tensor of whole numbers, none of which has a derivative."""
    if isinstance(operand, Tensor):
        return not context.is_source(operand) and context.is_integral(operand)
    return isinstance(operand, int | float) and float(operand).is_integer()


def _distribution(context: RuleContext, index: Soft, size: int, once: bool = False) -> Tensor:
    """A soft index as the probability of each position; a permutation takes each `once`.  # -> (..., [size])"""
    if once and isinstance(index, SoftIndex) and index.is_permutation and index.size == size:
        context.recognise(_INVERSE)
        return context.call(places.covering, index.weights, index.distinct)
    if isinstance(index, SoftIndex) and index.support is None and index.size == size:
        return index.weights
    weights, legal = positions(context, index, size)
    probabilities: Tensor = context.call(distributions.histogram, weights, legal, size)
    return probabilities


# -- scatter -----------------------------------------------------------------------------------------------------------


def _scatter(
    context: RuleContext, input: Any, dim: int, index: TensorOrSoft, src: Any = None, *, value: Any = None,
    reduce: str | None = None,
) -> Shadow:  # fmt: skip
    source = src if src is not None else value
    if reduce == ops.add.name:  # torch's words for a reduction of scatter are names of operations
        return _scattered(context, torch.scatter_add, softtorch.scatter_add, input, dim, index, source)
    if reduce is not None:
        raise CannotSoften(f"scatter with reduce={reduce!r} has no rule")
    if isinstance(index, SoftChoice):
        return scattered_by_choice(context, input, dim, index, source, False)
    if isinstance(index, Soft) and _integers(context, input, source):
        return _rearranged(context, input, dim, index, source)
    return _scattered(context, torch.scatter, softtorch.scatter, input, dim, index, source)


def _scatter_add(context: RuleContext, input: TensorOrSoft, dim: int, index: TensorOrSoft, src: TensorOrSoft) -> Shadow:
    return _scattered(context, torch.scatter_add, softtorch.scatter_add, input, dim, index, src)


def _scatter_reduce(
    context: RuleContext, input: TensorOrSoft, dim: int, index: TensorOrSoft, src: TensorOrSoft, reduce: str, *,
    include_self: bool = True,
) -> Shadow:  # fmt: skip
    if reduce == "sum" and include_self:
        return _scatter_add(context, input, dim, index, src)
    if isinstance(index, Soft):
        return reduced(context, input, dim, index, src, reduce, include_self)
    like = softs_in((input, src))[0].tensor
    data, values = as_number(context, input, like), as_number(context, src, like)
    result = context.call(torch.scatter_reduce, data, dim, index, values, reduce, include_self=include_self)
    return in_form(context, result, input, src)


def _extremum(args: Args, kwargs: Kwargs) -> Operation | None:
    """The operation that the largest or smallest of each group is."""
    reduce = args[4] if len(args) > 4 else kwargs.get("reduce")
    return ops.scatter_extremum if reduce in ("amax", "amin") else None


def reduced(
    context: RuleContext, input: TensorOrSoft, dim: int, index: Soft, src: TensorOrSoft, reduce: str, include_self: bool
) -> Shadow:
    """The largest, the smallest or the mean of what a soft index brings to each place."""
    if reduce not in ("amax", "amin", "mean"):
        raise CannotSoften(f"scatter_reduce with reduce={reduce!r} by a soft index has no rule")
    data, values = as_number(context, input, index.tensor), as_number(context, src, index.tensor)
    axis = dim % max(data.dim(), 1)
    p = _distribution(context, index, data.shape[axis])
    extreme = places.placed_extreme if context.exact else places.gathered_extreme
    function = places.gathered_mean if reduce == "mean" else extreme
    options = {} if reduce == "mean" else {"largest": reduce == "amax"}
    return in_form(context, context.call(function, data, axis, p, values, include_self, **options), input, src)


def _scattered(
    context: RuleContext, exact: Callable[..., Tensor], soft: Callable[..., Tensor], input: TensorOrSoft, dim: int,
    index: TensorOrSoft, src: Operand,
) -> Shadow:  # fmt: skip
    if isinstance(index, SoftChoice):
        return scattered_by_choice(context, input, dim, index, src, exact is torch.scatter_add)
    like = softs_in((input, index, src))[0].tensor
    data, values = as_hard(context, input, like), as_hard(context, src, like)
    assert isinstance(data, Tensor)  # as what is written into is
    if not isinstance(index, Soft):
        return in_form(context, context.call(exact, data, dim, index, values), input, src)
    size = data.shape[dim]
    _note_mask(context, index, size, input, src)
    p = _distribution(context, index, size, once=exact is torch.scatter)
    if not isinstance(values, Tensor) and exact is torch.scatter and _leaves_out(context, input, values):
        zeros = context.call(torch.zeros_like, data)
        return masked_fill(context, input, context.soft_bool(context.call(soft, zeros, dim, p, 1.0)), values)
    if not isinstance(values, Tensor):
        values = context.call(torch.full, p.shape[:-1], values, dtype=data.dtype, device=data.device)
    if exact is torch.scatter and (may_be_infinite(context, input) or may_be_infinite(context, src)):
        operands = (data, dim, p, values, context.hard, far_from(context, input))
        return in_form(context, context.call(infinities.scattered, *operands), input, src)
    return in_form(context, context.call(soft, data, dim, p, values), input, src)


def _leaves_out(context: RuleContext, input: Operand, value: float) -> bool:
    """Return True for -inf beside 0: no average of the two is of use, but one leaves out what the other leaves in."""
    fill = context.fill(input) if isinstance(input, Tensor) else None
    return not is_discrete(context.hard) and (excludes(value) or excludes(fill))


def _integers(context: RuleContext, input: Operand, src: Operand) -> bool:
    """Return True if hard integers are written into hard integers."""
    operands = (context.hard, input, src)
    return context.hard.dtype is not torch.bool and all(is_discrete(operand) for operand in operands)


def _rearranged(context: RuleContext, input: Tensor, dim: int, index: Soft, src: Tensor) -> Shadow:
    """Integers scattered by a soft index: each result is one of those written, or what was there."""
    axis = dim % max(input.dim(), 1)
    shape = shape_of(index)
    same = all(shape[i] == input.shape[i] for i in range(input.dim()) if i != axis)
    if not same or shape[axis] >= MOST_POINTS or input.dim() == 0:
        return _scattered(context, torch.scatter, softtorch.scatter, input, dim, index, src)
    weights, support = context.call(
        distributions.rearranged, input, axis, _distribution(context, index, input.shape[axis], once=True), src
    )
    return context.soft_index(weights, support)


# -- writes in general -------------------------------------------------------------------------------------------------


def put(
    context: RuleContext, input: TensorOrSoft, key: tuple[object, ...], index: Soft, size: int, value: Operand,
    block: int, add: bool,
) -> Shadow:  # fmt: skip
    """input[key] = value, or += value, at a soft index held in the key by the string "index".

    size: the length of the axis that is indexed.  block: the axis of input[key] at which the index's axes begin.
    """
    if isinstance(index, SoftChoice):
        return put_by_choice(context, input, key, index, size, value, add)
    _note_mask(context, index, size, input, value)
    weights, legal = positions(context, index, size)
    if not add and isinstance(index, SoftIndex) and index.is_permutation and index.size == size:
        context.recognise(_INVERSE)
        weights = context.call(places.covering, weights, index.distinct)
    data, values = as_number(context, input, weights), as_number(context, value, weights)
    where = (key, weights, legal)
    if not add and isinstance(value, int | float) and _leaves_out(context, input, value):
        zeros = context.call(torch.zeros_like, data)
        left_out = context.call(distributions.put, zeros, *where, 1.0, block, False)
        return masked_fill(context, input, context.soft_bool(left_out), value)
    infinite = not add and (may_be_infinite(context, input) or may_be_infinite(context, value))
    if infinite and context.meets_nan and not isinstance(values, Tensor):
        values = context.call(torch.full, (), values, dtype=data.dtype, device=data.device)
    if infinite and isinstance(values, Tensor):
        far = far_from(context, input)
        result = context.call(infinities.put, data, *where, values, block, context.hard, far)
    else:
        result = context.call(distributions.put, data, *where, values, block, add)
    return in_form(context, result, input, value)


def _index_write(add: bool) -> RuleFunction:
    """The propagation of index_add, and of index_copy."""

    def propagate(
        context: RuleContext, input: TensorOrSoft, dim: int, index: Operand, source: Operand, *, alpha: float = 1
    ) -> Shadow:
        rank = context.hard.dim()
        axis = dim % max(rank, 1)
        if isinstance(index, Soft):
            if alpha != 1:
                raise CannotSoften("index_add by a soft index with alpha has no rule")
            key = (*(slice(None),) * axis, "index")
            return put(context, input, key, index, context.hard.shape[axis], source, axis, add)
        like = softs_in((input, source))[0].tensor
        options = {"alpha": alpha} if add else {}
        data, values = (as_hard(context, operand, like) for operand in (input, source))
        func = torch.index_add if add else torch.index_copy
        return in_form(context, context.call(func, data, dim, index, values, **options), input, source)

    return propagate


def _index_fill(context: RuleContext, input: TensorOrSoft, dim: int, index: TensorOrSoft, value: Operand) -> Shadow:
    axis = dim % max(context.hard.dim(), 1)
    if isinstance(index, Soft):
        key = (*(slice(None),) * axis, "index")
        return put(context, input, key, index, context.hard.shape[axis], value, axis, False)
    like = softs_in((input, value))[0].tensor
    data, filler = as_number(context, input, like), as_number(context, value, like)
    return in_form(context, context.call(torch.index_fill, data, dim, index, filler), input, value)


def _masked_scatter(context: RuleContext, input: TensorOrSoft, mask: TensorOrSoft, source: TensorOrSoft) -> Shadow:
    like = softs_in((input, mask, source))[0].tensor
    data, values = as_number(context, input, like), as_number(context, source, like)
    if isinstance(mask, Soft):
        written = context.call(selections.scattered, data, mask.truth(context.call), values)
    else:
        written = context.call(torch.masked_scatter, data, mask, context.call(Tensor.to, values, data.dtype))
    return in_form(context, written, input, source)


def _copy(context: RuleContext, input: TensorOrSoft, src: Operand, non_blocking: bool = False) -> Shadow:
    """What is written over a whole tensor: the shadow of that, in the type of the tensor."""
    shape = tuple(context.hard.shape)
    if not isinstance(src, Soft):
        if is_discrete(context.hard):  # nothing soft is left
            return None
        if context.exact or not isinstance(src, Tensor):  # of a constant the target requires a gradient if it did
            return counted(context, context.hard, src)
        return counted(context, context.call(Tensor.expand, as_number(context, src, context.hard), shape), src)
    if context.hard.dtype is torch.bool:
        return context.soft_bool(context.call(Tensor.expand, src.truth(context.call), shape))
    if not is_discrete(context.hard):
        return counted(context, context.call(Tensor.expand, as_number(context, src, context.hard), shape), src)
    if isinstance(src, SoftChoice):
        return src.moved(context.call, Tensor.expand, shape)
    axes = (src.tensor.shape[-1],) if isinstance(src, SoftIndex) else ()
    return context.like(src, context.call(Tensor.expand, src.tensor, (*shape, *axes)))


def _zero(context: RuleContext, input: TensorOrSoft) -> Shadow:
    return _copy(context, input, 0)


def _bincount(
    context: RuleContext, input: TensorOrSoft, weights: TensorOrSoft | None = None, minlength: int = 0
) -> Shadow:
    classes = context.hard.shape[0]
    if not isinstance(input, Soft):
        assert isinstance(weights, Soft)  # one of the two is
        values = as_number(context, weights, weights.tensor)
        zeros = context.call(torch.zeros, classes, dtype=values.dtype, device=values.device)
        return context.call(torch.index_add, zeros, 0, input, values)
    if isinstance(input, SoftChoice):
        amounts = None if weights is None else as_number(context, weights, input.kept)
        return counted(context, counted_places(context, input, classes, amounts), input, weights)
    p = _distribution(context, input, classes)
    factor = None if weights is None else as_number(context, weights, p)
    counts = context.call(softtorch.bincount, p, factor, classes)
    return counted(context, counts, input, weights)


RULES: tuple[Rule, ...] = (
    selecting("SX507", ops.one_hot, _one_hot, "softtorch.one_hot"),
    selecting("SX508", ops.scatter, _scatter, "softtorch.scatter"),
    selecting("SX509", ops.scatter_add, _scatter_add, "softtorch.scatter_add"),
    replace(
        selecting("SX516", ops.scatter_reduce, _scatter_reduce, "softtorch.scatter_add"),
        becomes=_extremum,
        stands_for=(ops.scatter_extremum,),
    ),
    selecting("SX517", ops.index_add, _index_write(True), "softtorch.scatter_add"),
    selecting("SX518", ops.index_copy, _index_write(False), "softtorch.scatter"),
    selecting("SX519", ops.index_fill, _index_fill, "softtorch.scatter"),
    selecting("SX524", ops.masked_scatter, _masked_scatter, "softtorch.where"),
    selecting("SX520", ops.bincount, _bincount, "softtorch.bincount"),
    selecting("SX521", ops.copy_, _copy, "torch.Tensor.copy_"),
    selecting("SX522", ops.fill, _copy, "torch.fill"),
    selecting("SX523", ops.zero_, _zero, "torch.zeros_like"),
)
