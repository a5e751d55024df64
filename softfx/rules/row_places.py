"""Places that a soft mask selects: `rows = mask.nonzero()`, `where(mask)`, and what is read and written at them.

The places are rows as x[mask] is: those of all elements, each with the probability of the mask there. What is read at
them is the rows of all elements, what is written there a soft where, what is added there weighted by probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from softfx import ops, torch_private
from softfx.ops.operation import Operation
from softfx.rules.context import Operand, RuleContext, Shadow, TensorOrSoft
from softfx.rules.readings import as_real, counted
from softfx.rules.refusals import CannotSoften, is_discrete
from softfx.rules.row_operands import are_same, selections_in, softs_of, with_all_rows
from softfx.rules.rule import Rule
from softfx.runtime import distributions, keys, selections
from softfx.values import SelectedRows, Soft

__all__ = ["AS_INDEX", "added", "looked_up", "places_of", "read", "written_at"]

AS_INDEX = "rows that a soft mask selects, as an index"


def places_of(context: RuleContext, mask: Soft, chosen: Tensor) -> SelectedRows:
    """The places of all elements, and the probability of each.  # (...) with d axes -> rows (n, d), probabilities (n)

    chosen: the hard mask, whose elements are bools or numbers that are not 0.
    """
    rows = context.call(torch.nonzero, context.call(torch.ones_like, chosen))
    truth = context.call(torch.flatten, mask.truth(context.call))
    flat = context.call(torch.flatten, context.call(torch.ne, chosen, 0))
    return context.selected_rows(rows, context.call(distributions.settled, truth, flat), flat)


def read(context: RuleContext, input: Tensor, key: object) -> Shadow:
    """table[places], table[places, columns], table[places, None]: what each row finds."""
    places = _places(key)
    return context.like(places[0], context.call(Tensor.__getitem__, input, with_all_rows(key)))


def written_at(context: RuleContext, input: TensorOrSoft, key: object, value: Operand) -> Shadow:
    """y[places] = rows, y[places] = number: at each place by its probability; no place may be there twice."""
    places = _places(key)
    at = with_all_rows(key)
    base = as_real(context, input)
    indices = [place.rows for place in places]
    if any(torch_private.fake_mode_of(index) is not None for index in indices) or not _are_distinct(indices):
        raise CannotSoften("rows that a soft mask selects are written where several of them may meet")
    before = context.call(Tensor.__getitem__, base, at)
    rows = _beside(context, places[0], value, before)
    like = base if not is_discrete(base) else places[0].probabilities
    new = context.call(selections.placed, _weights(context, places[0], before), rows, before, like)
    return _in_form(context, context.call(keys.write, context.call(Tensor.to, base, like.dtype), at, new))


def looked_up(
    context: RuleContext, operation: Operation, rule: Rule | None, input: TensorOrSoft, dim: int, index: Operand
) -> Shadow:
    """index_select(table, 0, places): table[places]."""
    if not isinstance(input, Tensor) or not isinstance(index, SelectedRows) or dim % max(input.dim(), 1):
        raise CannotSoften(AS_INDEX)
    return read(context, input, index)


def added(
    context: RuleContext, operation: Operation, rule: Rule | None, input: TensorOrSoft, dim: int, index: Operand,
    source: Operand, *, alpha: float = 1,
) -> Shadow:  # fmt: skip
    """index_add(y, 0, places, rows): y plus the rows, each weighted by its probability; index_copy writes them."""
    if not isinstance(index, SelectedRows) or dim % max(context.hard.dim(), 1):
        raise CannotSoften(AS_INDEX)
    if operation is not ops.index_add:
        return written_at(context, input, index, source)
    if not isinstance(source, SelectedRows):
        raise CannotSoften("a tensor of other rows is added at places that a soft mask selects")
    places = selections_in((index, source))[0]
    base = as_real(context, input)
    weighted = context.call(selections.weighted, source.rows, places.probabilities, places.mask)
    like = base if not is_discrete(base) else weighted
    at = with_all_rows(index)
    base, weighted = (context.call(Tensor.to, tensor, like.dtype) for tensor in (base, weighted))
    return counted(context, context.call(torch.index_add, base, dim, at, weighted, alpha=alpha), input, source)


def _places(key: object) -> list[SelectedRows]:
    """The places in a key, all of one mask, if they are what it begins with."""
    parts: Sequence[Any] = key if isinstance(key, tuple | list) else (key,)
    places = selections_in(tuple(parts))
    flat = len(places) == 1 or all(place.rows.dim() == 1 for place in places)
    first = softs_of(parts[0]) if parts else []
    others = [part for part in parts[len(places) :] if part is not None and part != slice(None)]
    if not places or not first or others or not flat or any(map(_is_no_index, places)):
        raise CannotSoften(AS_INDEX)
    return places


def _is_no_index(place: SelectedRows) -> bool:
    return not is_discrete(place.rows) or place.rows.dtype is torch.bool


def _are_distinct(indices: Sequence[Tensor]) -> bool:
    """Return True if no two places are the same one.  # each (n)"""
    if any((index < 0).any() for index in indices) or any(index.dim() != 1 for index in indices):
        return False
    together = torch.stack([index.long() for index in indices], -1)
    return len(torch.unique(together, dim=0)) == len(together)


def _beside(context: RuleContext, places: SelectedRows, value: Operand, before: Tensor) -> Tensor:
    """What is written, for all places: rows of the same mask, or one number for all of them."""
    if isinstance(value, SelectedRows):
        if not are_same(value.probabilities, places.probabilities):
            raise CannotSoften("rows that a soft mask selects are written where another is true")
        return context.call(torch.broadcast_to, value.rows, before.shape)
    if isinstance(value, Soft) or (isinstance(value, Tensor) and value.numel() != 1):
        raise CannotSoften("a tensor of other rows is written at places that a soft mask selects")
    if not isinstance(value, Tensor):
        value = context.call(torch.full, (), value, dtype=before.dtype, device=before.device)
    return context.call(torch.broadcast_to, context.call(torch.reshape, value, ()), before.shape)


def _weights(context: RuleContext, places: SelectedRows, before: Tensor) -> Tensor:
    shape = (-1, *(1,) * (before.dim() - 1))
    return context.call(torch.reshape, places.probabilities, shape)


def _in_form(context: RuleContext, result: Tensor) -> Shadow:
    if not is_discrete(context.hard):
        return result
    return context.soft_bool(result) if context.hard.dtype is torch.bool else context.soft_count(result)
