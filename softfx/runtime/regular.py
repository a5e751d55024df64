"""Whether a guarded function may be called as it is: where its derivatives are finite, its guard changes nothing.

Nearly all calls of nearly all programs are of that kind, and to see it takes less than to guard. To add a function,
give softfx.runtime.guards its derivatives; one that is guarded in another way than by these is never said to be so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from softfx.runtime.guards import DERIVATIVES

__all__ = ["is_regular", "is_regular_number"]

# One number's derivatives, as Python has them, for the functions that programs of few numbers call most; each says
# True only far from where a number of 32 bits is infinite, and so is the result then.
_MOST, _LEAST = 1e18, 1e-9
_FAR = 40.0  # of the logarithm of a power: 1e17
_DTYPES = frozenset({torch.float32, torch.float64})
_item: Callable[[Tensor], float] = Tensor.__base__.item  # type: ignore[union-attr]  # torch's own, and no run's


def _power(x: float, exponent: float) -> bool:
    if type(exponent) is int and exponent > 0:  # Python's own whole number, which has no derivative itself
        return exponent * math.log(max(abs(x), 1.0)) < _FAR
    return _LEAST < x < _MOST and abs(exponent * math.log(x)) < _FAR


_OF_ONE: dict[Callable[..., Any], tuple[int, Callable[..., bool]]] = {
    torch.pow: (2, _power),
    torch.square: (1, lambda x: -_MOST < x < _MOST),
    torch.exp: (1, lambda x: -80.0 < x < 80.0),
    torch.sqrt: (1, lambda x: _LEAST < x < _MOST),
    torch.log: (1, lambda x: _LEAST < x < _MOST),
    torch.reciprocal: (1, lambda x: _LEAST < abs(x) < _MOST),
    torch.div: (2, lambda x, y: _LEAST < abs(y) < _MOST and abs(x) < _LEAST * _MOST),
}


def is_regular(function: Callable[..., Any], operands: Sequence[Any]) -> bool:
    """Return True if the derivatives of a function of torch's, by operands that have some, are seen to be finite.

    It is asked outside of graphs and transforms, of tensors on the CPU; of others, and of short numbers, it is False.

    >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
    >>> is_regular(torch.sqrt, (x,)), is_regular(torch.sqrt, (x + 1,)), is_regular(torch.div, (1.0, x[1]))
    (False, True, True)
    """
    derivatives = DERIVATIVES.get(function)
    if derivatives is None or not all(map(_is_plain, operands)) or len(operands) < len(derivatives):
        return False
    with torch.no_grad():
        return all(
            _is_finite(derivative, operands)
            for operand, derivative in zip(operands, derivatives, strict=False)
            if derivative is not None and isinstance(operand, Tensor) and operand.requires_grad
        )


def is_regular_number(function: Callable[..., Any], operands: Sequence[Any]) -> bool:
    """The same of operands of one element, seen by their numbers alone; False where that does not say it.

    >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
    >>> is_regular_number(torch.sqrt, (x[1],)), is_regular_number(torch.pow, (x[0], 3))
    (True, True)
    >>> is_regular_number(torch.exp, (x,))
    False
    """
    known = _OF_ONE.get(function)
    if known is None or len(operands) != known[0]:
        return False
    numbers = []
    for x in operands:
        if isinstance(x, Tensor):
            if x.numel() != 1 or x.dtype not in _DTYPES or not x.is_cpu:
                return False
            x = _item(x)
        elif type(x) is not float and type(x) is not int:
            return False
        numbers.append(x)
    return known[1](*numbers)


def _is_finite(derivative: Callable[..., Any], operands: Sequence[Any]) -> bool:
    try:
        slope = derivative(*operands)
    except ArithmeticError:  # of numbers of Python's own, which raise instead
        return False
    return math.isfinite(slope.sum().item() if isinstance(slope, Tensor) else slope)


def _is_plain(operand: Any) -> bool:
    """Return True for a number, and for a tensor whose numbers may be looked at."""
    if isinstance(operand, Tensor):
        return operand.dtype in _DTYPES and operand.is_cpu
    return isinstance(operand, float | int)
