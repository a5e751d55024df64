"""Straight-through by a derivative made for the purpose: reinmax for one-hot draws, rotation for nearest codes.

Both are estimators of `st` too, estimators.py; the mathematics is in kernels/surrogate_gradients.py. To add one: a
kernel there, a function here and a class there.
"""

import torch
from torch import Tensor

from softtorch.checks import check_softness, resolve_dim
from softtorch.errors import ShapeError, message
from softtorch.kernels.numeric.noise import gumbel_like
from softtorch.kernels.numeric.precision import narrowed, widened
from softtorch.kernels.surrogate_gradients import rotated, second_order
from softtorch.straight_through.joining import straight_through

__all__ = ["reinmax", "rotation"]


def reinmax(
    logits: Tensor,
    softness: float = 1.0,
    dim: int = -1,
    hard: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A one-hot draw from softmax(logits) with the second-order derivative of ReinMax.

    Nothing is relaxed in the value. At softness 1 the derivative is right in expectation for quadratic losses.

    Args:
        logits: shape (..., n, ...).
        softness: the temperature of the probabilities that the draw is averaged with.
        dim: the dim of the n choices.
        hard: the one-hot draw, [n] last as returned; drawn here by default. Shape (..., [n]).
        generator: of the draw.

    Returns:
        One-hot SoftIndex. Shape (..., [n]).

    Raises:
        DimensionError: `dim` is out of range.
        ShapeError: `hard` has another shape.

    Source: Liu et al. 2023, arXiv 2304.08612, algorithm 2.

    Example:
        >>> import torch, softtorch
        >>> softtorch.reinmax(torch.tensor([0.0, 1000.0]))
        tensor([0., 1.])
    """
    check_softness("reinmax", softness)
    scores = widened(logits).movedim(resolve_dim("reinmax", dim, logits), -1)  # (..., [n])
    if not scores.shape[-1]:
        wrong = f"logits {tuple(logits.shape)} have no choices along dim={dim}"
        raise ShapeError(message("reinmax", wrong, "Use at least one"))
    if hard is None:
        winner = (scores.detach() + gumbel_like(scores.detach(), generator)).argmax(-1, keepdim=True)
        hard = torch.zeros_like(scores.detach()).scatter(-1, winner, 1.0)
    if hard.shape != scores.shape:
        wrong = f"hard {tuple(hard.shape)} is not one-hot over the choices of logits {tuple(logits.shape)}"
        raise ShapeError(message("reinmax", wrong, f"It has the shape {tuple(scores.shape)}, choices last"))
    tempered = torch.softmax(scores.detach() / softness, dim=-1)
    surrogate = second_order(hard.detach(), torch.softmax(scores, dim=-1), tempered)
    return straight_through(narrowed(hard, logits.dtype), surrogate)


def rotation(encoded: Tensor, quantized: Tensor, dim: int = -1) -> Tensor:
    """`quantized`, bit for bit, with the derivative of the rotation that takes `encoded` to it.

    Nothing is relaxed in the value. Where a vector is near 0, or the two are opposite, the derivative is the identity.

    Args:
        encoded: the vectors before quantization. Shape (..., d, ...).
        quantized: the codes chosen for them. Shape (..., d, ...).
        dim: the dim of the vectors.

    Returns:
        Shape (..., d, ...).

    Raises:
        DimensionError: `dim` is out of range.
        ShapeError: the two shapes differ.

    Source: Fifty et al. 2024, arXiv 2410.06424, section 4.

    Example:
        >>> import torch, softtorch
        >>> encoded = torch.tensor([1.0, 0.0], requires_grad=True)
        >>> out = softtorch.rotation(encoded, torch.tensor([0.0, 2.0]))
        >>> torch.autograd.grad(out[1], encoded)[0].round(decimals=3)
        tensor([2., 0.])
    """
    if encoded.shape != quantized.shape:
        wrong = f"encoded {tuple(encoded.shape)} and quantized {tuple(quantized.shape)} differ in shape"
        raise ShapeError(message("rotation", wrong, "Give one code for each vector"))
    dim = resolve_dim("rotation", dim, encoded)
    turned = rotated(widened(encoded).movedim(dim, -1), widened(quantized).movedim(dim, -1))
    return straight_through(quantized, turned.movedim(-1, dim))
