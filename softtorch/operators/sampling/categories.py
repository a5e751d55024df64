"""Random choices among n with derivatives: categorical, multinomial, choice, permutation.

Each adds Gumbel noise to scores and takes a soft decision on the sum: the largest for one draw, the order for draws
without replacement. NAME_st makes the same draw as a hard one, with the soft derivative. Draws of yes or no are in
binary.py. To add one: noisy scores, a decision as a function of the mode given to `decided`, and its `straight_form`.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from softtorch.errors import ShapeError, message
from softtorch.kernels.numeric.noise import gumbel_like
from softtorch.kernels.numeric.precision import computing_dtype, narrowed, widened
from softtorch.modes import Mode
from softtorch.operators import axiswise, hard_selection
from softtorch.operators.indexing import axis, take
from softtorch.operators.sampling.binary import decided, straight_form
from softtorch.options import resolve_mode

__all__ = [
    "categorical",
    "categorical_st",
    "choice",
    "choice_st",
    "multinomial",
    "multinomial_st",
    "permutation",
    "permutation_st",
]

Softness = Tensor | float
Generator = torch.Generator | None


def categorical(
    logits: Tensor,
    dim: int = -1,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    straight_through: bool = False,
) -> Tensor:
    """One draw from softmax(logits) in each row, as a soft index.

    The winner of logits plus Gumbel noise is relaxed; in mode smooth this is the Gumbel-softmax. It tends to the
    one-hot draw as softness -> 0.

    Args:
        logits: shape (..., n, ...).
        dim: the dim of the n choices.
        softness: in units of logits; a number or a tensor that broadcasts against the rows.
        straight_through: one-hot in the value, soft in the derivative.

    Returns:
        SoftIndex. Shape (..., ..., [n]).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.
        DimensionError: `dim` is out of range.

    Source: Jang et al. 2017, arXiv 1611.01144; Maddison et al. 2017, arXiv 1611.00712.

    Example:
        >>> import torch, softtorch
        >>> softtorch.categorical(torch.tensor([0.0, 1000.0]))
        tensor([0., 1.])
    """
    keys = _noisy(logits, generator)

    def decision(mode: str | Mode) -> Tensor:
        return axiswise.argmax(keys, dim, softness=softness, mode=mode, standardize=False)

    return narrowed(decided(decision, mode, straight_through), logits.dtype)


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    straight_through: bool = False,
) -> Tensor:
    """Several draws from each row of weights, as soft indices.

    Relaxes `torch.multinomial`: the largest of log-weights plus Gumbel noise, of fresh noise for each draw with
    replacement, and the first `num_samples` places of one order without.

    Args:
        input: weights, not negative. Shape (..., n).
        num_samples: the number of draws k, at most n without replacement.
        replacement: whether an element may be drawn twice.
        softness: in units of log-weights; a number or a tensor that broadcasts against the rows.
        straight_through: one-hot in the value, soft in the derivative.

    Returns:
        SoftIndex. Shape (..., k, [n]).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.
        ShapeError: too many draws.

    Source: Kool et al. 2019, arXiv 1903.06059, Gumbel top-k; arXiv 1611.01144 with replacement.

    Example:
        >>> import torch, softtorch
        >>> softtorch.multinomial(torch.tensor([0.0, 1.0]), 2, replacement=True)
        tensor([[0., 1.],
                [0., 1.]])
    """
    if input.dim() == 0:
        raise ShapeError(message("multinomial", "input () has no dims", "Its last dim holds the weights: (..., n)"))
    logits = _log(widened(input))  # (..., n)
    draws = _draws("multinomial", logits, num_samples, replacement, softness, generator)
    return narrowed(decided(draws, mode, straight_through), input.dtype)


def choice(
    x: Tensor,
    size: int,
    replace: bool = True,
    p: Tensor | None = None,
    dim: int = 0,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    straight_through: bool = False,
) -> Tensor:
    """Random elements of `x` along `dim`, each a weighted average that favours one of them.

    Relaxes `numpy.random.choice`, which it tends to as softness -> 0.

    Args:
        x: shape (..., n, ...).
        size: the number of draws k, at most n without replacement.
        replace: whether an element may be drawn twice.
        p: the probability of each element, up to a factor; equal by default. Shape (n).
        dim: the dim chosen along.
        softness: in units of log-probabilities; a number or a 0-dim tensor.
        straight_through: elements of x in the value, soft in the derivative.

    Returns:
        Shape (..., k, ...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.
        DimensionError: `dim` is out of range.
        ShapeError: too many draws, or `p` is not of shape (n).

    Source: as `multinomial`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.choice(torch.tensor([3.0, 5.0]), 2, p=torch.tensor([0.0, 1.0]))
        tensor([5., 5.])
    """
    dim = axis("choice", x, dim)
    x = x if x.dim() else x.unsqueeze(0)
    n = x.shape[dim]
    weights = torch.ones(n, dtype=computing_dtype(x.dtype), device=x.device) if p is None else widened(p)
    if weights.shape != (n,):
        wrong = f"p {tuple(weights.shape)} does not fit the {n} elements along dim={dim} of {tuple(x.shape)}"
        raise ShapeError(message("choice", wrong, f"Give one probability for each: ({n},)"))
    draws = _draws("choice", _log(weights), size, replace, softness, generator)
    return decided(lambda mode: _taken(x, draws(mode), dim, mode), mode, straight_through)


def permutation(
    x: Tensor,
    dim: int = 0,
    logits: Tensor | None = None,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    straight_through: bool = False,
) -> Tensor:
    """`x` in random order along `dim`, each place a weighted average that favours one element.

    Relaxes `x[torch.randperm(n)]`, which it tends to as softness -> 0; with `logits` the order is a Plackett-Luce draw
    in which elements of large logits come first.

    Args:
        x: shape (..., n, ...).
        dim: the dim permuted.
        logits: scores of the elements; equal by default. Shape (n).
        softness: in units of logits; a number or a 0-dim tensor.
        straight_through: a permutation in the value, soft in the derivative.

    Returns:
        Shape (..., n, ...).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.
        DimensionError: `dim` is out of range.
        ShapeError: `logits` is not of shape (n).

    Source: Grover et al. 2019, arXiv 1903.08850, section 4.

    Example:
        >>> import torch, softtorch
        >>> softtorch.permutation(torch.tensor([3.0, 5.0]), logits=torch.tensor([0.0, 1000.0]))
        tensor([5., 3.])
    """
    if x.dim() == 0:
        return x.clone()
    dim = axis("permutation", x, dim)
    n = x.shape[dim]
    scores = torch.zeros(n, dtype=computing_dtype(x.dtype), device=x.device) if logits is None else widened(logits)
    if scores.shape != (n,):
        wrong = f"logits {tuple(scores.shape)} do not fit the {n} elements along dim={dim} of {tuple(x.shape)}"
        raise ShapeError(message("permutation", wrong, f"Give one score for each: ({n},)"))
    keys = _noisy(scores, generator)

    def permuted(mode: str | Mode) -> Tensor:
        rows = axiswise.argsort(keys, -1, descending=True, softness=softness, mode=mode, standardize=False)
        return _taken(x, rows, dim, mode)

    return decided(permuted, mode, straight_through)


categorical_st = straight_form(categorical, "categorical")
choice_st = straight_form(choice, "choice")
multinomial_st = straight_form(multinomial, "multinomial")
permutation_st = straight_form(permutation, "permutation")


def _noisy(logits: Tensor, generator: Generator) -> Tensor:
    wide = widened(logits)
    return wide + gumbel_like(wide.detach(), generator)


def _draws(
    where: str, logits: Tensor, k: int, replacement: bool, softness: Softness, generator: Generator
) -> Callable[[str | Mode], Tensor]:
    """k draws from each row of logits, (..., n), as soft indices (..., k, [n]) of a mode to be named."""
    n = logits.shape[-1]
    if k < 0 or (k > n and not replacement):
        wrong = f"{k} draws without replacement from {n} elements"
        raise ShapeError(message(where, wrong, f"Use 0 to {n} draws", "Or draw with replacement"))
    if replacement:
        keys = _noisy(logits.unsqueeze(-2).expand(*logits.shape[:-1], k, n), generator)  # (..., k, n)
        return lambda mode: axiswise.argmax(keys, -1, softness=softness, mode=mode, standardize=False)
    ordered = _noisy(logits, generator)  # (..., n)

    def first(mode: str | Mode) -> Tensor:
        rows = axiswise.topk(ordered, k, -1, softness=softness, mode=mode, standardize=False).indices
        return cast(Tensor, rows)

    return first


def _taken(x: Tensor, rows: Tensor, dim: int, mode: str | Mode) -> Tensor:
    """The elements of x along dim at rows (k, [n]): exactly those, where the rows are one-hot."""
    picked = resolve_mode("take", mode).select(_picked, take)
    return picked(x, rows, dim)


def _picked(x: Tensor, soft_index: Tensor, dim: int | None = None) -> Tensor:
    """The elements of x along dim at one-hot soft indices (k, [n])."""
    return hard_selection.take(x, soft_index.argmax(-1), dim)


def _log(weights: Tensor) -> Tensor:
    """log of weights (...): -inf at 0, without a derivative there."""
    positive = weights > 0
    return torch.where(positive, torch.where(positive, weights, 1.0).log(), -torch.inf)
