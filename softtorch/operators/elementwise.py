"""Elementwise operators: the soft step and ramp, heaviside, sign, abs, relu, clamp, minimum, maximum.

Rounding and remainders are in rounding.py, activation functions in activations.py, comparisons in comparison.py. To add
one: its hard function and its soft formula in terms of a Mode, given to `relaxed` (relaxed.py).
"""

import math

import torch
from torch import Tensor

from softtorch.errors import OptionError, message
from softtorch.kernels.numeric.promotion import as_tensor
from softtorch.kernels.pointwise.fused import Fused
from softtorch.modes import Mode
from softtorch.operators.ramps import RAMPS, larger, within
from softtorch.operators.relaxed import Softness, relaxed

__all__ = ["abs", "clamp", "heaviside", "maximum", "minimum", "relu", "sigmoidal", "sign", "softrelu"]


def sigmoidal(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """The soft step from 0 to 1 at 0, of width `softness`.

    Relaxes the unit step, which it tends to as softness -> 0; 1/2 at 0 in every mode.

    Returns:
        SoftBool in [0, 1]. Shape (...).

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
        gated: x * sigmoidal(x) (SiLU in mode smooth) instead of the integral (softplus).

    Returns:
        Shape (...).

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
        values: the value at 0 in hard mode; the soft modes go through 1/2.

    Returns:
        SoftBool in [0, 1]. Shape (...).

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

    Returns:
        2 sigmoidal(x) - 1, in [-1, 1]. Shape (...).

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

    Returns:
        Shape (...).

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
        gated: x * sigmoidal(x) (SiLU in mode smooth) instead of the integral of sigmoidal (softplus).

    Returns:
        Shape (...).

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
        a: lower bound; a number, a tensor that broadcasts against x, or None for none.
        b: upper bound; likewise. Where it is below `a` it wins, as in torch.

    Returns:
        a + softrelu(x - a) - softrelu(x - b). Shape (...).

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

    Returns:
        y + softrelu(x - y), broadcast; in mode smooth s log(e^(x/s) + e^(y/s)). Shape (...).

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

    Returns:
        x - softrelu(x - y), broadcast. Shape (...).

    Source: the soft ramp of the difference.

    Example:
        >>> import torch, softtorch
        >>> softtorch.minimum(torch.tensor([-10.0, 4.0]), 2.0)
        tensor([-10.,   2.])
    """

    def soft(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
        return -larger(curve, s, -x, -y)

    return relaxed("minimum", softness, mode, torch.minimum, soft, x, y)


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
