"""Random yes or no with derivatives: bernoulli, rademacher, binomial.

Each adds logistic noise to logits and takes a soft decision on the sign of the sum. NAME_st makes the same draw as a
hard one, with the soft derivative. Choices among n are in categories.py. To add one: noisy logits, a decision as a
function of the mode given to `decided`, and its `straight_form`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import ParamSpec

import torch
from torch import Tensor

from softtorch.errors import OptionError, ShapeError, message
from softtorch.kernels.joined import joined
from softtorch.kernels.numeric.noise import logistic_like
from softtorch.kernels.numeric.precision import narrowed, widened
from softtorch.kernels.numeric.tracing import differentiating
from softtorch.modes import Mode
from softtorch.operators.elementwise import heaviside

__all__ = ["bernoulli", "bernoulli_st", "binomial", "binomial_st", "rademacher", "rademacher_st"]

P = ParamSpec("P")
Softness = Tensor | float
Generator = torch.Generator | None


def bernoulli(
    p: Tensor | float = 0.5,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    shape: Sequence[int] | None = None,
    straight_through: bool = False,
) -> Tensor:
    """A draw that is 1 with probability p and 0 otherwise, as a SoftBool.

    Relaxes `torch.bernoulli`, in distribution: the sign of logit(p) plus logistic noise, in mode smooth the binary
    concrete distribution. Exactly 0 and 1 for p = 0 and 1.

    Args:
        p: probabilities. A number, or shape (...).
        softness: in units of logits; a number or a tensor that broadcasts against p.
        shape: of the draws, which p broadcasts to; that of p by default.
        straight_through: 0 or 1 in the value, soft in the derivative.

    Returns:
        SoftBool. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.
        ShapeError: p does not broadcast to `shape`.

    Source: Maddison et al. 2017, arXiv 1611.00712, section 4.

    Example:
        >>> import torch, softtorch
        >>> softtorch.bernoulli(torch.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """
    p = _shaped("bernoulli", p, shape)
    wide = widened(p)
    keys = _logit(wide) + logistic_like(wide.detach(), generator)
    draw = decided(lambda mode: heaviside(keys, softness, mode, values=0.0), mode, straight_through)
    return narrowed(draw, p.dtype)


def rademacher(
    p: Tensor | float = 0.5,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    shape: Sequence[int] | None = None,
    straight_through: bool = False,
) -> Tensor:
    """A draw that is 1 with probability p and -1 otherwise, softly.

    Relaxes a random sign, which it tends to as softness -> 0.

    Args:
        p: probabilities of 1; 1/2 for the Rademacher distribution. A number, or shape (...).
        softness: in units of logits; a number or a tensor that broadcasts against p.
        shape: of the draws, which p broadcasts to; that of p by default.
        straight_through: -1 or 1 in the value, soft in the derivative.

    Returns:
        2 bernoulli(p) - 1, in [-1, 1]. Shape (...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.
        ShapeError: p does not broadcast to `shape`.

    Source: `bernoulli`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.rademacher(torch.tensor([0.0, 1.0]))
        tensor([-1.,  1.])
    """
    p = _shaped("rademacher", p, shape)
    draw = bernoulli(widened(p), softness, mode, generator, straight_through=straight_through)
    return narrowed(2.0 * draw - 1.0, p.dtype)


def binomial(
    count: int | Tensor,
    p: Tensor,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    max_count: int | None = None,
    *,
    straight_through: bool = False,
) -> Tensor:
    """The number of successes in `count` independent draws of probability p, softly.

    Relaxes `torch.binomial`, in distribution: a sum of `bernoulli` draws.

    Args:
        count: the number of draws; a number, or one for each p, shape (...).
        p: probabilities. Shape (...).
        softness: in units of logits; a number or a tensor that broadcasts against p.
        max_count: the most that a tensor `count` holds, which is not read back.
        straight_through: whole numbers in the value, soft in the derivative.

    Returns:
        Between 0 and count. Shape (...).

    Raises:
        OptionError: unknown mode, a softness that is not positive, a negative count, or a tensor count without
            max_count.

    Source: `bernoulli`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.binomial(3, torch.tensor([0.0, 1.0]))
        tensor([0., 3.])
    """
    draws = max_count if isinstance(count, Tensor) else count
    if draws is None or draws < 0:
        wrong = "count is a tensor and max_count is not given" if draws is None else f"count={draws} is negative"
        raise OptionError(message("binomial", wrong, "Use a count >= 0, and max_count with a tensor of counts"))
    counts = count.shape if isinstance(count, Tensor) else ()
    shape = (draws, *torch.broadcast_shapes(p.shape, counts))  # type: ignore[no-untyped-call]  # untyped in torch
    wins = bernoulli(widened(p).expand(shape), softness, mode, generator, straight_through=straight_through)
    if isinstance(count, Tensor):
        places = torch.arange(draws, device=p.device).reshape(-1, *[1] * (len(shape) - 1))
        wins = torch.where(places < count, wins, 0.0)
    return narrowed(wins.sum(0), p.dtype)


def decided(decision: Callable[[str | Mode], Tensor], mode: str | Mode, straight: bool) -> Tensor:
    """The decision in a mode, or its hard value with the derivative of that mode; the noise is in it already."""
    if not straight:
        return decision(mode)
    hard = decision("hard")
    return joined(hard, decision(mode)) if differentiating() else hard


def straight_form(fn: Callable[P, Tensor], name: str) -> Callable[P, Tensor]:
    """The same draw, hard in the value and soft in the derivative, under the name NAME_st."""

    @functools.wraps(fn)
    def straight(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        call: Callable[..., Tensor] = fn
        return call(*args, **kwargs, straight_through=True)

    straight.__name__ = straight.__qualname__ = f"{name}_st"
    straight.__doc__ = f"A hard draw of `{name}`, with the derivative of the soft draw from the same noise."
    return straight


bernoulli_st = straight_form(bernoulli, "bernoulli")
binomial_st = straight_form(binomial, "binomial")
rademacher_st = straight_form(rademacher, "rademacher")


def _shaped(where: str, p: Tensor | float, shape: Sequence[int] | None) -> Tensor:
    """p as a tensor, of this shape where one is given."""
    p = p if isinstance(p, Tensor) else torch.tensor(p, dtype=torch.get_default_dtype())
    if shape is None:
        return p
    try:
        return p.expand(tuple(shape))
    except RuntimeError as error:
        wrong = f"p {tuple(p.shape)} does not broadcast to shape={tuple(shape)}"
        raise ShapeError(message(where, wrong, "Leave shape out, or give one that p broadcasts to")) from error


def _logit(p: Tensor) -> Tensor:
    """logit of p (...): infinite at 0 and 1, without a derivative there."""
    inside = (p > 0) & (p < 1)
    q = torch.where(inside, p, 0.5)
    return torch.where(inside, q.log() - torch.log1p(-q), torch.where(p > 0.5, torch.inf, -torch.inf))
