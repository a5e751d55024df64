"""Rows that a soft mask selects: x[mask] is all of x with the probability of each row, until the rows are reduced.

ROW_RULES says what becomes of such rows, by the action that an operation has on them (`Operation.rows`): functions that
act on each row by itself are called with all of them, sums and means become weighted ones, and y[mask] = rows a soft
where. Any other operation takes the rows that the original selects. To teach an operation, give its record in
softfx.ops.table the action that fits; to add an action, add it to `Rows` and its rule here.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx import ops, torch_private
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Operation, Rows
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules import joined, row_places
from softfx.rules.context import Operand, RuleContext, Shadow, TensorOrSoft
from softfx.rules.readings import as_real, out_of_place
from softfx.rules.refusals import CannotSoften, is_discrete
from softfx.rules.row_operands import (
    are_same,
    as_softs,
    count_of,
    hardened,
    jointly,
    rows_of,
    selections_in,
    softs_of,
    spread,
    standing,
    stands_after,
    stood_for,
    with_all_rows,
)
from softfx.rules.rule import Rule
from softfx.runtime import distributions, selections, ties
from softfx.values import SelectedRows, Soft, SoftBool, SoftIndex

__all__ = ["ROW_RULES", "RowRule", "keeps_rows", "row_rule_of", "selected", "selected_again"]

_ALONG_THE_ROWS = "it runs along the rows that a soft mask selects, whose number depends on data"
_OTHER_AXIS = "the rows that a soft mask selects become an axis of something else"
_PART = "a part of the rows that a soft mask selects"


@dataclass(frozen=True)
class RowRule:
    """The rule of one action on rows that a soft mask selects.

    propagate(context, operation, rule, *args, **kwargs): the call's own arguments, soft operands replaced by their
        `Soft`; rule is the operation's own, or None. It raises `CannotSoften` for operands that it cannot serve.
    reduces: its result is no rows.
    """

    propagate: Function
    reduces: bool = False


def row_rule_of(operation: Operation) -> RowRule | None:
    """The rule of an operation's action on selected rows, or None where it takes those that the original selects."""
    return ROW_RULES.get(operation.rows)


def selected(context: RuleContext, input: TensorOrSoft, mask: SoftBool, chosen: Tensor) -> SelectedRows:
    """x[mask].  # x (*mask, ...) -> rows (n, ...), probabilities (n)"""
    if isinstance(input, SoftIndex):
        raise CannotSoften("x[mask] has a shape that depends on data; its rows are soft indices")
    data = as_real(context, input)
    rank = mask.probability.dim()
    rows = context.call(torch.flatten, data, 0, rank - 1) if rank > 1 else data
    flat = context.call(torch.flatten, chosen)
    # What is asked of a NaN has an answer, and no probability.
    probabilities = context.call(distributions.settled, context.call(torch.flatten, mask.probability), flat)
    return replace(context.selected_rows(rows, probabilities, flat), stands=stood_for(input))


def selected_again(context: RuleContext, input: TensorOrSoft, mask: SelectedRows, chosen: Tensor) -> SelectedRows:
    """rows[mask], of rows that a soft mask selects, by a decision about them: rows that both select.

    chosen: the hard mask, of the rows that the original selects.  # (m)
    """
    if not isinstance(input, SelectedRows) or not are_same(input.probabilities, mask.probabilities):
        raise CannotSoften("rows that a soft mask selects meet a tensor of other rows")
    if torch_private.fake_mode_of(mask.mask) is not None:
        raise CannotSoften("rows of rows have a shape that depends on data")
    context.recognise("masked twice: rows that both masks select")
    flat = context.call(selections.within, mask.mask, chosen)
    truth = context.call(Tensor.to, mask.rows, mask.probabilities.dtype)
    first, second = (context.soft_bool(p) for p in (mask.probabilities, truth))
    both = joined.both(torch.mul)(context, first, second)
    found = context.selected_rows(input.rows, context.call(distributions.settled, both.probability, flat), flat)
    return replace(found, stands=input.stands)


# -- functions of each row ---------------------------------------------------------------------------------------------


def _each(context: RuleContext, operation: Operation, rule: Rule | None, *args: object, **kwargs: object) -> Shadow:
    """Row by row: made of all rows; a decision among them as the site's policy has it."""
    parts = selections_in((args, tuple(kwargs.values())))
    first, decides = parts[0], any(not is_discrete(part.rows) for part in parts)  # of places there is nothing to decide
    args, kwargs = map_tensors(lambda tensor: spread(context, first, tensor), (args, kwargs))
    if rule is not None and rule.propagate is not None and any(part.stands != "real" for part in parts):
        return _each_of_softs(context, rule, first, args, kwargs)
    args, kwargs = with_all_rows(args), {key: with_all_rows(value) for key, value in kwargs.items()}
    result = context.call(out_of_place(context), *args, **kwargs)
    if rule is None or rule.relax is None or not decides or not (rule.family == "unsafe" or context.options):
        return rows_of(context, first, result)
    made = rows_of(context, first, _one(rule.relax(context.with_hard(result), *args, **kwargs)))
    if rule.ties is None or context.exact:
        return made
    tied = context.call(rule.ties, *args, **kwargs)
    return replace(made, rows=context.call(ties.settled, made.rows, result, tied))


