"""What becomes of the places that a wide top-k chooses (softfx.values.SoftChoice): read, written, compared, computed.

Rules of the operations ask here first where one of their operands may be such a choice. What these functions cannot
serve without the matrix of all places and entries is refused with the number of weights that it would take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import softtorch
from softfx.rules.context import Operand, RuleContext, Shadow, TensorOrSoft
from softfx.rules.refusals import CannotSoften, is_discrete
from softfx.runtime import choices
from softfx.values import Soft, SoftBool, SoftChoice, SoftIndex

__all__ = ["choose", "compare", "compute", "counted", "counted_in_rows", "is_any", "look_up", "scattered"]

_SPARSE = ("c0", "c1", "c2")  # modes in which a mask has exact zeros and ones; in the others it is lapsum's
_OF_MASKS = ("softness", "mode", "standardize")


def choose(context: RuleContext, input: Tensor, places: Tensor, dim: int, largest: bool) -> tuple[Tensor, SoftChoice]:
    """The values and places of a wide top-k."""
    options = {key: value for key, value in context.options.items() if key in _OF_MASKS}
    options["method"] = "sparse_topk" if options.get("mode") in _SPARSE else "lapsum"
    source = input if largest else context.call(torch.neg, input)
    mask = context.call(softtorch.topk_mask, source, places.shape[dim], dim=dim, **options)
    axis = dim % input.dim()
    parts = context.call(choices.chosen, mask, places, axis)
    index = context.soft_index(parts[0])
    choice = SoftChoice(places, *parts, mask=(mask, axis), exact=index.exact, sites=index.sites)
    own = context.call(torch.gather, input, dim, places)
    if not context.options.get("gated_grad", True):
        return own, choice
    return _gathered(context, input, dim, own, choice), choice


# -- reading -----------------------------------------------------------------------------------------------------------


def look_up(
    context: RuleContext, func: Callable[..., Tensor], arguments: tuple[Any, ...], choice: SoftChoice, block: int,
    size: int,
) -> Shadow:  # fmt: skip
    """`func` of an integer index, held in the arguments by the string "index", at chosen places.

    block: the axis of the result at which their axes begin.  size: the length of the axis that they index.
    """
    if func is Tensor.__getitem__:
        data, key = arguments
        return _at_key(context, data, key if isinstance(key, tuple) else (key,), choice, block, size)
    if func is F.embedding:
        return _slices(context, arguments[1], 0, choice)
    if func is torch.index_select:
        return _slices(context, arguments[0], arguments[1], choice)
    data, dim = (arguments[0], arguments[1]) if func is torch.gather else (arguments[0], arguments[2])
    if dim is None:
        flat: Any = data.moved(context.call, torch.flatten) if isinstance(data, Soft) else data
        flat = flat if isinstance(flat, Soft) else context.call(torch.flatten, flat)
        return _slices(context, flat, 0, choice)
    real = _real(data)
    axis = dim % max(real.dim(), 1)
    own = context.call(torch.gather, real, axis, choice.places)
    return _as_found(context, data, choice, own, lambda: _gathered(context, real, axis, own, choice))


def _gathered(context: RuleContext, data: Tensor, dim: int, own: Tensor, choice: SoftChoice) -> Tensor:
    axis = dim % max(data.dim(), 1)
    result: Tensor = context.call(
        choices.gathered, data, axis, own, choice.kept, *choice.left_out, choice.numbers
    )  # fmt: skip
    return result


def _slices(context: RuleContext, data: TensorOrSoft, dim: int, choice: SoftChoice) -> Shadow:
    """Slices of data along `dim`."""
    real = _real(data)
    axis = dim % max(real.dim(), 1)
    own = context.call(Tensor.__getitem__, real, (*(slice(None),) * axis, choice.places))

    def found() -> Tensor:
        taken: Tensor = context.call(
            choices.taken, real, axis, own, choice.kept, *choice.left_out, choice.numbers
        )  # fmt: skip
        return taken

    return _as_found(context, data, choice, own, found)


def _at_key(
    context: RuleContext, data: TensorOrSoft, key: tuple[Any, ...], choice: SoftChoice, block: int, size: int
) -> Shadow:
    """data[key] at chosen places."""
    real = _real(data)
    if not any(isinstance(part, Tensor | list | int) and not isinstance(part, bool) for part in key):
        if len(key) > 1:  # slices beside one axis
            whole = tuple(slice(None) if isinstance(part, str) else part for part in key)
            moved: Any = (
                data.moved(context.call, Tensor.__getitem__, whole)
                if isinstance(data, Soft)
                else context.call(Tensor.__getitem__, data, whole)
            )
            return _slices(context, moved, block, choice)
        return _slices(context, data, 0, choice)
    own = context.call(Tensor.__getitem__, real, tuple(choice.places if isinstance(p, str) else p for p in key))

    def found() -> Tensor:
        indexed: Tensor = context.call(
            choices.indexed, real, key, own, choice.kept, *choice.left_out, choice.numbers, size, block
        )  # fmt: skip
        return indexed

    return _as_found(context, data, choice, own, found)


def _shape_of(operand: TensorOrSoft) -> torch.Size:
    return operand.shape if isinstance(operand, Soft) else torch.Size(operand.shape)


def _real(data: TensorOrSoft) -> Tensor:
    """What is looked up, as a tensor."""
    if isinstance(data, SoftIndex | SoftChoice):
        raise CannotSoften("soft indices are looked up at many soft places")
    return data.tensor if isinstance(data, Soft) else data


def _as_found(
    context: RuleContext, data: TensorOrSoft, choice: SoftChoice, own: Tensor, found: Callable[[], Tensor]
) -> Shadow:
    """What was looked up in the kind that it is of: integers found at chosen places are chosen themselves."""
    if isinstance(data, Tensor) and is_discrete(data) and data.dtype is not torch.bool:
        if data.dim() != 1:
            raise CannotSoften("integers of several axes are looked up at many soft places")
        numbers = context.call(choices.numbers_of, choice.rest, choice.numbers)
        return _chosen(context, choice, own, context.call(Tensor.__getitem__, data, numbers))
    result = found()
    if isinstance(data, Soft):
        return context.like(data, result) if is_discrete(context.hard) else result
    return context.soft_bool(result) if data.dtype is torch.bool else result


def _chosen(context: RuleContext, choice: SoftChoice, places: Tensor, numbers: Tensor) -> SoftChoice:
    """A choice of other numbers, that comes from this call."""
    index = context.soft_index(choice.kept)
    return replace(choice, places=places, numbers=numbers, mask=None, exact=index.exact, sites=index.sites)


# -- computing and comparing -------------------------------------------------------------------------------------------


def compute(
    context: RuleContext, func: Callable[..., Tensor], operands: tuple[Any, ...], options: Any
) -> SoftChoice | None:
    """`func`, elementwise, of a choice and hard integers: the same on the numbers that its entries stand for."""
    choice = next(operand for operand in operands if isinstance(operand, SoftChoice))
    others = [other for other in operands if other is not choice]
    if options or len(others) > 1 or any(isinstance(other, Soft) for other in others):
        return None
    places = context.call(func, *(choice.places if operand is choice else operand for operand in operands))
    numbers = context.call(choices.numbers_of, choice.rest, choice.numbers)
    beside = others[0] if others else None
    if isinstance(beside, Tensor) and beside.dim():
        numbers, beside = context.call(choices.numbers_by_row, choice.row, choice.rest, numbers, beside)
    numbers = context.call(func, *(numbers if operand is choice else beside for operand in operands))
    return _chosen(context, choice, places, numbers)


def compare(context: RuleContext, func: Callable[..., Tensor], input: Operand, other: Operand) -> SoftBool:
    """A comparison of a choice with hard integers."""
    choice, fixed, reflected = (input, other, False) if isinstance(input, SoftChoice) else (other, input, True)
    assert isinstance(choice, SoftChoice)  # one of the two is
    if isinstance(fixed, Soft):
        raise CannotSoften("many soft places are compared with soft values")
    value = context.call(
        choices.compared, func, choice.places, choice.kept, *choice.left_out, choice.numbers, fixed, reflected
    )  # fmt: skip
    return context.soft_bool(value)


def is_any(context: RuleContext, choice: SoftChoice, numbers: Operand, invert: bool) -> SoftBool:
    """The probability that each place is one of the numbers in a list."""
    entries = context.call(choices.numbers_of, choice.rest, choice.numbers)
    own, others = (context.call(torch.isin, part, numbers, invert=invert) for part in (choice.places, entries))
    return context.soft_bool(choice.expected(context.call, own, others))


# -- writing -----------------------------------------------------------------------------------------------------------


def scattered(
    context: RuleContext, input: TensorOrSoft, dim: int, choice: SoftChoice, source: Operand
) -> tuple[Tensor, Tensor | None]:
    """Values scattered by a choice: what is brought to each position along `dim`, and how much of it is taken.

    A number is not brought: where it is written follows from what is taken alone, and the first is that.
    """
    base = _shape_of(input)
    axis = dim % max(len(base), 1)
    if any(own != size for place, (own, size) in enumerate(zip(choice.shape, base, strict=True)) if place != axis):
        raise CannotSoften("many soft places are fewer than what they are written to, along another axis")
    taken = _brought(context, choice, axis, base[axis], None)
    if not isinstance(source, Tensor):
        return taken, None
    narrowed = context.call(Tensor.__getitem__, source, tuple(slice(size) for size in choice.shape))
    return _brought(context, choice, axis, base[axis], narrowed), taken


def _brought(context: RuleContext, choice: SoftChoice, dim: int, size: int, values: Tensor | None) -> Tensor:
    if values is None and choice.mask is not None and choice.mask[1] == dim and choice.mask[0].shape[dim] == size:
        return choice.mask[0]
    result: Tensor = context.call(
        choices.scattered, choice.places, dim, size, choice.kept, *choice.left_out, choice.numbers, values
    )  # fmt: skip
    return result


def counted(context: RuleContext, choice: SoftChoice, size: int, values: Tensor | None) -> Tensor:
    """How often each position on one axis is chosen in all, or `values` by it.  # -> (size)"""
    result: Tensor = context.call(
        choices.counted, choice.places, size, choice.kept, *choice.left_out, choice.numbers, values
    )  # fmt: skip
    return result


def counted_in_rows(
    context: RuleContext, choice: SoftChoice, shape: torch.Size, beside: Tensor, values: Tensor | None
) -> Tensor:
    """How often each element of a matrix is chosen, or `values` by it, in the rows given beside the places."""
    if len(choice.shape) != 2 or beside.shape not in ((choice.shape[0], 1), (1, 1)):
        raise CannotSoften("other indices vary beside many soft places")
    zeros = context.call(torch.zeros, shape, dtype=choice.kept.dtype, device=choice.kept.device)
    lines = context.call(Tensor.expand, context.call(torch.flatten, beside), (choice.shape[0],))
    result: Tensor = context.call(torch.index_add, zeros, 0, lines, _brought(context, choice, 1, shape[1], values))
    return result
