"""Standardizing entries that are all finite and of moderate size: z = (x - mean) / sqrt(var + 1e-6).

torch's layer normalization is the same thing, in one step either way. Infinite and huge entries are the business of
methods/keys.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor

VARIANCE_FLOOR = 1e-6  # of SoftTorch 0.1.1


class Standard(NamedTuple):
    """Entries x, (..., [n]), in units of their own spread; mean and spread are constants to autograd."""

    z: Tensor
    """(..., [n])"""
    mean: Tensor
    """(..., [1])"""
    spread: Tensor
    """sqrt(var + 1e-6), (..., [1])"""


def standard(x: Tensor) -> Standard:
    """z, differentiable by x, (..., [n])."""
    z, mean, inverse = torch.native_layer_norm(x, x.shape[-1:], None, None, VARIANCE_FLOOR)
    return Standard(z, mean, inverse.reciprocal())


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of x, (..., [n]), and sqrt(var + 1e-6), (..., [1]) each, differentiable."""
    center = x.mean(dim=-1, keepdim=True)  # torch.var_mean takes six times as long as these four passes
    return center, ((x - center).square().mean(dim=-1, keepdim=True) + VARIANCE_FLOOR).sqrt()


def reach(of: Standard) -> Tensor:
    """No entry is larger in size than this, (..., [1]); NaN where one is NaN or infinite."""
    return torch.add(of.mean.abs(), of.spread, alpha=of.z.shape[-1] ** 0.5)