def _each_of_softs(
    context: RuleContext, rule: Rule, first: SelectedRows, args: Args, kwargs: Mapping[str, object]
) -> Shadow:
    """Row by row, of what has been decided of each row: `(rows > low) & (rows < high)`, `rows.round() >= 2`."""
    hard_args, hard_kwargs = hardened(context, (args, dict(kwargs)))
    args, kwargs = as_softs(context, (args, dict(kwargs)))
    result = context.call(out_of_place(context), *hard_args, **hard_kwargs)
    assert rule.propagate is not None
    return rows_of(context, first, _one(rule.propagate(context.with_hard(result), *args, **kwargs)))


def _one(made: Shadow) -> TensorOrSoft:
    assert isinstance(made, Tensor | Soft)  # of one result
    return made


def _along_own_axes(
    context: RuleContext, operation: Operation, rule: Rule | None, input: Operand, *args: object, **kwargs: object
) -> Shadow:
    """A function of each row's own axes: linear layers, normalisations, norms, softmax along another axis."""
    if not isinstance(input, SelectedRows) or softs_of((args, tuple(kwargs.values()))):
        raise CannotSoften("rows that a soft mask selects stand where weights are wanted")
    rows = input.rows
    if 0 in _axes(context, operation, rows.dim(), args, kwargs):
        raise CannotSoften(_ALONG_THE_ROWS)
    if rule is not None and rule.relax is not None and _is_guarded(context, rule, (rows, *args), kwargs):
        return rows_of(context, input, _one(rule.relax(context, rows, *args, **kwargs)))
    result = rows_of(context, input, context.call(out_of_place(context), rows, *args, **kwargs))
    return replace(result, stands=stands_after(operation, input, args, kwargs))


def _axes(context: RuleContext, operation: Operation, rank: int, args: Args, kwargs: Kwargs) -> set[int]:
    """The axes that an operation runs along; without an axis argument the last one, and all where none is given."""
    if operation.dim is None:
        return {rank - 1}
    place = operation.dim - 1  # `args` begins after the input
    dim = kwargs["dim"] if "dim" in kwargs else args[place] if place < len(args) else _default_axis(context)
    if dim is None or (isinstance(dim, Sequence) and not dim):
        return set(range(rank))
    return {axis % rank for axis in (dim if isinstance(dim, Sequence) else (dim,))}


def _default_axis(context: RuleContext) -> Any:
    """The axis that a function runs along where its call gives none, or None for all of them."""
    try:
        dim = inspect.signature(context.func).parameters["dim"].default
    except (ValueError, KeyError):  # a built-in function, which shows no arguments
        return None
    return None if dim is inspect.Parameter.empty else dim


def _is_guarded(context: RuleContext, rule: Rule, args: Args, kwargs: Kwargs) -> bool:
    """Return True for a call whose derivative is infinite somewhere."""
    return rule.family == "unsafe" and (rule.is_site is None or rule.is_site(context.func, args, kwargs))


# -- shapes and keys ---------------------------------------------------------------------------------------------------


def _joined(added_axes: int) -> RowRule:
    """cat and stack along the rows' own axes."""

    def propagate(
        context: RuleContext, operation: Operation, rule: Rule | None, tensors: Sequence[Operand], dim: int = 0
    ) -> Shadow:
        parts = selections_in(tensors)
        rank = parts[0].rows.dim() + added_axes
        if len(parts) != len(tensors) or dim % rank == 0:
            raise CannotSoften("rows that a soft mask selects are joined with others")
        joint = rows_of(context, parts[0], context.call(context.func, [part.rows for part in parts], dim))
        return replace(joint, stands=jointly(parts))

    return RowRule(propagate)


def _reshaped(
    context: RuleContext, operation: Operation, rule: Rule | None, input: SelectedRows, *args: Any, **kwargs: Any
) -> Shadow:
    """reshape, flatten and squeeze, where each row has another shape and there are as many."""
    own = input.rows.shape[1:]
    count = count_of(input)
    shape = context.func(torch.empty((count, *own), device="meta"), *args, **kwargs).shape
    if not shape or shape[0] != count or math.prod(shape[1:]) != math.prod(own):
        raise CannotSoften(_OTHER_AXIS)
    return context.like(input, context.call(torch.reshape, input.rows, (input.rows.shape[0], *shape[1:])))


