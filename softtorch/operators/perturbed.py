"""Perturbed optimizers: a derivative for any function of scores that can be evaluated in batches, by Gaussian noise.

For the choices that softtorch has operators for, those are exact and cheaper. Nothing here knows what the function is.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from softtorch.checks import check_softness
from softtorch.errors import OptionError, ShapeError, message
from softtorch.kernels.numeric.precision import widened
from softtorch.kernels.numeric.tracing import differentiating
from softtorch.operators.relaxed import straight

__all__ = ["perturbed"]


def perturbed(
    fn: Callable[[Tensor], Tensor],
    num_samples: int = 100,
    softness: float = 0.1,
    event_dims: int = 1,
    generator: torch.Generator | None = None,
) -> Callable[[Tensor], Tensor]:
    """The mean of `fn` under Gaussian noise on its scores, with the derivative of that mean.

    Relaxes any piecewise constant function, which it tends to as softness -> 0. The noise comes in pairs of opposite
    sign, whose differences need no baseline: J = E[(y(x + s Z) - y(x - s Z)) Z^T] / 2s. First derivatives only.

    Args:
        fn: takes scores with a leading axis of samples in front, (m, ..., n), to (m, ..., any); not differentiated.
        num_samples: how many noisy scores are tried, an even number.
        softness: the standard deviation of the noise, in units of the scores.
        event_dims: how many trailing dims `fn` treats as one problem; those in front are independent of each other.

    Returns:
        A function of scores (..., n) to (..., any).

    Raises:
        OptionError: an odd number of samples, or a softness that is not positive.
        ShapeError: when called, the scores have fewer dims than `event_dims`.

    Source: Berthet et al. 2020, arXiv 2002.08676, proposition 3.1.

    Example:
        >>> import torch, softtorch
        >>> def winner(scores):
        ...     return torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).float()
        >>> softtorch.perturbed(winner)(torch.tensor([0.0, 9.0]))
        tensor([0., 1.])
    """
    check_softness("perturbed", softness)
    if num_samples < 2 or num_samples % 2:
        wrong = f"num_samples={num_samples} does not make pairs"
        raise OptionError(message("perturbed", wrong, "Use an even number of at least 2"))

    @functools.wraps(fn)
    def smoothed(scores: Tensor) -> Tensor:
        if scores.dim() < event_dims:
            wrong = f"scores {tuple(scores.shape)} have fewer than event_dims={event_dims} dims"
            raise ShapeError(message("perturbed", wrong, "Each problem has that many trailing dims"))
        half = num_samples // 2
        wide = widened(scores)
        noise = torch.randn(half, *scores.shape, generator=generator, dtype=wide.dtype, device=wide.device)
        shifted = torch.cat([wide.detach() + softness * noise, wide.detach() - softness * noise])
        answers = fn(shifted.to(scores.dtype)).detach()  # (2 m, ..., any)
        answers = answers if answers.is_floating_point() else answers.to(wide.dtype)
        value = answers.mean(0)
        if not differentiating():
            return value
        above, below = answers[:half], answers[half:]
        aligned = (noise * wide).flatten(-event_dims).sum(-1)  # (m, ...)
        weights = aligned.reshape(aligned.shape + (1,) * (above.dim() - aligned.dim()))
        surrogate = ((above - below).to(wide.dtype) * weights).mean(0) / (2.0 * softness)
        return straight("perturbed", value, surrogate)

    return smoothed
