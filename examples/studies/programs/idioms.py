"""Idioms: one line of torch each, of 24 numbers and of thresholds, bins or values in the same unit.

Each takes x, (24,), and the unit of the data: what is decided about is multiplied by it, and so are thresholds, edges
and codes. What an idiom returns is weighted unevenly and summed, for the sum of ranks is a constant.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["COUNT", "IDIOMS", "Idiom"]

Idiom = Callable[[Tensor, float], Tensor]
COUNT = 24
WEIGHTS = torch.linspace(-1.0, 1.5, COUNT).roll(7)
ROWS = WEIGHTS[:4]
TABLE = torch.tensor([0.3, -1.0, 0.8, 1.4, -0.2, 0.5])


def own_place(x: Tensor) -> Tensor:
    return torch.zeros(COUNT, dtype=torch.long).scatter(0, x.argsort(), torch.arange(COUNT))


def suppressed(x: Tensor) -> Tensor:
    """Greedy suppression: of neighbours the best one stays, rows (4, 6)."""
    kept = torch.ones_like(x)
    for _ in range(2):
        best = (x * kept + (1.0 - kept) * x.min().detach()).argmax(-1, keepdim=True)
        near = ((torch.arange(x.shape[-1]) - best).abs() == 1).float()
        kept = kept * (1.0 - near)
    return kept


def stays_on(x: Tensor, unit: float) -> Tensor:
    """A switch that goes on above 0.5 and off below -0.5, along rows (4, 6)."""
    on, seen = torch.zeros(4, dtype=torch.bool), []
    for column in x.unbind(-1):
        on = (column > 0.5 * unit) | (on & ~(column < -0.5 * unit))
        seen.append(on)
    return torch.stack(seen, -1).float()


def in_nucleus(logits: Tensor) -> Tensor:
    """The likeliest entries of each row that have 0.7 of its probability together, rows (4, 6)."""
    sorted, places = logits.softmax(-1).sort(-1, descending=True)
    return torch.zeros(4, 6).scatter(-1, places, (sorted.cumsum(-1) - sorted < 0.7).float())


def spread_by_medians(x: Tensor) -> Tensor:
    """The median absolute deviation of rows (4, 6)."""
    return (x - x.median(-1, keepdim=True).values).abs().median(-1).values


def commonest_bin(x: Tensor, unit: float) -> Tensor:
    """The bin of four that most of each row are in, rows (4, 6)."""
    bins = torch.bucketize(x, unit * torch.tensor([-1.0, 0.0, 1.0]))
    return F.one_hot(bins, 4).sum(-2).argmax(-1)


def winner(x: Tensor) -> Tensor:
    """Which of two classes most of three voters of each row choose, rows (4, 6)."""
    return F.one_hot(x.view(-1, 3, 2).argmax(-1), 2).sum(-2).argmax(-1)


def looked_up_twice(x: Tensor) -> Tensor:
    """The product of what six chosen places have in two tables."""
    chosen = x.topk(6).indices
    return WEIGHTS[chosen] @ torch.linspace(1.0, 0.2, COUNT)[chosen]


def with_its_own_derivative(x: Tensor, unit: float) -> Tensor:
    """A step whose derivative the program itself makes that of a sigmoid."""
    soft = torch.sigmoid(x / (0.2 * unit))
    return soft + ((x > 0.0).float() - soft).detach()


IDIOMS: dict[str, Idiom] = {
    "(x > t).sum()": lambda x, u: (x > 0.4 * u).float() @ WEIGHTS,
    "where(x > t, a, b)": lambda x, u: torch.where(x > 0.4 * u, WEIGHTS, 0.3).sum(),
    "x[x > t].mean()": lambda x, u: x[x > 0.1 * u].mean() / u,
    "(rows > t).any(-1)": lambda x, u: (x.view(4, 6) > u).any(-1).float() @ ROWS,
    "(rows > t).all(-1)": lambda x, u: (x.view(4, 6) > -u).all(-1).float() @ ROWS,
    "sign(x)": lambda x, u: torch.sign(x) @ WEIGHTS,
    "bucketize": lambda x, u: torch.bucketize(x, u * torch.tensor([-1.0, 0.0, 0.7])).float() @ WEIGHTS,
    "histc": lambda x, u: torch.histc(x, 4, -2.0 * u, 2.0 * u) @ ROWS,
    "isclose": lambda x, u: torch.isclose(x, torch.tensor(0.3 * u), rtol=0.0, atol=0.5 * u).float() @ WEIGHTS,
    "two layers of sign": lambda x, u: torch.sign(torch.sign(x).view(4, 6) @ TABLE) @ ROWS,
    "a threshold far away": lambda x, u: (x > 12.0 * u).float() @ WEIGHTS.abs(),
    "argsort().argsort()": lambda x, u: x.argsort().argsort().float() @ WEIGHTS,
    "scatter of arange by argsort": lambda x, u: own_place(x).float() @ WEIGHTS,
    "searchsorted in its own sort": lambda x, u: torch.searchsorted(x.sort().values, x).float() @ WEIGHTS,
    "(x > x[:, None]).sum()": lambda x, u: (x > x.unsqueeze(-1)).float().sum(0) @ WEIGHTS,
    "gather by argsort": lambda x, u: WEIGHTS[x.argsort()] @ torch.linspace(0.0, 1.0, COUNT),
    "top-k mask": lambda x, u: torch.zeros(COUNT).scatter(0, x.topk(6).indices, 1.0) @ WEIGHTS,
    "first places of an order": lambda x, u: WEIGHTS[x.argsort(descending=True)[:6]].sum(),
    "two look-ups by one choice": lambda x, u: looked_up_twice(x),
    "threshold by the k-th value": lambda x, u: (x >= x.kthvalue(COUNT - 5).values).float() @ WEIGHTS,
    "rows.argmax(-1)": lambda x, u: x.view(4, 6).argmax(-1).float() @ ROWS,
    "table[rows.argmax(-1)]": lambda x, u: TABLE[x.view(4, 6).argmax(-1)] @ ROWS,
    "one_hot(argmax) * values": lambda x, u: (F.one_hot(x.view(4, 6).argmax(-1), 6) * TABLE).sum(-1) @ ROWS,
    "rows == rows.max()": lambda x, u: ((x.view(4, 6) == x.view(4, 6).amax(-1, keepdim=True)) * TABLE).sum(-1) @ ROWS,
    "running maximum": lambda x, u: (x.view(4, 6) >= x.view(4, 6).cummax(-1).values).float().sum(-1) @ ROWS,
    "first true": lambda x, u: (x.view(4, 6) > 0.5 * u).int().argmax(-1).float() @ ROWS,
    "count by an arange": lambda x, u: (
        (torch.arange(12) < (x.view(4, 6) > 0.0).sum(-1, keepdim=True)).float().sum(-1) @ ROWS
    ),
    "bits of a code": lambda x, u: ((x.view(6, 4) > 0.0).long() * 2 ** torch.arange(4)).sum(-1).float() @ TABLE,
    "masked twice": lambda x, u: ((x > 0.2 * u) & (x < 1.2 * u)).float() @ WEIGHTS,
    "greedy suppression": lambda x, u: (suppressed(x.view(4, 6)) * TABLE).sum(-1) @ ROWS,
    "majority of a row": lambda x, u: ((x.view(4, 6) > 0.0).sum(-1) > 3).float() @ ROWS,
    "majority by count_nonzero": lambda x, u: (torch.count_nonzero(x.view(4, 6) > 0.0, -1) > 3).float() @ ROWS,
    "above the median": lambda x, u: (
        ((x.view(4, 6) > x.view(4, 6).median(-1, keepdim=True).values) * TABLE).sum(-1) @ ROWS
    ),
    "at least the second largest": lambda x, u: (
        ((x.view(4, 6) >= x.view(4, 6).topk(2).values[:, -1:]) * TABLE).sum(-1) @ ROWS
    ),
    "between quantiles": lambda x, u: ((x > x.quantile(0.1)) & (x < x.quantile(0.9))).float() @ WEIGHTS,
    "largest kept, others 0": lambda x, u: (
        torch.where(x.view(4, 6) == x.view(4, 6).amax(-1, keepdim=True), x.view(4, 6) / u, 0.0).sum(-1) @ ROWS
    ),
    "hysteresis": lambda x, u: (stays_on(x.view(4, 6), u) * TABLE).sum(-1) @ ROWS,
    "top-p mask": lambda x, u: (in_nucleus(x.view(4, 6) / u) * TABLE).sum(-1) @ ROWS,
    "trimmed mean": lambda x, u: x.view(4, 6).sort(-1).values[:, 1:-1].mean(-1) @ ROWS / u,
    "median absolute deviation": lambda x, u: spread_by_medians(x.view(4, 6)) @ ROWS / u,
    "commonest bin": lambda x, u: commonest_bin(x.view(4, 6), u).float() @ ROWS,
    "majority of voters": lambda x, u: winner(x.view(4, 6)).float() @ ROWS,
    "equal signs": lambda x, u: (torch.sign(x[:12]) == torch.sign(x[12:])).float() @ WEIGHTS[:12],
    "product above 0": lambda x, u: (x[:12] * x[12:] > 0.0).float() @ WEIGHTS[:12],
    "last true by max of places": lambda x, u: (
        (torch.arange(6) * (x.view(4, 6) > 0.3 * u)).max(-1).values.float() @ ROWS
    ),
    "(argmax - place).abs()": lambda x, u: (x.view(4, 6).argmax(-1).float() - 2.3).abs() @ ROWS,
    "((x > t).float() - y).square()": lambda x, u: ((x > 0.2 * u).float() - TABLE.repeat(4)).square() @ WEIGHTS,
    "within 1 of the wanted place": lambda x, u: ((x.view(4, 6).argmax(-1) - 2.3).abs() < 1.0).float() @ ROWS,
    "greatest of its neighbours, by pooling": lambda x, u: (
        ((x.view(4, 6) == F.max_pool1d(x.view(4, 1, 6), 3, 1, 1)[:, 0]) * TABLE).sum(-1) @ ROWS
    ),
    "nonzero entries of a relu": lambda x, u: torch.count_nonzero(F.relu(x.view(4, 6)), -1).float() @ ROWS,
    "straight-through code": lambda x, u: with_its_own_derivative(x, u) @ WEIGHTS,
    "round(x / unit)": lambda x, u: torch.round(2.0 * x / u) @ WEIGHTS,
}
