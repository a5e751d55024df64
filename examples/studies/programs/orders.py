"""Sorting supervision without softness: numbers of four digits, the network that reads them, two programs of a user.

torch and scikit-learn alone, so that the environment of another library can run it.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]  # scores (b, n), numbers (b, n) -> ()
Digits = tuple[Tensor, Tensor]
BATCH = 32


def places(scores: Tensor) -> Tensor:
    """The permutation that sorts: (b, n) -> (b, n, n)."""
    return F.one_hot(scores.argsort(-1), scores.shape[-1]).float()


def order_loss(scores: Tensor, numbers: Tensor) -> Tensor:
    """The squared error of the permutation that sorts the scores, against that of the numbers: (b, n) x2 -> ()."""
    return (places(scores) - places(numbers)).square().sum((-1, -2)).mean()


def ranks(scores: Tensor) -> Tensor:
    """The rank of each score in its row, from 0: (b, n) -> (b, n)."""
    return torch.searchsorted(scores.sort(-1).values, scores).float()


def rank_loss(scores: Tensor, numbers: Tensor) -> Tensor:
    """The squared error of the ranks of the scores, against those of the numbers: (b, n) x2 -> ()."""
    return (ranks(scores) - ranks(numbers)).square().sum(-1).mean()


def loaded() -> tuple[Digits, Digits]:
    """Images (m, 64) and labels (m,) of digits to train on, and of others."""
    digits = load_digits()
    images, labels = torch.tensor((digits.data / 16).astype("float32")), torch.tensor(digits.target)
    return (images[:1400], labels[:1400]), (images[1400:], labels[1400:])


def sets(images: Tensor, labels: Tensor, size: int, count: int) -> tuple[Tensor, Tensor]:
    """Sets of four-digit numbers: images (b, n, 4, 64) and the numbers (b, n)."""
    chosen = torch.randint(len(labels), (size, count, 4))
    return images[chosen], (labels[chosen] * torch.tensor([1000, 100, 10, 1])).sum(-1)


class Reader(nn.Module):
    """Four digits (..., 4, 64) to one score (...)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, digits: Tensor) -> Tensor:
        return self.layers(digits.flatten(-2)).squeeze(-1)


def right(model: Reader, digits: Tensor, numbers: Tensor) -> tuple[float, float]:
    """The shares of sets and of places that are right, in percent."""
    with torch.no_grad():
        same = ranks(model(digits)) == ranks(numbers)
    return 100 * float(same.all(-1).float().mean()), 100 * float(same.float().mean())


@dataclass(frozen=True)
class Job:
    """One training: of a row of the table, at a softness ("calibrated" has none), for sets of `count`."""

    row: str
    softness: float | None
    count: int
    steps: int
    seed: int


@dataclass(frozen=True)
class End:
    """What a training reached: sets and places right in percent, places of sets of training, seconds a step."""

    exact: float
    element: float
    fit: float
    seconds: float
    softness: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def reached(loss: Loss, job: Job, softness: float) -> End:
    """Train by a loss; processor seconds of the steps alone."""
    train, held = loaded()
    torch.manual_seed(job.seed)
    model, seconds = Reader(), 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(job.steps):
        digits, numbers = sets(*train, BATCH, job.count)
        start = time.process_time()
        optimizer.zero_grad()
        loss(model(digits), numbers).backward()
        optimizer.step()
        seconds += time.process_time() - start
    torch.manual_seed(1000)
    test, fit = sets(*held, 1000, job.count), sets(*train, 500, job.count)
    return End(*right(model, *test), right(model, *fit)[1], seconds / max(job.steps, 1), softness)