def _parted(
    context: RuleContext, operation: Operation, rule: Rule | None, input: SelectedRows, *args: Any, **kwargs: Any
) -> tuple[Shadow, ...]:
    """chunk, split and unbind along an axis of each row."""
    dim = kwargs["dim"] if "dim" in kwargs else args[-1] if len(args) > (operation is not ops.unbind) else 0
    if not isinstance(dim, int) or dim % input.rows.dim() == 0:
        raise CannotSoften(_OTHER_AXIS)
    return tuple(context.like(input, part) for part in context.call(context.func, input.rows, *args, **kwargs))


def _extended(context: RuleContext, operation: Operation, rule: Rule | None, input: SelectedRows, dim: int) -> Shadow:
    """unsqueeze along the rows' own axes."""
    if dim % (input.rows.dim() + 1) == 0:
        raise CannotSoften(_OTHER_AXIS)
    return context.like(input, context.call(out_of_place(context), input.rows, dim))


def _indexed(context: RuleContext, operation: Operation, rule: Rule | None, input: Operand, key: object) -> Shadow:
    """rows[:, key]: the same of every row; table[places]: what is found at each place."""
    if softs_of(key) and isinstance(input, Tensor):
        return row_places.read(context, input, key)
    if not isinstance(input, SelectedRows) or softs_of(key):
        raise CannotSoften(row_places.AS_INDEX)
    first = key[0] if isinstance(key, tuple) and key else key
    if first is not Ellipsis and first != slice(None):
        raise CannotSoften(_PART)
    if tensors_in(key) or (first is Ellipsis and input.rows.dim() < 2):
        raise CannotSoften(_PART)
    return context.like(input, context.call(Tensor.__getitem__, input.rows, key))


# -- reductions --------------------------------------------------------------------------------------------------------


def _reduced(function: Callable[..., Tensor]) -> RowRule:
    """A sum or mean, weighted by the probability of each row."""

    def propagate(
        context: RuleContext, operation: Operation, rule: Rule | None, input: SelectedRows, *args: Any, **kwargs: Any
    ) -> Shadow:
        given = _given(operation, args, kwargs)
        axes = _summed_axes(given.pop("dim", None), input.rows.dim())
        stands = stands_after(operation, input, args, kwargs)
        if 0 not in axes:
            result = rows_of(context, input, context.call(out_of_place(context), input.rows, *args, **kwargs))
            return replace(result, stands=stands)
        given.pop("dtype", None)  # the hard result has it
        value = context.call(function, input.rows, input.probabilities, input.mask, axes, **given)
        return context.soft_count(value) if is_discrete(context.hard) or stands == "count" else value

    return RowRule(propagate, reduces=True)


def _given(operation: Operation, args: Args, kwargs: Kwargs) -> dict[str, Any]:
    """The arguments of a reduction behind its input, by name; of a variance, its correction."""
    if operation.rows not in (Rows.VARIANCE, Rows.DEVIATION):
        return dict(zip(("dim", "keepdim"), args, strict=False)) | kwargs
    names = ("unbiased",) if args and isinstance(args[0], bool) else ("dim", "unbiased", "keepdim")
    given = dict(zip(names, args, strict=False)) | kwargs
    by_flag = 1 if given.pop("unbiased", True) else 0
    correction = given.get("correction")
    return given | {"correction": by_flag if correction is None else correction}


def _summed_axes(dim: int | Sequence[int] | None, rank: int) -> list[int]:
    given = (dim,) if isinstance(dim, int) else tuple(dim or ())
    return sorted({axis % rank for axis in given} or range(rank))


def _counted(
    context: RuleContext, operation: Operation, rule: Rule | None, input: SelectedRows,
    dim: int | Sequence[int] | None = None,
) -> Shadow:  # fmt: skip
    """How many elements are not 0: the sum of their probabilities."""
    own = standing(context, input)
    if isinstance(own, Soft):
        truth = own.truth(context.call)
    else:
        zero = context.call(torch.zeros, (), dtype=own.dtype, device=own.device)
        truth = context.call(softtorch.not_equal, own, zero, **(context.options or {"mode": "hard"}))
    axes = _summed_axes(dim, truth.dim())
    if 0 not in axes:
        return rows_of(context, input, context.soft_count(context.call(torch.sum, truth, axes)))
    return context.soft_count(context.call(selections.total, truth, input.probabilities, input.mask, axes))


