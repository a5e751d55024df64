"""Normalizations in place of softmax: softpick, which need not sum to 1, and the entmax family, with exact zeros.

The projections of the modes are in kernels/simplex.py, attention and layers in attention.py and layers.py. Entries of
-inf are masked: they get 0 and add nothing. To add one: a function here; a variant of softpick is a line in VARIANTS.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from softtorch.checks import resolve_dim
from softtorch.errors import OptionError, message, nearest
from softtorch.kernels import simplex
from softtorch.kernels.numeric.precision import narrowed, widened

__all__ = ["entmax", "softpick", "sparsemax"]

# Keeps a row without positive or negative entries from 0 / 0, as in the paper.
_EPSILON = 1e-6


def softpick(x: Tensor, dim: int = -1, variant: str = "abs") -> Tensor:
    """Weights that need not sum to 1: a row that picks nothing gives all zeros.

    Nothing is relaxed; it stands where softmax would, without its sink.

    Args:
        x: scores; -inf for what is masked. Shape (..., n, ...).
        dim: the dim normalized over.
        variant: "abs" for x_i / (1 + sum |x_j|), signed and without exponentials; "rectified" for relu(e^x_i - 1) / sum
            |e^x_j - 1|.

    Returns:
        Magnitudes that sum to less than 1. Shape (..., n, ...).

    Raises:
        OptionError: unknown variant.
        DimensionError: `dim` is out of range.

    Source: Zuhri et al. 2025, arXiv 2504.20966, equation 3, for "rectified".

    Example:
        >>> import torch, softtorch
        >>> softtorch.softpick(torch.tensor([1.0, -2.0, -torch.inf]))
        tensor([ 0.2500, -0.5000,  0.0000])
    """
    if variant not in VARIANTS:
        legal = f"Variants: {', '.join(VARIANTS)}"
        raise OptionError(message("softpick", f"unknown variant {variant!r}", legal, nearest(variant, VARIANTS)))
    axis = resolve_dim("softpick", dim, x)
    wide = widened(x)
    return narrowed(VARIANTS[variant](wide, wide == -torch.inf, axis), x.dtype)


def entmax(x: Tensor, alpha: Tensor | float = 1.5, dim: int = -1) -> Tensor:
    """Probabilities with exact zeros: softmax at alpha = 1, sparsemax at 2, sparser as alpha grows.

    Nothing is relaxed; as the scale of x grows it tends to the one-hot maximum.

    Args:
        x: scores; -inf for what is masked. Shape (..., n, ...).
        alpha: at least 1; a number, or a tensor above 1 that broadcasts against the rows and may be learned.
        dim: the dim normalized over.

    Returns:
        Shape (..., n, ...), sums to 1 along `dim`.

    Raises:
        OptionError: a number below 1.
        DimensionError: `dim` is out of range.

    Source: Peters et al. 2019, arXiv 1905.05702; learned alpha, arXiv 1909.00015.

    Example:
        >>> import torch, softtorch
        >>> softtorch.entmax(torch.tensor([2.0, 2.0, -2.0]), alpha=2.0)
        tensor([0.5000, 0.5000, 0.0000])
    """
    axis = resolve_dim("entmax", dim, x)
    scores = widened(x) if x.dim() == 0 else widened(x).movedim(axis, -1)  # (..., [n])
    scores = scores.unsqueeze(0) if x.dim() == 0 else scores
    if isinstance(alpha, Tensor):
        alpha = alpha.to(scores.dtype)
        result = _entmax_of_any_alpha(scores, alpha if alpha.dim() == 0 else alpha.unsqueeze(-1))
    elif alpha == 1:
        result = torch.softmax(scores, dim=-1)
    elif not alpha > 1:
        raise OptionError(message("entmax", f"alpha={alpha} is below 1", "Use alpha >= 1, 1 for softmax"))
    else:
        power = CLOSED_FORMS.get(round(1.0 / (alpha - 1.0), 12))
        result = (
            simplex.project((alpha - 1.0) * scores, power)
            if power
            else _entmax_of_any_alpha(scores, scores.new_full((), alpha))
        )
    return narrowed(result.reshape(()) if x.dim() == 0 else result.movedim(-1, axis), x.dtype)


def sparsemax(x: Tensor, dim: int = -1) -> Tensor:
    """The Euclidean projection onto the simplex: probabilities with exact zeros.

    Nothing is relaxed; as the scale of x grows it tends to the one-hot maximum.

    Args:
        x: scores; -inf for what is masked. Shape (..., n, ...).
        dim: the dim normalized over.

    Returns:
        Shape (..., n, ...), sums to 1 along `dim`.

    Raises:
        DimensionError: `dim` is out of range.

    Source: Martins and Astudillo 2016, arXiv 1602.02068.

    Example:
        >>> import torch, softtorch
        >>> softtorch.sparsemax(torch.tensor([1.0, 0.5, -2.0]))
        tensor([0.7500, 0.2500, 0.0000])
    """
    return entmax(x, 2.0, dim)


CLOSED_FORMS = {1.0: 1, 2.0: 2, 3.0: 3}
"""The powers 1 / (alpha - 1) whose threshold has a closed form."""


def _signed(x: Tensor, masked: Tensor, dim: int) -> Tensor:
    values = torch.where(masked, 0.0, x)
    return values / (1.0 + values.abs().sum(dim, keepdim=True))


def _rectified(x: Tensor, masked: Tensor, dim: int) -> Tensor:
    # Numerator and denominator are multiplied by e^-m, with m >= 0 the largest entry, so that nothing
    # overflows.
    values = torch.where(masked, 0.0, x)
    largest = values.detach().amax(dim, keepdim=True).clamp(min=0.0) if x.numel() else values.sum(dim, keepdim=True)
    unit = torch.exp(-largest)
    # e^(x-m) - e^-m without cancellation at small x: one of the two terms is 0.
    above, below = values.relu(), values.clamp(max=0.0)
    excess = unit * torch.expm1(below) - torch.exp(above - largest) * torch.expm1(-above)
    return excess.relu() / (excess.abs().sum(dim, keepdim=True) + _EPSILON * unit)


VARIANTS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {"abs": _signed, "rectified": _rectified}
"""The variants of softpick: of scores (..., n, ...), which of them are masked, and the dim."""


def _entmax_of_any_alpha(x: Tensor, alpha: Tensor) -> Tensor:
    """p_i = ((alpha - 1) x_i - t)_+^(1 / (alpha - 1)) with sum 1: (..., [n]), alpha () or (..., 1) -> (..., [n])."""
    z, power = (alpha - 1.0) * x, 1.0 / (alpha - 1.0)
    threshold = _bisected(z.detach(), power.detach())
    # Each Newton step from the solution doubles the order up to which the derivatives are right: two give 3.
    for _ in range(2):
        excess = _power(z - threshold, power).sum(-1, keepdim=True) - 1.0
        slope = (power * _power(z - threshold, power - 1.0)).sum(-1, keepdim=True)
        threshold = threshold + excess / slope
    p = _power(z - threshold, power)
    return p / p.sum(-1, keepdim=True).detach()


def _bisected(z: Tensor, power: Tensor) -> Tensor:
    """The threshold, (..., [n]) -> (..., 1), to the precision of the dtype."""
    top = z.amax(-1, keepdim=True)
    low, width = top - 1.0, torch.ones_like(top)  # at top - 1 the sum is at least 1, at top it is 0
    for _ in range(2 - math.frexp(torch.finfo(z.dtype).eps)[1]):
        width = width / 2.0
        middle = low + width
        low = torch.where(_power(z - middle, power).sum(-1, keepdim=True) >= 1.0, middle, low)
    return low


def _power(base: Tensor, power: Tensor) -> Tensor:
    """base_+^power (...), with derivative 0 where base is not positive."""
    positive = base > 0
    return torch.where(positive, torch.where(positive, base, 1.0).pow(power), 0.0)
