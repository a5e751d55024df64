"""Rounding and remainders: round, floor, ceil, trunc, frac, fmod, remainder.

All are one soft staircase, a running sum of soft steps around each value, staircase.py. The other elementwise operators
are in elementwise.py. To add one: its formula in terms of `_stairs`, framed by `relaxed`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from softtorch.errors import OptionError, message
from softtorch.kernels.pointwise.fused import Fused, shifted
from softtorch.modes import Mode
from softtorch.operators.relaxed import Soft, relaxed
from softtorch.operators.staircase import stairs, stairs_function

__all__ = ["ceil", "floor", "fmod", "frac", "remainder", "round", "trunc"]

Softness = Tensor | float


MOST_NEIGHBORS = 100
"""A softness by which more integers on either side count leaves no steps to see."""


def round(
    x: Tensor,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    neighbor_radius: int = 5,
    decimals: int = 0,
) -> Tensor:
    """x softly rounded: a staircase with its steps at the half integers.

    Relaxes `torch.round`, which it tends to as softness -> 0 away from ties.

    Args:
        softness: in units of x (of x 10^decimals); a number or a tensor that broadcasts against x.
        neighbor_radius: how many integers on either side of floor(x) are summed over.
        decimals: the decimal places rounded to, as in torch.

    Returns:
        sum_k k (sigmoidal(x - k + 1/2) - sigmoidal(x - k - 1/2)). Shape (...).

    Raises:
        OptionError: unknown mode, a softness that is not positive, or a radius below 1.

    Source: Semenov 2025, arXiv 2504.19026, smooth approximations of the rounding function.

    Example:
        >>> import torch, softtorch
        >>> softtorch.round(torch.tensor([1.1, 2.9]), softness=0.01)
        tensor([1., 3.])
    """
    steps = _check_radius("round", neighbor_radius)
    scale = 10.0**decimals

    def hard(x: Tensor) -> Tensor:
        return torch.round(x, decimals=decimals) if decimals else torch.round(x)

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return stairs(curve, s, x * scale, steps) / scale if decimals else stairs(curve, s, x, steps)

    def fused(curve: Mode, s: float) -> Fused | None:
        return None if decimals else stairs_function(curve, s, steps)

    return relaxed("round", softness, mode, hard, soft, x, fused=fused)


def floor(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth", neighbor_radius: int = 5) -> Tensor:
    """x softly rounded down: a staircase with its steps at the integers.

    Relaxes `torch.floor`, which it tends to as softness -> 0 away from the integers.

    Returns:
        round(x - 1/2). Shape (...).

    Raises:
        OptionError: unknown mode, a softness that is not positive, or a radius below 1.

    Source: `round`, moved by half a step.

    Example:
        >>> import torch, softtorch
        >>> softtorch.floor(torch.tensor([1.5, 2.5]), softness=0.01)
        tensor([1., 2.])
    """
    steps = _check_radius("floor", neighbor_radius)
    return _moved("floor", softness, mode, torch.floor, x, -0.5, steps)


def ceil(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth", neighbor_radius: int = 5) -> Tensor:
    """x softly rounded up: a staircase with its steps at the integers.

    Relaxes `torch.ceil`, which it tends to as softness -> 0 away from the integers.

    Returns:
        round(x + 1/2). Shape (...).

    Raises:
        OptionError: unknown mode, a softness that is not positive, or a radius below 1.

    Source: `round`, moved by half a step.

    Example:
        >>> import torch, softtorch
        >>> softtorch.ceil(torch.tensor([0.5, 2.5]), softness=0.01)
        tensor([1., 3.])
    """
    steps = _check_radius("ceil", neighbor_radius)
    return _moved("ceil", softness, mode, torch.ceil, x, 0.5, steps)


def trunc(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth", neighbor_radius: int = 5) -> Tensor:
    """x softly rounded towards zero: a staircase with its steps at the integers but 0.

    Relaxes `torch.trunc`, which it tends to as softness -> 0 away from the integers.

    Returns:
        floor(x) + sigmoidal(-x), an odd function. Shape (...).

    Raises:
        OptionError: unknown mode, a softness that is not positive, or a radius below 1.

    Source: `floor`, with its step at 0 taken out.

    Example:
        >>> import torch, softtorch
        >>> softtorch.trunc(torch.tensor([-2.5, 2.5]), softness=0.01)
        tensor([-2.,  2.])
    """
    steps = _check_radius("trunc", neighbor_radius)
    return relaxed("trunc", softness, mode, torch.trunc, lambda curve, s, x: _trunc(curve, s, x, steps), x)


def frac(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth", neighbor_radius: int = 5) -> Tensor:
    """The fractional part of x, with the sign of x, softly falling back at the integers.

    Relaxes `torch.frac`, which it tends to as softness -> 0 away from the integers.

    Returns:
        x - trunc(x). Shape (...).

    Raises:
        OptionError: unknown mode, a softness that is not positive, or a radius below 1.

    Source: `trunc`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.frac(torch.tensor([-2.5, 2.5]), softness=0.01)
        tensor([-0.5000,  0.5000])
    """
    steps = _check_radius("frac", neighbor_radius)

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        # x - trunc(x), both counted from the same integer: far from 0 the difference would be rounding alone.
        from_floor = x - (x.detach() - 0.5).floor()
        return from_floor - stairs(curve, s, x - 0.5, steps, from_floor=True) - curve.summed.sigmoidal(-x / s)

    return relaxed("frac", softness, mode, torch.frac, soft, x)


def fmod(
    x: Tensor,
    y: Tensor | float,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    neighbor_radius: int = 5,
) -> Tensor:
    """The remainder of x / y with the sign of x, softly falling back at the multiples of y.

    Relaxes `torch.fmod`, which it tends to as softness -> 0 away from the multiples.

    Args:
        softness: in units of x / y; a number or a tensor that broadcasts against x.

    Returns:
        x - y trunc(x / y). Shape (...).

    Raises:
        OptionError: unknown mode, a softness that is not positive, or a radius below 1.

    Source: `trunc`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.fmod(torch.tensor([-5.0, 5.0]), 2.0, softness=0.01)
        tensor([-1.,  1.])
    """
    steps = _check_radius("fmod", neighbor_radius)

    def soft(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
        return x - y * _trunc(curve, s, x / y, steps)

    return relaxed("fmod", softness, mode, torch.fmod, _where_finite(soft, torch.fmod), x, y)


def remainder(
    x: Tensor,
    y: Tensor | float,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    neighbor_radius: int = 5,
) -> Tensor:
    """The remainder of x / y with the sign of y, softly falling back at the multiples of y.

    Relaxes `torch.remainder`, which it tends to as softness -> 0 away from the multiples.

    Args:
        softness: in units of x / y; a number or a tensor that broadcasts against x.

    Returns:
        x - y floor(x / y). Shape (...).

    Raises:
        OptionError: unknown mode, a softness that is not positive, or a radius below 1.

    Source: `floor`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.remainder(torch.tensor([-5.0, 5.0]), 2.0, softness=0.01)
        tensor([1., 1.])
    """
    steps = _check_radius("remainder", neighbor_radius)

    def soft(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
        return x - y * stairs(curve, s, x / y - 0.5, steps)

    return relaxed("remainder", softness, mode, torch.remainder, _where_finite(soft, torch.remainder), x, y)


def _where_finite(soft: Soft, hard: Callable[[Tensor, Tensor], Tensor]) -> Soft:
    """`soft` where the quotient is finite, else the hard value without a derivative, which would be NaN there."""

    def guarded(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
        regular = (x / y).isfinite() & y.isfinite()
        inside = soft(curve, s, torch.where(regular, x, 0.0), torch.where(regular, y, 1.0))
        return torch.where(regular, inside, hard(x.detach(), y.detach()))

    return guarded


def _moved(
    where: str,
    softness: Softness,
    mode: str | Mode,
    hard: Callable[[Tensor], Tensor],
    x: Tensor,
    by: float,
    steps: int,
) -> Tensor:
    """The staircase of x + by, (...) -> (...), under the frame of `relaxed`."""

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return stairs(curve, s, x + by, steps)

    def fused(curve: Mode, s: float) -> Fused:
        return shifted(stairs_function(curve, s, steps), by)

    return relaxed(where, softness, mode, hard, soft, x, fused=fused)


def _trunc(curve: Mode, s: Softness, x: Tensor, steps: int) -> Tensor:
    return stairs(curve, s, x - 0.5, steps) + curve.summed.sigmoidal(-x / s)


def _check_radius(where: str, radius: int) -> int:
    if isinstance(radius, bool) or not isinstance(radius, int) or radius < 1:
        raise OptionError(message(where, f"neighbor_radius={radius!r} is no count", "Use an integer >= 1"))
    if radius > MOST_NEIGHBORS:
        wrong, why = f"neighbor_radius={radius} is too large", "A curve is summed for each of them"
        raise OptionError(message(where, wrong, f"Use 1 <= neighbor_radius <= {MOST_NEIGHBORS}", why))
    return radius
