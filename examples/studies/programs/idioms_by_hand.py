"""Idioms as experts write them by hand: a line of torch each, with a temperature, for those that are usually rewritten.

Each takes x, (24,), in units of one, and a temperature; its value is the soft form of the idiom of that name.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from programs.idioms import ROWS, TABLE, WEIGHTS
from torch import Tensor

__all__ = ["BY_HAND", "TEMPERATURES"]

TEMPERATURES = (0.1, 0.2, 0.3)


def above(x: Tensor, t: float, temperature: float) -> Tensor:
    return torch.sigmoid((x - t) / temperature)


def ranks(x: Tensor, temperature: float) -> Tensor:
    """By pairs: how many others each number is above."""
    return torch.sigmoid((x.unsqueeze(-1) - x) / temperature).sum(-1) - 0.5


def largest(rows: Tensor, temperature: float) -> Tensor:
    return torch.softmax(rows / temperature, -1)


def among_the_first(x: Tensor, k: int, temperature: float) -> Tensor:
    """A threshold halfway between the k-th and the next value."""
    sorted = x.sort(descending=True).values
    return torch.sigmoid((x - 0.5 * (sorted[k - 1] + sorted[k])) / temperature)


def up_to_here(rows: Tensor, temperature: float) -> Tensor:
    """A softmax over each prefix, at its last entry."""
    return torch.exp(rows / temperature - torch.logcumsumexp(rows / temperature, -1))


def among_neighbours(rows: Tensor, temperature: float) -> Tensor:
    """A softmax over each window of three, at its middle."""
    windows = F.pad(rows, (1, 1), value=-1e9).unfold(-1, 3, 1)
    return torch.softmax(windows / temperature, -1)[..., 1]


def first_true(rows: Tensor, temperature: float) -> Tensor:
    """The place times the probability that none before is true."""
    p = above(rows, 0.5, temperature)
    none_before = torch.cumprod(torch.cat((torch.ones(4, 1), 1.0 - p[:, :-1]), -1), -1)
    return (p * none_before) @ torch.arange(6.0)


def suppressed(rows: Tensor, temperature: float) -> Tensor:
    """Soft weights of the best take from their neighbours, twice."""
    kept = torch.ones_like(rows)
    for _ in range(2):
        best = torch.softmax((rows * kept + (1.0 - kept) * rows.min().detach()) / temperature, -1)
        near = F.pad(best, (1, 1))
        kept = kept * (1.0 - near[:, :-2] - near[:, 2:])
    return kept


BY_HAND: dict[str, Callable[[Tensor, float], Tensor]] = {
    "isclose": lambda x, s: (above(x, -0.2, s) - above(x, 0.8, s)) @ WEIGHTS,
    "argsort().argsort()": lambda x, s: ranks(x, s) @ WEIGHTS,
    "scatter of arange by argsort": lambda x, s: ranks(x, s) @ WEIGHTS,
    "searchsorted in its own sort": lambda x, s: ranks(x, s) @ WEIGHTS,
    "top-k mask": lambda x, s: among_the_first(x, 6, s) @ WEIGHTS,
    "threshold by the k-th value": lambda x, s: among_the_first(x, 6, s) @ WEIGHTS,
    "one_hot(argmax) * values": lambda x, s: largest(x.view(4, 6), s) @ TABLE @ ROWS,
    "rows == rows.max()": lambda x, s: largest(x.view(4, 6), s) @ TABLE @ ROWS,
    "running maximum": lambda x, s: up_to_here(x.view(4, 6), s).sum(-1) @ ROWS,
    "first true": lambda x, s: first_true(x.view(4, 6), s) @ ROWS,
    "count by an arange": lambda x, s: above(x.view(4, 6), 0.0, s).sum(-1) @ ROWS,
    "bits of a code": lambda x, s: above(x.view(6, 4), 0.0, s) @ 2.0 ** torch.arange(4) @ TABLE,
    "masked twice": lambda x, s: (above(x, 0.2, s) * above(-x, -1.2, s)) @ WEIGHTS,
    "greedy suppression": lambda x, s: suppressed(x.view(4, 6), s) @ TABLE @ ROWS,
    "nonzero entries of a relu": lambda x, s: above(x.view(4, 6), 0.0, s).sum(-1) @ ROWS,
    "greatest of its neighbours, by pooling": lambda x, s: among_neighbours(x.view(4, 6), s) @ TABLE @ ROWS,
    "straight-through code": lambda x, s: above(x, 0.0, s) @ WEIGHTS,
}
