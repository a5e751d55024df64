"""The operands of calls on rows that a soft mask selects: which selections there are, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private
from softfx.ops.calls import Args, Kwargs
from softfx.ops.integrality import is_integral
from softfx.ops.operation import Operation
from softfx.rules.context import RuleContext, TensorOrSoft
from softfx.rules.readings import as_real
from softfx.rules.refusals import CannotSoften
from softfx.runtime import selections
from softfx.values import Kind, SelectedRows, Soft, SoftBool

__all__ = [
    "are_same", "as_softs", "count_of", "hardened", "is_of_each", "jointly", "rows_of", "selections_in", "softs_of",
    "spread", "standing", "stands_after", "stood_for", "with_all_rows", "with_rows",
]  # fmt: skip


def selections_in(tree: object) -> list[SelectedRows]:
    """The selections among a call's operands, which one mask has made."""
    softs = softs_of(tree)
    found = [soft for soft in softs if isinstance(soft, SelectedRows)]
    if len(found) != len(softs):
        raise CannotSoften("rows that a soft mask selects meet other soft values")
    if not all(are_same(rows.probabilities, found[0].probabilities) for rows in found):
        raise CannotSoften("rows that two soft masks select stand beside each other")
    return found


def softs_of(tree: object) -> list[Soft]:
    """The soft values in nested operands."""
    if isinstance(tree, Soft):
        return [tree]
    return [soft for item in tree for soft in softs_of(item)] if isinstance(tree, tuple | list) else []


def are_same(one: Tensor, other: Tensor) -> bool:
    """Return True for equal tensors; without values, while a graph is made, for one and the same alone."""
    if one is other or torch_private.fake_mode_of(one) is not None:
        return one is other
    return one.shape == other.shape and torch.equal(one, other)


def is_of_each(key: object) -> bool:
    """Return True for a key that looks the same part up in each row that a mask before it selects."""
    return key is None or key is Ellipsis or isinstance(key, slice) or type(key) is int


def with_rows(form: Callable[[Any], object], tree: object) -> Any:
    """Nested operands with `form` of each selection in its place."""
    if isinstance(tree, Soft):
        return form(tree)
    if isinstance(tree, tuple | list):
        return type(tree)(with_rows(form, item) for item in tree)
    return {key: with_rows(form, item) for key, item in tree.items()} if isinstance(tree, dict) else tree


def with_all_rows(tree: object) -> Any:
    """Nested operands with all rows in the place of the selected ones."""
    return with_rows(attrgetter("tensor"), tree)


def as_softs(context: RuleContext, tree: object) -> Any:
    """Nested operands with what all rows of a selection stand for in its place."""
    return with_rows(lambda rows: standing(context, rows), tree)


def standing(context: RuleContext, rows: SelectedRows) -> TensorOrSoft:
    """All rows of a selection, as what they stand for."""
    if rows.stands == "soft_bool":
        return context.soft_bool(rows.rows)
    return context.soft_count(rows.rows) if rows.stands == "count" else rows.rows


def hardened(context: RuleContext, tree: object) -> Any:
    """Nested operands with the hard numbers of all rows of a selection in its place."""

    def hard(rows: SelectedRows) -> Tensor:
        if rows.stands == "soft_bool":
            return context.call(torch.gt, rows.rows, 0.5)
        return context.call(torch.round, rows.rows) if rows.stands == "count" else rows.rows

    return with_rows(hard, tree)


def rows_of(context: RuleContext, like: SelectedRows, made: TensorOrSoft) -> SelectedRows:
    """A selection of the same rows as `like`, of what was made of each of them."""
    result = context.like(like, as_real(context, made))
    assert isinstance(result, SelectedRows)  # it is of the kind of the rows
    return replace(result, stands=stood_for(made))


def stood_for(made: object) -> Kind:
    """What rows stand for that are made so: a soft index is worth a number."""
    if not isinstance(made, Soft) or not made.integral:
        return "real"
    return "soft_bool" if isinstance(made, SoftBool) else "count"


def stands_after(operation: Operation, input: SelectedRows, args: Args, kwargs: Kwargs) -> Kind:
    """What the results stand for of an operation along axes of each row."""
    is_whole = input.stands != "real" and is_integral(operation, (input.rows, *args), kwargs, [True])
    return "count" if is_whole else "real"


def jointly(parts: Sequence[SelectedRows]) -> Kind:
    """What rows stand for that are joined of these."""
    kinds = {part.stands for part in parts}
    return kinds.pop() if len(kinds) == 1 else "real" if "real" in kinds else "count"


def spread(context: RuleContext, rows: SelectedRows, tensor: Tensor) -> Tensor:
    """A hard operand beside the rows: one with as many rows as the original selects is spread over all of them."""
    rank = rows.rows.dim()
    if tensor.dim() < rank or (tensor.dim() == rank and tensor.shape[0] == 1):
        return tensor
    unknown = torch_private.fake_mode_of(rows.mask) is not None
    if tensor.dim() > rank or unknown or count_of(rows) != tensor.shape[0]:
        raise CannotSoften("rows that a soft mask selects meet a tensor of other rows")
    if not tensor.shape[0]:
        raise CannotSoften("rows that a soft mask selects meet a tensor of no rows")
    beside: Tensor = context.call(selections.alongside, tensor, rows.probabilities)
    return beside


def count_of(rows: SelectedRows) -> int:
    """How many rows the original selects; all of them where that is not known, while a graph is made without values."""
    return len(rows.mask) if torch_private.fake_mode_of(rows.mask) is not None else int(rows.mask.sum())
