"""Random choices among n with derivatives: categorical, multinomial, choice, permutation.

Each adds Gumbel noise to scores and takes a soft decision on the sum: the largest for one draw, the order for draws
without replacement. NAME_st makes the same draw as a hard one, with the soft derivative. Draws of yes or no are in
binary.py. To add one: noisy scores, a decision as a function of the mode given to `decided`, and its `straight_form`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.checks import resolve_mode
from softtorch.errors import OptionError, ShapeError, message, of_type
from softtorch.kernels.numeric.noise import gumbel_like
from softtorch.kernels.numeric.precision import computing_dtype, narrowed, widened
from softtorch.methods import Method
from softtorch.modes import Mode
from softtorch.operators import axiswise, hard_selection
from softtorch.operators.indexing import axis, take, take_along_dim
from softtorch.operators.sampling.binary import decided, straight_form

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


class _Order(NamedTuple):
    """How noisy scores are compared: what the axiswise operators take beside them."""

    softness: Softness
    method: str | Method | None
    standardize: bool
    ot_kwargs: dict[str, Any] | None = None
    return_log_probs: bool = False
    log_prob_eps: Tensor | float | None = None

    def largest(self, keys: Tensor, mode: str | Mode, dim: int = -1) -> Tensor:
        """The place of the largest key (..., n, ...), as a soft index of the form asked for."""
        return axiswise.argmax(keys, dim, False, self.softness, mode, self.method or "softsort", *self[2:])

    def first(self, keys: Tensor, k: int, mode: str | Mode) -> Tensor:
        """The places of the k largest keys (..., [n]), as soft indices (..., k, [n]) of the form asked for."""
        method, more = self.method or "neuralsort", self[2:]
        _, rows = axiswise.topk(keys, k, -1, self.softness, mode, method, *more[:2], True, True, *more[2:])
        if rows is None:  # a method that gives values of few places without their indices
            rows = axiswise.argsort(keys, -1, True, self.softness, mode, method, *more)[..., :k, :]
        return rows


def categorical(
    logits: Tensor,
    dim: int = -1,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    shape: Sequence[int] | None = None,
    replace: bool = True,
    method: str | Method | None = None,
    standardize: bool = False,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
    straight_through: bool = False,
) -> Tensor:
    """One draw from softmax(logits) in each row, as a soft index, or as many as `shape` says.

    The winner of logits plus Gumbel noise is relaxed; in mode smooth this is the Gumbel-softmax. It tends to the
    one-hot draw as softness -> 0.

    Args:
        logits: shape (..., n, ...).
        dim: the dim of the n choices.
        softness: in units of logits; a number or a tensor that broadcasts against the rows.
        shape: of the draws; it ends in one that the rows broadcast to, and its axes before that are further draws.
        replace: whether the further draws of a row may repeat a choice; without, there are at most n.
        method: of the soft argmax, or of the soft order where draws do not repeat; None for their own defaults.
        standardize: standardize noisy logits before they are compared, as `argmax` does.
        straight_through: one-hot in the value, soft in the derivative.

    Returns:
        SoftIndex. Shape (..., ..., [n]), or (*shape, [n]).

    Raises:
        OptionError: unknown mode, or a softness that is not positive.
        DimensionError: `dim` is out of range.
        ShapeError: `shape` does not end in one that the rows broadcast to, or too many draws without repetition.

    Source: Jang et al. 2017, arXiv 1611.01144; Maddison et al. 2017, arXiv 1611.00712.

    Example:
        >>> import torch, softtorch
        >>> softtorch.categorical(torch.tensor([0.0, 1000.0]))
        tensor([0., 1.])
    """
    order = _Order(softness, method, standardize, ot_kwargs, return_log_probs, log_prob_eps)
    if shape is None and replace:
        keys = _noisy(logits, generator)
        draw = decided(lambda mode: order.largest(keys, mode, dim), mode, straight_through)
        return narrowed(draw, logits.dtype)
    rows = logits.movedim(axis("categorical", logits, dim), -1) if logits.dim() else logits.unsqueeze(0)
    batch = tuple(rows.shape[:-1])
    further, ends = _split("categorical", batch if shape is None else _sizes("categorical", shape), batch)
    rows = widened(rows).expand(*ends, rows.shape[-1])
    draws = _draws("categorical", rows, math.prod(further), replace, order, generator)  # (..., k, [n])
    drawn = decided(draws, mode, straight_through).movedim(-2, 0)  # (k, ..., [n])
    return narrowed(drawn.reshape(*further, *ends, rows.shape[-1]), logits.dtype)


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    method: str | Method | None = None,
    standardize: bool = False,
    ot_kwargs: dict[str, Any] | None = None,
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
        method: of the soft argmax, or of the soft order without replacement; None for their own defaults.
        standardize: standardize noisy log-weights before they are compared, as `argmax` does.
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
    order = _Order(softness, method, standardize, ot_kwargs)
    draws = _draws("multinomial", logits, num_samples, replacement, order, generator)
    return narrowed(decided(draws, mode, straight_through), input.dtype)


def choice(
    x: Tensor | int,
    size: int | Sequence[int],
    replace: bool = True,
    p: Tensor | None = None,
    dim: int = 0,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    method: str | Method | None = None,
    standardize: bool = False,
    ot_kwargs: dict[str, Any] | None = None,
    straight_through: bool = False,
) -> Tensor:
    """Random elements of `x` along `dim`, each a weighted average that favours one of them.

    Relaxes `numpy.random.choice`, which it tends to as softness -> 0.

    Args:
        x: shape (..., n, ...); a whole number n stands for the numbers below it.
        size: the number of draws k, at most n without replacement, or a shape of them; `shape=` names it, too.
        replace: whether an element may be drawn twice.
        p: the probability of each element, up to a factor; equal by default. Shape (n).
        dim: the dim chosen along.
        softness: in units of log-probabilities; a number or a 0-dim tensor.
        method: of the soft argmax, or of the soft order without replacement; None for their own defaults.
        standardize: standardize noisy log-probabilities before they are compared, as `argmax` does.
        straight_through: elements of x in the value, soft in the derivative.

    Returns:
        Shape (..., k, ...), or with the shape of the draws in the place of k.

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
    x = _numbers("choice", x)
    dim = axis("choice", x, dim)
    x = x if x.dim() else x.unsqueeze(0)
    n = x.shape[dim]
    shape = _sizes("choice", size)
    weights = torch.ones(n, dtype=computing_dtype(x.dtype), device=x.device) if p is None else widened(p)
    if weights.shape != (n,):
        wrong = f"p {tuple(weights.shape)} does not fit the {n} elements along dim={dim} of {tuple(x.shape)}"
        raise ShapeError(message("choice", wrong, f"Give one probability for each: ({n},)"))
    order = _Order(softness, method, standardize, ot_kwargs)
    draws = _draws("choice", _log(weights), math.prod(shape), replace, order, generator)
    taken = decided(lambda mode: _taken(x, draws(mode), dim, mode), mode, straight_through)
    return taken if isinstance(size, int) else taken.reshape(taken.shape[:dim] + shape + taken.shape[dim + 1 :])


