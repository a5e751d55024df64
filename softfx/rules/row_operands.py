"""The operands of calls on rows that a soft mask selects: which selections there are, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private
from softfx.rules.context import RuleContext
from softfx.rules.refusals import CannotSoften
from softfx.runtime import selections
from softfx.values import SelectedRows, Soft

__all__ = ["are_same", "count_of", "is_of_each", "selections_in", "softs_of", "spread", "with_all_rows", "with_rows"]


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
