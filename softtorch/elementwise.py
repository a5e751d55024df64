"""Elementwise operators: the soft step and ramp, heaviside, sign, abs, relu, clamp, minimum, maximum.

Rounding and remainders are in rounding.py, activation functions in activations.py, comparisons in
comparison.py. `relaxed` is the frame they share: it checks the options, picks torch's own function in hard
mode, and computes the soft one in a wide enough dtype. To add one: its hard function and its soft formula in
terms of a Mode, framed so.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from softtorch.errors import OptionError, message
from softtorch.kernels.fused import Fused, passes_possible, run_hard
from softtorch.kernels.precision import computing_dtype, narrowed
from softtorch.kernels.promotion import as_tensor, promoted
from softtorch.modes import HARD, Mode
from softtorch.options import check_softness, resolve_mode
from softtorch.ramps import RAMPS, larger, within
from softtorch.straight_through import differentiating, straight_through

__all__ = ["abs", "clamp", "heaviside", "maximum", "minimum", "relu", "sigmoidal", "sign", "softrelu"]

Softness = Tensor | float
Soft = Callable[..., Tensor]


def sigmoidal(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """The soft step from 0 to 1 at 0, of width `softness`.

    Relaxes the unit step, which it tends to as softness -> 0; 1/2 at 0 in every mode.

    Args:
        x: shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".

    Returns:
        SoftBool in [0, 1]. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, elementwise operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.sigmoidal(torch.tensor([-10.0, 0.0, 10.0]), softness=0.1)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return relaxed("sigmoidal", softness, mode, _unit_step, _step, x, fused=_step_function)


