"""Writing at the places that a wide top-k chooses, and the form of what any write leaves.

A number that is written to chosen places is filled in where their soft mask is. Which operations write is in
writing.py and indexing.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softfx.rules import chosen
from softfx.rules.context import Operand, RuleContext, Shadow, TensorOrSoft
from softfx.rules.readings import as_number, counted, shape_of
from softfx.rules.refusals import CannotSoften, is_discrete
from softfx.rules.selection import excludes, masked_fill
from softfx.values import Soft, SoftChoice

__all__ = ["as_hard", "in_form", "put_by_choice", "scattered_by_choice"]


def as_hard(context: RuleContext, operand: Operand, like: Tensor) -> Tensor | float:
    """A real number in the type of the result, if that is a floating one: a mask's is its program's default."""
    number = as_number(context, operand, like)
    dtype = context.hard.dtype if not is_discrete(context.hard) else like.dtype
    if not isinstance(number, Tensor) or number.dtype == dtype:
        return number
    result: Tensor = context.call(Tensor.to, number, dtype)
    return result


def in_form(context: RuleContext, result: Tensor, *operands: Operand) -> Shadow:
    """The result of a write of `operands[1:]` into `operands[0]`, as the kind of value that it stands for."""
    if not is_discrete(context.hard):
        return counted(context, result, *operands)
    ones = all(operand in (0, 1) for operand in operands if not isinstance(operand, Tensor | Soft))
    stays = context.hard.dtype is torch.bool or (ones and not any(isinstance(o, Tensor) for o in operands[1:]))
    return context.soft_bool(result) if stays else context.soft_count(result)


def scattered_by_choice(
    context: RuleContext, input: TensorOrSoft, dim: int, index: SoftChoice, src: Operand, add: bool
) -> Shadow:
    """Values scattered by many chosen places."""
    source = as_hard(context, src, index.tensor) if isinstance(src, Tensor | Soft) else src
    return _brought(context, input, src, source, chosen.scattered(context, input, dim, index, source), add)


def put_by_choice(
    context: RuleContext, input: TensorOrSoft, key: tuple[object, ...], index: SoftChoice, size: int,
    value: Operand, add: bool,
) -> Shadow:  # fmt: skip
    """input[key] = value at many chosen places: along the one axis of input, or in the rows that stand beside them."""
    ndim = len(shape_of(input))
    source, values = value, None
    if isinstance(value, Tensor | Soft):
        source = values = context.call(Tensor.expand, as_hard(context, value, index.tensor), index.shape)
    if len(key) == ndim == 1:
        brought = chosen.counted(context, index, size, values)
        taken = None if values is None else chosen.counted(context, index, size, None)
    elif len(key) == ndim == 2 and key[1] == "index" and isinstance(key[0], Tensor):
        brought = chosen.counted_in_rows(context, index, shape_of(input), key[0], values)
        taken = None if values is None else chosen.counted_in_rows(context, index, shape_of(input), key[0], None)
    else:
        raise CannotSoften("many soft places are written to beside other axes")
    return _brought(context, input, value, source, (brought, taken), add)


def _brought(
    context: RuleContext, input: TensorOrSoft, src: Operand, source: Operand,
    amounts: tuple[Tensor, Tensor | None], add: bool,
) -> Shadow:  # fmt: skip
    """What chosen places write: what they bring to each position, and how much they take; None where that is all."""
    brought, taken = amounts
    if taken is None and not add:
        return _filled(context, input, brought, src)
    if taken is None:
        brought = context.call(torch.mul, brought, source)
    data = as_hard(context, input, brought)
    if taken is not None and not add:
        data = context.call(torch.mul, data, context.call(torch.rsub, taken, 1))
    return in_form(context, context.call(torch.add, data, brought), input, src)


def _filled(context: RuleContext, input: TensorOrSoft, mask: Tensor, number: Operand) -> Shadow:
    """A number where the mask is: beside another number the mask itself, in its units."""
    fill = context.fill(input) if isinstance(input, Tensor) else None
    if fill is None or isinstance(number, Tensor | Soft) or excludes(fill) or excludes(number):
        return masked_fill(context, input, context.soft_bool(mask), number)
    rise = number - fill
    risen = mask if rise == 1 else context.call(torch.mul, mask, rise)
    return in_form(context, risen if not fill else context.call(torch.add, risen, fill), input, number)
