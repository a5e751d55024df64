"""Reductions of masks and counts: sum, mean, cumsum, prod. A sum of soft bools is a count.

To add one, append a record to RULES: `_reduction` for one that takes a dtype, `_following` for any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Operation
from softfx.ops.spelling import INDEX
from softfx.rules import joined
from softfx.rules.comparison import among
from softfx.rules.context import RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.multiples import summed
from softfx.rules.readings import as_real, counted
from softfx.rules.refusals import CannotSoften, is_discrete, refuse_discrete
from softfx.rules.rule import Rule
from softfx.rules.units import OPERAND, STEP
from softfx.values import Soft, SoftBool, SoftCount, SoftIndex, tally_of

__all__ = ["RULES"]


# -- reductions of shadows ---------------------------------------------------------------------------------------------


def _reduce(exact: Callable[..., Tensor], counts: bool) -> RuleFunction:
    """The propagation of a reduction, which gives an integer of integers if it `counts`."""

    def propagate(
        context: RuleContext, input: TensorOrSoft, *args: object, dtype: torch.dtype | None = None, **kwargs: object
    ) -> Shadow:
        if not isinstance(input, Soft):
            raise CannotSoften(f"{exact.__name__} over a soft axis")
        value = context.call(exact, as_real(context, input), *args, **kwargs)
        mask = _mask_of(context, input) if exact is torch.sum else None
        if exact is torch.sum and mask is None and (few := summed(context, value, input, *args, **kwargs)) is not None:
            return few
        result = counted(context, value, input) if counts else value
        return result if mask is None else _tally(result, mask, *args, **kwargs)

    return propagate


def _mask_of(context: RuleContext, input: Soft) -> Tensor | None:
    """The probabilities of the bools that a shadow is, cast to integers or not; None for any other."""
    if isinstance(input, SoftBool):
        return input.probability
    is_mask = isinstance(input, SoftIndex) and input.support is None and input.size == len((False, True))
    return input.truth(context.call) if is_mask else None


def _tally(count: Shadow, mask: Tensor, dim: object = None, keepdim: object = False, **_: object) -> Shadow:
    """The count of a soft mask along one axis, or of all of it, with the bools that are counted; any other as it is."""
    if not isinstance(count, SoftCount) or (dim is None and keepdim):
        return count
    return tally_of(count, mask, dim, bool(keepdim)) if isinstance(dim, int | None) else count


def _count_nonzero(context: RuleContext, input: Soft, dim: int | Sequence[int] | None = None) -> Shadow:
    """The propagation: the count of what is not 0 of what the shadows stand for."""
    mask = input.truth(context.call)
    return _tally(context.soft_count(context.call(torch.sum, mask, *(() if dim is None else (dim,)))), mask, dim)


def _count_of_reals(context: RuleContext, input: Tensor, dim: int | Sequence[int] | None = None) -> SoftCount:
    """The relaxation: the sum of the probabilities that numbers are not 0."""
    refuse_discrete(input)
    if context.beside is not None:
        apart = among(context, context.beside, torch.ne)
    else:
        zero = context.call(torch.zeros, (), dtype=input.dtype, device=input.device)
        apart = context.call(softtorch.not_equal, input, zero, **context.options)
    return context.soft_count(context.call(torch.sum, apart, *(() if dim is None else (dim,))))


def _of_reals(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True if real numbers are counted."""
    input = args[0] if args else kwargs.get("input")
    return isinstance(input, Tensor) and input.is_floating_point()


# -- reductions of real numbers in an integer type ---------------------------------------------------------------------


def _as_integers(
    context: RuleContext, input: Tensor, *args: object, dtype: torch.dtype | None = None, **kwargs: object
) -> Shadow:
    """The relaxation: each number loses its fraction first."""
    refuse_discrete(input)
    function = _reduction_of(context)
    return context.call(function, context.call(softtorch.trunc, input, **context.options), *args, **kwargs)


def _of_integers(
    context: RuleContext, input: TensorOrSoft, *args: object, dtype: torch.dtype | None = None, **kwargs: object
) -> SoftCount:
    """The propagation: numbers that stand for integers have no fraction to lose."""
    return context.soft_count(context.call(_reduction_of(context), as_real(context, input), *args, **kwargs))


def _reduction_of(context: RuleContext) -> Callable[..., Tensor]:
    """torch's function of the reduction that the program calls."""
    return INDEX.of(context.func).operation.function


def _in_integer_type(args: Args, kwargs: Kwargs) -> Operation | None:
    """The operation of a call whose dtype is one of integers, on real numbers."""
    dtype, input = kwargs.get("dtype"), args[0] if args else kwargs.get("input")
    whole = isinstance(dtype, torch.dtype) and not (dtype.is_floating_point or dtype.is_complex)
    return ops.reduce_as_integers if whole and isinstance(input, Tensor) and not is_discrete(input) else None


# -- the records -------------------------------------------------------------------------------------------------------


def _following(code: str, operation: Operation, propagate: RuleFunction) -> Rule:
    return Rule(
        code,
        operation,
        "selection",
        "A sum of soft bools is a count: a real number standing for an integer.",
        "It follows what reaches it.",
        "",
        soft=f"torch.{operation.name}",
        propagate=propagate,
        options=(),
    )


def _reduction(code: str, operation: Operation, *, counts: bool = True) -> Rule:
    """A rule of a reduction that takes a dtype."""
    return replace(_following(code, operation, _reduce(operation.function, counts)), becomes=_in_integer_type)


def _prod(
    context: RuleContext, input: TensorOrSoft, dim: int | None = None, keepdim: bool = False,
    *, dtype: torch.dtype | None = None,
) -> Shadow:  # fmt: skip
    """The propagation of a product: of bools it is whether all are true."""
    if not isinstance(input, SoftBool) or not context.reaches:
        rest = () if dim is None else (dim, keepdim)
        return _reduce(torch.prod, True)(context, input, *rest, dtype=dtype)
    p = input.probability
    p, axis = (context.call(torch.flatten, p), 0) if dim is None else (p, dim)
    return context.soft_bool(joined.every(torch.prod)(context, p, axis, keepdim))


RULES = (
    _reduction("SX621", ops.sum),
    _reduction("SX622", ops.mean, counts=False),
    _reduction("SX623", ops.cumsum),
    replace(_reduction("SX624", ops.prod), propagate=_prod),
    _reduction("SX626", ops.cumprod),
    Rule(
        "SX602",
        ops.reduce_as_integers,
        "discrete",
        "A sum taken in an integer type drops the fractions: no gradient passes.",
        "Keep it where the numbers summed are whole.",
        "",
        formula="trunc(x), of each element before the reduction, trunc soft",
        soft="softtorch.trunc",
        relax=_as_integers,
        unit=STEP,
        propagate=_of_integers,
    ),
    Rule(
        "SX625",
        ops.count_nonzero,
        "discrete",
        "How many numbers are 0 is an integer: none of them learns that it was close.",
        "Keep it where the count is only looked at.",
        "SoftTorch 0.1.1 documentation",
        formula="sum_j ne(x_j, 0), ne soft",
        soft="softtorch.not_equal",
        relax=_count_of_reals,
        unit=OPERAND,
        propagate=_count_nonzero,
        is_site=_of_reals,
    ),
)