def softrelu(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth", gated: bool = False) -> Tensor:
    """The soft ramp: the integral of the soft step, or with `gated` x times the soft step.

    Relaxes `torch.relu`, which it tends to as softness -> 0.

    Args:
        x: shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        gated: x * sigmoidal(x) (SiLU in mode smooth) instead of the integral (softplus).

    Returns:
        Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, elementwise operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.softrelu(torch.tensor([-10.0, 0.0, 10.0]), softness=1.0, mode="c0")
        tensor([ 0.0000,  1.2500, 10.0000])
    """
    ramp = RAMPS[gated]
    return relaxed("softrelu", softness, mode, torch.relu, ramp.of, x, fused=ramp.function)


def heaviside(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth", values: Tensor | float = 0.5) -> Tensor:
    """The soft step from 0 to 1 at 0; `sigmoidal` under torch's name.

    Relaxes `torch.heaviside`, which it tends to as softness -> 0 away from 0.

    Args:
        x: shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        values: the value at 0 in hard mode; the soft modes go through 1/2.

    Returns:
        SoftBool in [0, 1]. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, elementwise operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.heaviside(torch.tensor([-2.0, 0.0, 2.0]), mode="hard")
        tensor([0.0000, 0.5000, 1.0000])
    """
    return relaxed("heaviside", softness, mode, lambda x: _unit_step(x, values), _step, x, fused=_step_function)


def sign(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """The soft sign, from -1 to 1.

    Relaxes `torch.sign`, which it tends to as softness -> 0.

    Args:
        x: shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".

    Returns:
        2 sigmoidal(x) - 1, in [-1, 1]. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, elementwise operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.sign(torch.tensor([-10.0, 0.0, 10.0]))
        tensor([-1.,  0.,  1.])
    """

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return curve.sign_of(x, s)

    return relaxed("sign", softness, mode, torch.sign, soft, x, fused=lambda curve, s: curve.sign_function(s))


def abs(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """The soft absolute value, x times the soft sign of x: smooth at 0, where it is 0.

    Relaxes `torch.abs`, which it tends to as softness -> 0.

    Args:
        x: shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".

    Returns:
        Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, elementwise operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.abs(torch.tensor([-10.0, 0.0, 10.0]))
        tensor([10.,  0., 10.])
    """

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return curve.softabs(x, s)

    return relaxed("abs", softness, mode, torch.abs, soft, x, fused=lambda curve, s: curve.absolute_function(s))


def relu(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth", gated: bool = False) -> Tensor:
    """The soft ramp; `softrelu` under torch's name.

    Relaxes `torch.relu`, which it tends to as softness -> 0.

    Args:
        x: shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        gated: x * sigmoidal(x) (SiLU in mode smooth) instead of the integral of sigmoidal (softplus).

    Returns:
        Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, elementwise operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.relu(torch.tensor([-20.0, 10.0]))
        tensor([ 0., 10.])
    """
    ramp = RAMPS[gated]
    return relaxed("relu", softness, mode, torch.relu, ramp.of, x, fused=ramp.function)


def clamp(
    x: Tensor,
    a: Tensor | float | None = None,
    b: Tensor | float | None = None,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    gated: bool = False,
) -> Tensor:
    """x softly bounded from below by `a` and from above by `b`.

    Relaxes `torch.clamp`, which it tends to as softness -> 0.

    Args:
        x: shape (...).
        a: lower bound; a number, a tensor that broadcasts against x, or None for none.
        b: upper bound; likewise. Where it is below `a` it wins, as in torch.
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".
        gated: ramps x * sigmoidal(x) instead of the integral of sigmoidal.

    Returns:
        a + softrelu(x - a) - softrelu(x - b). Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, elementwise operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.clamp(torch.tensor([-10.0, 0.5, 10.0]), 0.0, 1.0, softness=0.01)
        tensor([0.0000, 0.5000, 1.0000])
    """
    if a is None and b is None:
        raise OptionError(message("clamp", "neither a nor b is given", "Give a bound, a number or a tensor"))
    ramp = RAMPS[gated]
    low = None if isinstance(a, float) and a == -math.inf else a  # an infinite bound is none
    high = None if isinstance(b, float) and b == math.inf else b

    def hard(*_: Tensor) -> Tensor:
        return _torch_clamp(x, a, b)

    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        return relaxed("clamp", softness, mode, hard, lambda curve, s, x: within(ramp, curve, s, x, low, high), x)

    def soft(curve: Mode, s: Softness, x: Tensor, *bounds: Tensor) -> Tensor:
        given = iter(bounds)
        return within(ramp, curve, s, x, *(None if bound is None else next(given) for bound in (low, high)))

    return relaxed("clamp", softness, mode, hard, soft, x, *(bound for bound in (low, high) if bound is not None))


def maximum(x: Tensor, y: Tensor | float, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """The soft elementwise maximum of two tensors.

    Relaxes `torch.maximum`, which it tends to as softness -> 0; at least the maximum.

    Args:
        x: shape (...).
        y: a number, or shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".

    Returns:
        y + softrelu(x - y), broadcast; in mode smooth s log(e^(x/s) + e^(y/s)). Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: the soft ramp of the difference.

    Example:
        >>> import torch, softtorch
        >>> softtorch.maximum(torch.tensor([-10.0, 4.0]), 2.0)
        tensor([2., 4.])
    """
    return relaxed("maximum", softness, mode, torch.maximum, larger, x, y)


def minimum(x: Tensor, y: Tensor | float, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """The soft elementwise minimum of two tensors.

    Relaxes `torch.minimum`, which it tends to as softness -> 0; at most the minimum.

    Args:
        x: shape (...).
        y: a number, or shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
        mode: "hard", "smooth", "c0", "c1" or "c2".

    Returns:
        x - softrelu(x - y), broadcast. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.

    Source: the soft ramp of the difference.

    Example:
        >>> import torch, softtorch
        >>> softtorch.minimum(torch.tensor([-10.0, 4.0]), 2.0)
        tensor([-10.,   2.])
    """

    def soft(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
        return -larger(curve, s, -x, -y)

    return relaxed("minimum", softness, mode, torch.minimum, soft, x, y)


@dataclass(slots=True)
class Straight:
    """What a straight-through form passes on as the mode: the hard value with the derivative of this mode."""

    mode: str | Mode


def relaxed(
    where: str,
    softness: Softness,
    mode: str | Mode | Straight,
    hard: Callable[..., Tensor],
    soft: Soft,
    *xs: Tensor | float,
    fused: Callable[[Mode, float], Fused | None] | None = None,
) -> Tensor:
    """`hard(*xs)` in hard mode, else `soft(mode, softness, *xs)` computed in a wide dtype and cast back.

    Args:
        where: the operator's name.
        softness: as given by the user; checked here.
        mode: as given by the user; resolved here.
        hard: torch's own function of the operands.
        soft: its relaxation; takes the mode, the softness and the operands in the dtype computed in.
        *xs: the operands. A single one stays as it is; of several, numbers become tensors of their common dtype.
        fused: `soft` for a single operand and a softness that is a number, as a Fused function, where there is one:
            straight-through forms need its derivative alone.
    """
    check_softness(where, softness)
    straight = isinstance(mode, Straight)
    curve = resolve_mode(where, mode.mode if isinstance(mode, Straight) else mode)
    tensors, dtype = _operands(xs)
    if curve is HARD or (straight and not (differentiating() and dtype.is_floating_point)):
        return hard(*tensors)
    if not straight:
        return _soft(soft, curve, softness, tensors, dtype)
    if fused is not None and curve.by_passes(softness, tensors[0]):
        function = fused(curve, softness)
        if function is not None and passes_possible(tensors[0]):
            return run_hard(hard, function, tensors[0])
    return straight_through(hard(*tensors), _soft(soft, curve, softness, tensors, dtype))


def _operands(xs: tuple[Tensor | float, ...]) -> tuple[Sequence[Tensor], torch.dtype]:
    """The operands as tensors, and the dtype of the result."""
    first = xs[0]
    if isinstance(first, Tensor):
        alike = [x for x in xs if isinstance(x, Tensor) and x.dtype == first.dtype and x.device == first.device]
        if len(alike) == len(xs):
            return alike, first.dtype
    dtype = promoted(*xs)
    device = next(x.device for x in xs if isinstance(x, Tensor))
    return [as_tensor(x, dtype, device) for x in xs], dtype


def _soft(soft: Soft, curve: Mode, softness: Softness, tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """soft(curve, softness, *tensors), computed in a dtype that is wide enough for it, in `dtype`."""
    computed = computing_dtype(dtype)
    s = softness.to(computed) if isinstance(softness, Tensor) else softness
    if computed == dtype:
        return soft(curve, s, *tensors)
    return narrowed(soft(curve, s, *(x.to(computed) for x in tensors)), dtype)


def _torch_clamp(x: Tensor, low: Tensor | float | None, high: Tensor | float | None) -> Tensor:
    """torch.clamp, which takes two tensors or two numbers, with one of each too."""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        low = None if low is None else as_tensor(low, x.dtype, x.device)
        high = None if high is None else as_tensor(high, x.dtype, x.device)
        return torch.clamp(x, low, high)
    return torch.clamp(x, low, high)


def _unit_step(x: Tensor, values: Tensor | float = 0.5) -> Tensor:
    floating = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    # torch has no derivative for heaviside; without one it is a constant.
    return torch.heaviside(floating.detach(), as_tensor(values, floating.dtype, floating.device))


def _step_function(curve: Mode, s: float) -> Fused:
    return curve.step_function(s)


def _step(curve: Mode, s: Softness, x: Tensor) -> Tensor:
    return curve.step_of(x, s)
