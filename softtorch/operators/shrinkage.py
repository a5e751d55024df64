"""Activations that cut out the middle or learn their slope: hardshrink, softshrink, prelu, with soft corners.

The other activations are in activations.py. To add one: its formula in terms of a mode's step and ramp, under the frame
of `relaxed`.
"""

import torch
from torch import Tensor
from torch.nn import functional

from softtorch.errors import ShapeError, message
from softtorch.modes import Mode
from softtorch.operators.relaxed import relaxed

__all__ = ["hardshrink", "prelu", "softshrink"]

Softness = Tensor | float


def hardshrink(x: Tensor, lambd: float = 0.5, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """x, softly cut to 0 between -lambd and lambd.

    Relaxes `torch.nn.functional.hardshrink`, which it tends to as softness -> 0 away from the two jumps.

    Args:
        lambd: half of what is cut out.

    Returns:
        x (sigmoidal(x - lambd) + sigmoidal(-x - lambd)). Shape (...).

    Source: the soft step, at both jumps.

    Example:
        >>> import torch, softtorch
        >>> softtorch.hardshrink(torch.tensor([-9.0, 0.0, 9.0]))
        tensor([-9.,  0.,  9.])
    """

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        outside = curve.sigmoidal((x - lambd) / s) + curve.sigmoidal((-x - lambd) / s)
        return torch.where(x.isinf(), x, x.nan_to_num(nan=torch.nan, posinf=0.0, neginf=0.0) * outside)

    return relaxed("hardshrink", softness, mode, lambda x: functional.hardshrink(x, lambd), soft, x)


def softshrink(x: Tensor, lambd: float = 0.5, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """x brought towards 0 by lambd, and softly to 0 where it is nearer than that.

    Relaxes `torch.nn.functional.softshrink`, which it tends to as softness -> 0; not to be taken for a soft hardshrink.

    Args:
        lambd: by how much.

    Returns:
        softrelu(x - lambd) - softrelu(-x - lambd). Shape (...).

    Source: the soft ramp, at both corners.

    Example:
        >>> import torch, softtorch
        >>> softtorch.softshrink(torch.tensor([-9.0, 0.0, 9.0]))
        tensor([-8.5000,  0.0000,  8.5000])
    """

    def soft(curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return curve.ramp_of(x - lambd, s) - curve.ramp_of(-x - lambd, s)

    return relaxed("softshrink", softness, mode, lambda x: functional.softshrink(x, lambd), soft, x)


def prelu(x: Tensor, weight: Tensor, softness: Softness = 0.1, mode: str | Mode = "smooth") -> Tensor:
    """A soft ramp that goes on with a learned slope below 0.

    Relaxes `torch.nn.functional.prelu`, which it tends to as softness -> 0.

    Args:
        x: shape (b, c, ...), or any where weight has one entry.
        weight: the slopes far below 0: one, or one for each channel. Shape (1,), (c,) or ().

    Returns:
        softrelu(x) - weight softrelu(-x). Shape as x.

    Raises:
        OptionError: unknown mode, or a softness that is not positive.
        ShapeError: weight does not fit the channels.

    Source: He et al. 2015, arXiv 1502.01852, with the soft ramp.

    Example:
        >>> import torch, softtorch
        >>> softtorch.prelu(torch.tensor([-10.0, 10.0]), torch.tensor([0.1]))
        tensor([-1., 10.])
    """
    channels = x.shape[1] if x.dim() > 1 else 1
    if weight.dim() > 1 or weight.numel() not in (1, channels):
        wrong = f"weight has shape {tuple(weight.shape)} and input {tuple(x.shape)}"
        raise ShapeError(message("prelu", wrong, f"It has 1 entry, or {channels} for the channels"))
    slopes = weight.reshape(-1, *(1,) * (x.dim() - 2)) if weight.numel() > 1 else weight.reshape(())

    def soft(curve: Mode, s: Softness, x: Tensor, slope: Tensor) -> Tensor:
        return curve.ramp_of(x, s) - slope * curve.ramp_of(-x, s)

    return relaxed("prelu", softness, mode, lambda x, _: functional.prelu(x, weight), soft, x, slopes)