def keeps_rows(operation: Operation, rank: int, args: Args, kwargs: Mapping[str, object]) -> bool:
    """Return True if a reduction of rows runs along axes of each row alone, so that its result is rows again.

    args: those after the rows.
    """
    if operation.dim is None or operation.rows is Rows.LOSS:
        return False
    given = kwargs["dim"] if "dim" in kwargs else args[0] if args else None
    axes = (given,) if isinstance(given, int) else given
    if not isinstance(axes, tuple | list) or not axes or not all(isinstance(axis, int) for axis in axes):
        return False
    return all(axis % rank for axis in axes)


def _extreme(function: Function, largest: bool) -> RowRule:
    """The largest or smallest number of all, without the rows that are left out."""

    def propagate(
        context: RuleContext, operation: Operation, rule: Rule | None, input: SelectedRows,
        dim: int | Sequence[int] | None = None, keepdim: bool = False,
    ) -> Shadow:  # fmt: skip
        if dim not in (None, ()) or keepdim:
            raise CannotSoften("an extreme along one axis of the rows that a soft mask selects")
        left = context.call(selections.left_out, input.rows, input.probabilities, input.mask, largest)
        value: Tensor = context.call(function, left, **(context.options or {"mode": "hard"}))
        return value

    return RowRule(propagate, reduces=True)


def _loss(
    context: RuleContext, operation: Operation, rule: Rule | None, input: Operand, target: Operand, *,
    reduction: str = "mean", **options: Any,
) -> Shadow:  # fmt: skip
    """A loss of rows and targets: the loss of each row, weighted by its probability."""
    parts = selections_in((input, target))
    if options.get("ignore_index", 0) < 0:  # no target is
        del options["ignore_index"]
    if len(parts) != 2 or reduction not in ("mean", "sum") or any(options.values()):
        raise CannotSoften("a loss of rows that a soft mask selects, beside others or with weights")
    rows, targets = parts
    losses = context.call(operation.function, rows.rows, targets.rows, reduction="none")
    function = selections.mean if reduction == "mean" else selections.total
    return context.call(function, losses, rows.probabilities, rows.mask)


# -- writing back ------------------------------------------------------------------------------------------------------


def _written(
    context: RuleContext, operation: Operation, rule: Rule | None, input: TensorOrSoft, key: object, value: Operand
) -> Shadow:
    """y[mask] = rows, by the mask that selected them: where(mask, rows, y)."""
    if any(isinstance(soft, SelectedRows) for soft in softs_of(key)):
        return row_places.written_at(context, input, key, value)
    mask, *of_each = key if isinstance(key, tuple) and key else (key,)
    if any(part is not Ellipsis and part != slice(None) for part in of_each):
        raise CannotSoften("a part of the rows that a soft mask selects is written")
    if not isinstance(value, SelectedRows) or not isinstance(mask, SoftBool):
        raise CannotSoften("rows that a soft mask selects are written elsewhere")
    probability = mask.probability
    if operation is ops.masked_scatter and probability.shape != context.hard.shape:
        raise CannotSoften("rows that a soft mask selects are scattered by a mask of fewer axes")
    if not are_same(value.probabilities, context.call(torch.flatten, probability)):
        raise CannotSoften("rows that a soft mask selects are written where another is true")
    base = as_real(context, input)
    shape = (*probability.shape, *(1,) * (base.dim() - probability.dim()))
    weight = context.call(torch.reshape, probability, shape)
    rows = context.call(torch.reshape, value.rows, base.shape)
    like = base if not is_discrete(base) else weight
    written = context.call(selections.placed, weight, rows, base, like)
    if not is_discrete(context.hard):
        return written
    return context.soft_bool(written) if context.hard.dtype is torch.bool else context.soft_count(written)


# By the action of an operation; the others need the selected rows alone and at once.
ROW_RULES: Mapping[Rows, RowRule] = {
    Rows.EACH: RowRule(_each),
    Rows.WEIGHED: RowRule(_each),
    Rows.OWN_AXES: RowRule(_along_own_axes),
    Rows.JOINED: _joined(0),
    Rows.STACKED: _joined(1),
    Rows.RESHAPED: RowRule(_reshaped),
    Rows.PARTED: RowRule(_parted),
    Rows.EXTENDED: RowRule(_extended),
    Rows.INDEXED: RowRule(_indexed),
    Rows.WRITTEN: RowRule(_written, reduces=True),
    Rows.LOOKED_UP: RowRule(row_places.looked_up),
    Rows.ADDED: RowRule(row_places.added, reduces=True),
    Rows.TOTAL: _reduced(selections.total),
    Rows.COUNT: RowRule(_counted, reduces=True),
    Rows.MEAN: _reduced(selections.mean),
    Rows.VARIANCE: _reduced(selections.variance),
    Rows.DEVIATION: _reduced(selections.deviation),
    Rows.LARGEST: _extreme(softtorch.max, True),
    Rows.SMALLEST: _extreme(softtorch.min, False),
    Rows.LOSS: RowRule(_loss, reduces=True),
}
