"""Activation functions with corners: hardtanh, relu6, leaky_relu, hardsigmoid, hardswish, threshold, gaussian_relu.

Each is made of the soft ramp or step of elementwise.py. To add one: its hard function and its soft formula in terms of
a Mode, framed by `relaxed`.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from softtorch.checks import check_softness
from softtorch.kernels.numeric.weighted import mix, scale
from softtorch.modes import Mode
from softtorch.modes.base import SATURATION
from softtorch.operators.ramps import RAMPS, bounded_by
from softtorch.operators.relaxed import relaxed

__all__ = ["gaussian_relu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "relu6", "threshold"]

Softness = Tensor | float


def hardtanh(
    x: Tensor,
    min_val: float = -1.0,
    max_val: float = 1.0,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    gated: bool = False,
) -> Tensor:
    """x softly bounded by two numbers; `clamp` under torch's other name.

    Relaxes `torch.nn.functional.hardtanh`, which it tends to as softness -> 0.

    Args:
        min_val: lower bound.
        max_val: upper bound.

    Returns:
        min_val + softrelu(x - min_val) - softrelu(x - max_val). Shape (...).

    Source: `clamp`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.hardtanh(torch.tensor([-10.0, 0.5, 10.0]))
        tensor([-1.0000,  0.4993,  1.0000])
    """

    def hard(x: Tensor) -> Tensor:
        return functional.hardtanh(x, min_val, max_val)

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return _between(gated, curve, s, x, min_val, max_val)

    return relaxed("hardtanh", softness, mode, hard, soft, x)


def relu6(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth", gated: bool = False) -> Tensor:
    """x softly bounded by 0 and 6.

    Relaxes `torch.nn.functional.relu6`, which it tends to as softness -> 0.

    Returns:
        softrelu(x) - softrelu(x - 6). Shape (...).

    Source: `clamp`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.relu6(torch.tensor([-20.0, 3.0, 10.0]))
        tensor([0., 3., 6.])
    """

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return _between(gated, curve, s, x, 0.0, 6.0)

    return relaxed("relu6", softness, mode, functional.relu6, soft, x)


def leaky_relu(
    x: Tensor,
    negative_slope: float = 0.01,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    gated: bool = False,
) -> Tensor:
    """A soft ramp that goes on with a small slope below 0.

    Relaxes `torch.nn.functional.leaky_relu`, which it tends to as softness -> 0.

    Args:
        negative_slope: the slope far below 0.
        gated: the ramp x * sigmoidal(x) instead of the integral of sigmoidal.

    Returns:
        negative_slope x + (1 - negative_slope) softrelu(x). Shape (...).

    Source: the soft ramp.

    Example:
        >>> import torch, softtorch
        >>> softtorch.leaky_relu(torch.tensor([-10.0, 10.0]), negative_slope=0.1)
        tensor([-1., 10.])
    """

    def hard(x: Tensor) -> Tensor:
        return functional.leaky_relu(x, negative_slope)

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return negative_slope * x + (1.0 - negative_slope) * RAMPS[gated].of(curve, s, x)

    return relaxed("leaky_relu", softness, mode, hard, soft, x)


def hardsigmoid(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """The linear step from 0 at -3 to 1 at 3, with soft corners.

    Relaxes `torch.nn.functional.hardsigmoid`, which it tends to as softness -> 0.

    Returns:
        clamp(x, -3, 3) / 6 + 1/2. Shape (...).

    Source: `clamp`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.hardsigmoid(torch.tensor([-10.0, 0.0, 10.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """
    return relaxed("hardsigmoid", softness, mode, functional.hardsigmoid, _hardsigmoid, x)


def hardswish(x: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """x times the linear step with soft corners.

    Relaxes `torch.nn.functional.hardswish`, which it tends to as softness -> 0.

    Returns:
        x hardsigmoid(x). Shape (...).

    Source: `hardsigmoid`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.hardswish(torch.tensor([-10.0, 0.0, 10.0]))
        tensor([-0.,  0., 10.])
    """

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return scale(_hardsigmoid(curve, s, x), x)

    return relaxed("hardswish", softness, mode, functional.hardswish, soft, x)


def threshold(
    x: Tensor, threshold: float, value: float, softness: Softness = 0.1, mode: str | Mode = "smooth"
) -> Tensor:
    """x above a threshold and a constant below, with a soft step between.

    Relaxes `torch.nn.functional.threshold`, which it tends to as softness -> 0 away from the threshold.

    Args:
        threshold: where the step is.
        value: what is taken below it.

    Returns:
        p x + (1 - p) value with p = sigmoidal(x - threshold). Shape (...).

    Source: `where` of `greater`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.threshold(torch.tensor([0.0, 10.0]), 5.0, -1.0)
        tensor([-1., 10.])
    """

    def hard(x: Tensor) -> Tensor:
        return functional.threshold(x, threshold, value)

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return mix(curve.sigmoidal((x - threshold) / s), x, x.new_full((), value))

    return relaxed("threshold", softness, mode, hard, soft, x)


def gaussian_relu(x: Tensor, softness: Softness = 0.1) -> Tensor:
    """relu convolved with a Gaussian of standard deviation `softness`.

    Relaxes `torch.relu`, which it tends to as softness -> 0; of the family of smooth activation units.

    Returns:
        x Phi(x / s) + s phi(x / s), with the normal distribution's Phi and density phi. Shape (...).

    Raises:
        OptionError: a softness that is not positive.

    Source: Biswas et al. 2021, arXiv 2109.13210, smooth activation by convolution.

    Example:
        >>> import torch, softtorch
        >>> softtorch.gaussian_relu(torch.tensor([-10.0, 0.0, 10.0]))
        tensor([ 0.0000,  0.0399, 10.0000])
    """

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        u = functional.hardtanh(x / s, -SATURATION, SATURATION)  # beyond it Phi is 0 or 1 and phi 0
        density = torch.exp(-0.5 * u.square()) / math.sqrt(2.0 * math.pi)
        return scale(torch.special.ndtr(u), x) + s * density

    check_softness("gaussian_relu", softness)
    return relaxed("gaussian_relu", softness, "smooth", torch.relu, soft, x)


def _between(gated: bool, curve: Mode, s: Softness, x: Tensor, low: float, high: float) -> Tensor:
    return bounded_by(RAMPS[gated], curve, s, x, low, high)


def _hardsigmoid(curve: Mode, s: Softness, x: Tensor) -> Tensor:
    return _between(False, curve, s, x, -3.0, 3.0) / 6.0 + 0.5
