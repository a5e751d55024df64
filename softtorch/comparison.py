"""Soft comparisons: greater, greater_equal, less, less_equal, eq, not_equal, isclose, and torch's short
names.

All are soft steps of the difference, in the dtype that torch compares in; hard mode gives torch's answer as
0. and 1. What to do with the answers is in logic.py and selection.py. To add one: its hard function and its
soft formula in terms of a Mode, framed by `_compared`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import hardtanh

from softtorch.elementwise import relaxed
from softtorch.modes import Mode

__all__ = [
    "eq",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isclose",
    "le",
    "less",
    "less_equal",
    "lt",
    "ne",
    "not_equal",
]

Softness = Tensor | float
Operand = Tensor | float


def greater(
    x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10
) -> Tensor:
    """How likely x is greater than y.

    Relaxes `torch.greater`, which it tends to as softness -> 0 away from equality.

    Args:
        x: shape (...).
        y: a number, or shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        epsilon: tips equality towards False, as in torch.

    Returns:
        SoftBool sigmoidal(x - y - epsilon), broadcast. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.greater(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return _compared(
        "greater", softness, mode, torch.greater, lambda curve, s, d: curve.sigmoidal((d - epsilon) / s), x, y
    )


def greater_equal(
    x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10
) -> Tensor:
    """How likely x is greater than or equal to y.

    Relaxes `torch.greater_equal`, which it tends to as softness -> 0 away from equality.

    Args:
        x: shape (...).
        y: a number, or shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        epsilon: tips equality towards True, as in torch.

    Returns:
        SoftBool sigmoidal(x - y + epsilon), broadcast. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.greater_equal(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return _compared(
        "greater_equal",
        softness,
        mode,
        torch.greater_equal,
        lambda curve, s, d: curve.sigmoidal((d + epsilon) / s),
        x,
        y,
    )


def less(
    x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10
) -> Tensor:
    """How likely x is less than y.

    Relaxes `torch.less`, which it tends to as softness -> 0 away from equality.

    Args:
        x: shape (...).
        y: a number, or shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        epsilon: tips equality towards False, as in torch.

    Returns:
        SoftBool 1 - sigmoidal(x - y + epsilon), broadcast. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.less(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([1.0000, 0.5000, 0.0000])
    """
    return _compared("less", softness, mode, torch.less, lambda curve, s, d: curve.sigmoidal((-d - epsilon) / s), x, y)


def less_equal(
    x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10
) -> Tensor:
    """How likely x is less than or equal to y.

    Relaxes `torch.less_equal`, which it tends to as softness -> 0 away from equality.

    Args:
        x: shape (...).
        y: a number, or shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        epsilon: tips equality towards True, as in torch.

    Returns:
        SoftBool 1 - sigmoidal(x - y - epsilon), broadcast. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.less_equal(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([1.0000, 0.5000, 0.0000])
    """
    return _compared(
        "less_equal", softness, mode, torch.less_equal, lambda curve, s, d: curve.sigmoidal((epsilon - d) / s), x, y
    )


def eq(x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10) -> Tensor:
    """How likely x is equal to y.

    Relaxes `torch.eq`, which it tends to as softness -> 0.

    Args:
        x: shape (...).
        y: a number, or shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        epsilon: a distance within which equality is certain.

    Returns:
        SoftBool 2 less_equal(abs(x - y), 0), at most 1, broadcast. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.eq(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([0., 1., 0.])
    """
    return _compared("eq", softness, mode, torch.eq, lambda curve, s, d: _near(curve, s, d, epsilon), x, y)


def not_equal(
    x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10
) -> Tensor:
    """How likely x is other than y.

    Relaxes `torch.not_equal`, which it tends to as softness -> 0.

    Args:
        x: shape (...).
        y: a number, or shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        epsilon: a distance within which equality is certain.

    Returns:
        SoftBool 2 greater(abs(x - y), 0) - 1, at least 0, broadcast. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.not_equal(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([1., 0., 1.])
    """
    return _compared(
        "not_equal",
        softness,
        mode,
        torch.not_equal,
        lambda curve, s, d: _unit(curve.sign((curve.softabs(d, s) - epsilon) / s)),
        x,
        y,
    )


def isclose(
    x: Tensor,
    y: Tensor,
    softness: Softness = 0.1,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    mode: str | Mode = "smooth",
    epsilon: float = 1e-10,
) -> Tensor:
    """How likely x is within a tolerance of y.

    Relaxes `torch.isclose`, which it tends to as softness -> 0; NaN is close to nothing in hard mode.

    Args:
        x: shape (...).
        y: shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        rtol: tolerance relative to the soft absolute value of y.
        atol: absolute tolerance.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        epsilon: added to the tolerance.

    Returns:
        SoftBool 2 less_equal(abs(x - y), atol + rtol abs(y)), at most 1. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.isclose(torch.tensor([-10.0, 1.0]), torch.tensor(1.0))
        tensor([0., 1.])
    """

    def hard(x: Tensor, y: Tensor) -> Tensor:
        return torch.isclose(x, y, rtol=rtol, atol=atol)

    def soft(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
        return _near(curve, s, _difference(x, y), atol + rtol * curve.softabs(y, s) + epsilon)

    return relaxed("isclose", softness, mode, _as_numbers(hard), soft, x, y)


gt = greater
ge = greater_equal
lt = less
le = less_equal
ne = not_equal


def _compared(
    where: str,
    softness: Softness,
    mode: str | Mode,
    hard: Callable[[Tensor, Tensor], Tensor],
    soft: Callable[[Mode, Softness, Tensor], Tensor],
    x: Tensor,
    y: Operand,
) -> Tensor:
    """`relaxed` for two operands whose soft comparison depends on their difference alone."""

    def of_difference(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
        return soft(curve, s, _difference(x, y))

    return relaxed(where, softness, mode, _as_numbers(hard), of_difference, x, y)


def _as_numbers(hard: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The comparison with its answer as 0 and 1 in the dtype of its operands, if that is floating."""

    def compare(x: Tensor, y: Tensor) -> Tensor:
        return hard(x, y).to(x.dtype if x.is_floating_point() else torch.get_default_dtype())

    return compare


def _difference(x: Tensor, y: Tensor) -> Tensor:
    """x - y, and 0 for two infinities that are equal: (...), (...) -> (...)."""
    if y.dim() > 0:  # a number is finite, or its infinity is met by chance only
        largest = torch.finfo(x.dtype).max
        x, y = hardtanh(x, -largest, largest), hardtanh(y, -largest, largest)
    return x - y


def _near(curve: Mode, s: Softness, difference: Tensor, tolerance: Tensor | float) -> Tensor:
    """2 sigmoidal(tolerance - abs(difference)), at most 1: (...) -> (...)."""
    return _unit(2.0 * curve.sigmoidal((tolerance - curve.softabs(difference, s)) / s))


def _unit(p: Tensor) -> Tensor:
    """p cut to [0, 1], which epsilon makes it leave by a little; hardtanh is clamp with a cheaper derivative."""
    return hardtanh(p, 0.0, 1.0)
