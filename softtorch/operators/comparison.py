"""Soft comparisons: greater, greater_equal, less, less_equal, eq, not_equal, isclose, and torch's short names.

All are soft steps of the difference, in the dtype that torch compares in; hard mode gives torch's answer as 0. and 1.
What to do with the answers is in logic.py and selection.py. To add one: its hard function and its soft formula in terms
of a Mode, framed by `relaxed`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import hardtanh

from softtorch.kernels.numeric import host
from softtorch.kernels.numeric.finite import with_finite_gradient
from softtorch.kernels.pointwise import curves
from softtorch.kernels.pointwise.fused import run
from softtorch.modes import Mode
from softtorch.operators.relaxed import Soft, relaxed

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
    """Soft x > y: how likely x is greater than y.

    Relaxes `torch.greater`, which it tends to as softness -> 0 away from equality.

    Args:
        epsilon: tips equality towards False, as in torch.

    Returns:
        SoftBool sigmoidal(x - y - epsilon), broadcast. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.greater(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return _compared("greater", softness, mode, torch.greater, 1.0, -epsilon, x, y)


def greater_equal(
    x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10
) -> Tensor:
    """Soft x >= y: how likely x is greater than or equal to y.

    Relaxes `torch.greater_equal`, which it tends to as softness -> 0 away from equality.

    Args:
        epsilon: tips equality towards True, as in torch.

    Returns:
        SoftBool sigmoidal(x - y + epsilon), broadcast. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.greater_equal(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return _compared("greater_equal", softness, mode, torch.greater_equal, 1.0, epsilon, x, y)


def less(
    x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10
) -> Tensor:
    """Soft x < y: how likely x is less than y.

    Relaxes `torch.less`, which it tends to as softness -> 0 away from equality.

    Args:
        epsilon: tips equality towards False, as in torch.

    Returns:
        SoftBool 1 - sigmoidal(x - y + epsilon), broadcast. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.less(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([1.0000, 0.5000, 0.0000])
    """
    return _compared("less", softness, mode, torch.less, -1.0, epsilon, x, y)


def less_equal(
    x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10
) -> Tensor:
    """Soft x <= y: how likely x is less than or equal to y.

    Relaxes `torch.less_equal`, which it tends to as softness -> 0 away from equality.

    Args:
        epsilon: tips equality towards True, as in torch.

    Returns:
        SoftBool 1 - sigmoidal(x - y - epsilon), broadcast. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.less_equal(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([1.0000, 0.5000, 0.0000])
    """
    return _compared("less_equal", softness, mode, torch.less_equal, -1.0, -epsilon, x, y)


def eq(x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10) -> Tensor:
    """Soft x == y: how likely x is equal to y.

    Relaxes `torch.eq`, which it tends to as softness -> 0.

    Args:
        epsilon: a distance within which equality is certain.

    Returns:
        SoftBool 2 less_equal(abs(x - y), 0), at most 1, broadcast. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.eq(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([0., 1., 0.])
    """
    soft = _nearness(epsilon, 0.0, False)
    return relaxed("eq", softness, mode, _as_numbers(torch.eq), soft, x, y, finite=True)


def not_equal(
    x: Tensor, y: Operand, softness: Softness = 0.1, mode: str | Mode = "smooth", epsilon: float = 1e-10
) -> Tensor:
    """Soft x != y: how likely x is other than y.

    Relaxes `torch.not_equal`, which it tends to as softness -> 0.

    Args:
        epsilon: a distance within which equality is certain.

    Returns:
        SoftBool 2 greater(abs(x - y), 0) - 1, at least 0, broadcast. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.not_equal(torch.tensor([-10.0, 1.0, 10.0]), 1.0)
        tensor([1., 0., 1.])
    """
    soft = _nearness(epsilon, 0.0, True)
    return relaxed("not_equal", softness, mode, _as_numbers(torch.not_equal), soft, x, y, finite=True)


def isclose(
    x: Tensor,
    y: Tensor,
    softness: Softness = 0.1,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    mode: str | Mode = "smooth",
    epsilon: float = 1e-10,
) -> Tensor:
    """Soft torch.isclose: how likely x is within a tolerance of y.

    Relaxes `torch.isclose`, which it tends to as softness -> 0; NaN is close to nothing in hard mode.

    Args:
        y: shape (...).
        rtol: tolerance relative to the soft absolute value of y.
        atol: absolute tolerance.
        epsilon: added to the tolerance.

    Returns:
        SoftBool 2 less_equal(abs(x - y), atol + rtol abs(y)), at most 1. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, comparison operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.isclose(torch.tensor([-10.0, 1.0]), torch.tensor(1.0))
        tensor([0., 1.])
    """

    def hard(x: Tensor, y: Tensor) -> Tensor:
        # What torch.isclose does, which vmap would run row by row: infinities are close to themselves alone.
        y = y if y.is_floating_point() else y.to(torch.get_default_dtype())
        apart = (x - y).abs()
        return (x == y) | (apart.isfinite() & (apart <= atol + (rtol * y).abs()))

    soft = _nearness(atol + epsilon, rtol, False)
    return relaxed("isclose", softness, mode, _as_numbers(hard), soft, x, y, finite=True)


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
    direction: float,
    offset: float,
    x: Tensor,
    y: Operand,
) -> Tensor:
    """The step of direction (x - y + offset), direction 1 or -1, under the frame of `relaxed`."""

    def soft(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
        def plain(x: Tensor, y: Tensor) -> Tensor:
            difference = _difference(x, y)
            beyond = difference + offset if _counts(x, s, offset) else difference
            return curve.step_of(beyond, direction * s)

        if curve.by_passes(s, x):
            return run(curves.compared(curve.curves, s, direction, offset, plain), x, y)
        return plain(with_finite_gradient(x), with_finite_gradient(y))

    return relaxed(where, softness, mode, _as_numbers(hard), soft, x, y, finite=True)


def _nearness(tolerance: float, relative: float, apart: bool) -> Soft:
    """2 sigmoidal(tolerance + relative abs(y) - abs(x - y)), at most 1; with `apart` 1 less that."""

    def soft(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
        def plain(x: Tensor, y: Tensor) -> Tensor:
            beyond = curve.softabs(_difference(x, y), s)
            tolerant = bool(relative) or _counts(x, s, tolerance)
            if tolerant:
                beyond = beyond - (tolerance + relative * curve.softabs(y, s) if relative else tolerance)
            nearness = curve.sign_of(beyond, s) if apart else 2.0 * curve.step_of(beyond, -s)
            # hardtanh is clamp with a cheaper derivative: a tolerance makes the value leave [0, 1] by a little.
            return hardtanh(nearness, 0.0, 1.0) if tolerant else nearness

        if curve.has_tail:
            half = tolerance + relative * with_finite_gradient(y).abs() if relative else tolerance
            return _in_window(curve, s, _difference(x, y), half, apart)
        if curve.by_passes(s, x):
            return run(curves.near(curve.curves, s, tolerance, relative, apart, plain), x, y)
        return plain(with_finite_gradient(x), with_finite_gradient(y))

    return soft


def _in_window(curve: Mode, s: Softness, difference: Tensor, tolerance: Tensor | float, apart: bool) -> Tensor:
    """step((d + t) / s) - step((d - t) / s) in units of its value at d = 0, any shape; with `apart` 1 less that.

    A window that is narrow beside the softness has the shape of the density, whatever its width: t is s / 8 or more.
    """

    def plain(difference: Tensor) -> Tensor:
        if isinstance(tolerance, Tensor) or isinstance(s, Tensor):
            width = torch.maximum(torch.as_tensor(tolerance).to(difference), torch.as_tensor(s).to(difference) / 8.0)
        else:
            width = difference.new_full((), max(tolerance, s / 8.0))
        left = torch.where(difference > 0.0, -difference, difference)  # far to the left steps keep their digits
        top = curve.step_of(width, s) - curve.step_of(-width, s)
        nearness = (curve.step_of(left + width, s) - curve.step_of(left - width, s)) / top
        return 1.0 - nearness if apart else nearness

    if isinstance(tolerance, Tensor) or isinstance(s, Tensor):
        return plain(with_finite_gradient(difference))
    function = curve.curves.window(s, max(tolerance, s / 8.0), apart, plain)
    return plain(with_finite_gradient(difference)) if function is None else run(function, difference)


def _as_numbers(hard: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The comparison with its answer as 0 and 1 in the dtype of its operands, if that is floating."""

    def compare(x: Tensor, y: Tensor) -> Tensor:
        return hard(x, y).to(x.dtype if x.is_floating_point() else torch.get_default_dtype())

    return compare


def _counts(x: Tensor, s: Softness, tolerance: float) -> bool:
    """Return True if a tolerance is more than rounding; a softness that is no plain number is not looked at."""
    return not isinstance(s, float) or curves.counts(x, s, abs(tolerance), 0.0)


def _difference(x: Tensor, y: Tensor) -> Tensor:
    """x - y, and 0 for two infinities that are equal: (...), (...) -> (...)."""
    difference = x - y
    if y.dim() == 0 or host.finite(difference):  # a number is infinite by chance only
        return difference
    largest = torch.finfo(x.dtype).max
    return hardtanh(x, -largest, largest) - hardtanh(y, -largest, largest)