def permutation(
    x: Tensor | int,
    dim: int = 0,
    logits: Tensor | None = None,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    generator: Generator = None,
    *,
    independent: bool = False,
    method: str | Method | None = None,
    standardize: bool = False,
    ot_kwargs: dict[str, Any] | None = None,
    straight_through: bool = False,
) -> Tensor:
    """`x` in random order along `dim`, each place a weighted average that favours one element.

    Relaxes `x[torch.randperm(n)]`, which it tends to as softness -> 0; with `logits` the order is a Plackett-Luce draw
    in which elements of large logits come first.

    Args:
        x: shape (..., n, ...); a whole number n stands for the numbers below it.
        dim: the dim permuted.
        logits: scores of the elements; equal by default. Shape (n).
        softness: in units of logits; a number or a 0-dim tensor.
        independent: draw another order for each row along `dim`, where else all move together.
        method: of the soft order; None for its own default.
        standardize: standardize noisy logits before they are compared, as `argsort` does.
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
    x = _numbers("permutation", x)
    if x.dim() == 0:
        return x.clone()
    dim = axis("permutation", x, dim)
    n = x.shape[dim]
    scores = torch.zeros(n, dtype=computing_dtype(x.dtype), device=x.device) if logits is None else widened(logits)
    if scores.shape != (n,):
        wrong = f"logits {tuple(scores.shape)} do not fit the {n} elements along dim={dim} of {tuple(x.shape)}"
        raise ShapeError(message("permutation", wrong, f"Give one score for each: ({n},)"))
    order = _Order(softness, method, standardize, ot_kwargs)
    rows = x.movedim(dim, -1)  # (..., n)
    keys = _noisy(scores.expand(rows.shape) if independent else scores, generator)

    def permuted(mode: str | Mode) -> Tensor:
        places = order.first(keys, n, mode)  # (n, [n]), or (..., n, [n])
        if not independent:
            return _taken(x, places, dim, mode)
        picked = resolve_mode("permutation", mode).select(_picked_along, take_along_dim)
        return picked(rows, places, -1).movedim(-1, dim)

    return decided(permuted, mode, straight_through)


categorical_st = straight_form(categorical, "categorical")
choice_st = straight_form(choice, "choice")
multinomial_st = straight_form(multinomial, "multinomial")
permutation_st = straight_form(permutation, "permutation")


def _noisy(logits: Tensor, generator: Generator) -> Tensor:
    wide = widened(logits)
    return wide + gumbel_like(wide.detach(), generator)


def _draws(
    where: str, logits: Tensor, k: int, replacement: bool, order: _Order, generator: Generator
) -> Callable[[str | Mode], Tensor]:
    """k draws from each row of logits, (..., n), as soft indices (..., k, [n]) of a mode to be named."""
    n = logits.shape[-1]
    if k < 0 or (k > n and not replacement):
        wrong = f"{k} draws without replacement from {n} elements"
        raise ShapeError(message(where, wrong, f"Use 0 to {n} draws", "Or draw with replacement"))
    if replacement:
        keys = _noisy(logits.unsqueeze(-2).expand(*logits.shape[:-1], k, n), generator)  # (..., k, n)
        return lambda mode: order.largest(keys, mode)
    ordered = _noisy(logits, generator)  # (..., n)
    return lambda mode: order.first(ordered, k, mode)


def _split(where: str, shape: tuple[int, ...], batch: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of further draws, and those that the rows of shape `batch` broadcast to."""
    place = len(shape) - len(batch)
    ends = shape[max(place, 0) :]
    if place < 0 or any(known not in (1, wanted) for known, wanted in zip(batch, ends, strict=True)):
        wrong = f"shape={shape} does not end in one that the batch {batch} broadcasts to"
        raise ShapeError(message(where, wrong, "The batch is the shape of logits without dim"))
    return shape[:place], ends


def _sizes(where: str, size: int | Sequence[int]) -> tuple[int, ...]:
    """The shape of the draws, which one number stands for, too."""
    shape = (size,) if isinstance(size, int) else size
    if not isinstance(shape, Sequence) or not all(isinstance(each, int | torch.SymInt) and each >= 0 for each in shape):
        raise OptionError(message(where, f"size={size!r}", "Use a whole number from 0 on, or a shape of them"))
    return tuple(shape)


def _numbers(where: str, x: Tensor | int) -> Tensor:
    """x, or the whole numbers below a whole one, as floats: a soft choice of them lies between them."""
    if isinstance(x, Tensor):
        return x
    is_number = isinstance(x, int) and not isinstance(x, bool)
    if not is_number or x < 1:
        wrong = f"x={x} has no numbers below it" if is_number else of_type("x", x)
        raise OptionError(message(where, wrong, "Use a tensor, or a whole number above 0"))
    return torch.arange(x, dtype=torch.get_default_dtype())


def _picked_along(x: Tensor, soft_index: Tensor, dim: int) -> Tensor:
    """The elements of x along dim at one-hot soft indices, a row of them for each row."""
    return torch.take_along_dim(x, soft_index.argmax(-1), dim)


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
