"""Real tensors that hold whole numbers, and constants: told from an operation's record and its arguments.

A count or an index goes on being one in a floating type: cast to float, summed, compared, cast back. Beside soft values
these tensors count as integers, so that a capacity check on `mask.float().cumsum(-1) <= k` is resolved as the check
on integers is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from softfx.ops.calls import Args, Options
from softfx.ops.operation import Integral, Operation
from softfx.ops.table import AVERAGES

__all__ = ["fill_value", "has_whole_arguments", "is_integral", "is_whole_number"]


def is_whole_number(value: Any) -> bool:
    """Return True if a Python number is an integer.

    >>> is_whole_number(2.0), is_whole_number(0.5)
    (True, False)
    """
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def fill_value(operation: Operation, args: Args, kwargs: Options, fills: Sequence[float | None]) -> float | None:
    """The one number that a call fills its result with, or None; `fills` says it of each tensor that it is given.

    >>> from softfx import ops
    >>> fill_value(ops.full, ((2,), 3), {}, []), fill_value(ops.reshape, (), {}, [0.5])
    (3.0, 0.5)
    """
    if operation.fills is not None:
        numbers = [value for value in (*args[operation.fills :], kwargs.get("fill_value")) if value is not None]
        first = numbers[0] if numbers else None
        return float(first) if isinstance(first, int | float) else None
    return fills[0] if operation.keeps_fill and fills else None


def is_integral(operation: Operation, args: Args, kwargs: Options, operands: Sequence[bool]) -> bool:
    """Return True if a call gives whole numbers in a floating type, too.

    operands: for each tensor among the arguments, in order, whether it holds whole numbers.

    >>> from softfx import ops
    >>> is_integral(ops.add, (None, 1.0), {}, [True]), is_integral(ops.add, (None, 0.5), {}, [True])
    (True, False)
    """
    match operation.integral:
        case Integral.ALWAYS:
            return not kwargs.get("decimals")
        case Integral.OF_WHOLE_ARGUMENTS:
            return has_whole_arguments((args[1:] if operands else args, kwargs))
        case Integral.OF_INTEGRAL_OPERANDS:
            return all(operands) and has_whole_arguments((args, kwargs))
        case Integral.OF_NATURAL_POWERS:
            return all(operands) and _is_natural(args[1] if len(args) > 1 else kwargs.get("exponent"))
        case Integral.UNLESS_AVERAGED:
            averages = not AVERAGES.isdisjoint(word for word in (*args, *kwargs.values()) if isinstance(word, str))
            return all(operands) and not averages and has_whole_arguments((args, kwargs))
        case Integral.OF_UNDIVIDED_SUMS:
            return all(operands) and (args[6] if len(args) > 6 else kwargs.get("divisor_override")) == 1
        case _:
            return False


def _is_natural(exponent: Any) -> bool:
    return isinstance(exponent, int | float) and is_whole_number(exponent) and exponent >= 0


def has_whole_arguments(tree: Any) -> bool:
    """Return True if all numbers in nested arguments are whole."""
    if isinstance(tree, float):
        return tree.is_integer()
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, tuple | list) or isinstance(tree, torch.Size):
        return True
    return all(item is None or isinstance(item, Tensor) or has_whole_arguments(item) for item in tree)
