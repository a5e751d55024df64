"""Programs that write down what they decide and read it later: masks, counts, places, tuples, tolerances."""

from __future__ import annotations

import heapq

import torch
from torch import Tensor

from tests.softfx.control.simulators import Simulator

LEVELS = torch.tensor([0.15, 0.4, 0.55, 0.9])


def ledger(x: Tensor) -> Tensor:
    """Who is above a threshold is written into a mask, and asked one by one and together."""
    above, cost = torch.zeros(4, dtype=torch.bool), torch.zeros(())
    for i, level in enumerate(LEVELS):
        above[i] = x[0] * level > x[1]
    for i in range(4):
        if above[i]:
            cost = cost + LEVELS[i] - 0.3 * x[0]
    return cost + (0.5 if above.sum() > 2 else 0.0)


def greedy(x: Tensor) -> Tensor:
    """Three times the best of what is left, by scores of small numbers; what is taken is struck off in place."""
    left, gained = 0.01 * (LEVELS - x[0] * LEVELS**2 * 2.0), torch.zeros(())
    taken = torch.zeros(4, dtype=torch.long)
    for weight in (1.0, 0.6, 0.3):
        best = int((left - 0.1 * taken).argmax())
        taken[best] += 1
        gained = gained + weight * LEVELS[best] * (1.0 - x[1] * best)
    return gained


def events(x: Tensor) -> Tensor:
    """A heap of tuples, ordered by their times."""
    heap: list[tuple[Tensor, int]] = []
    for number, time in enumerate((x[0], x[1] * 1.0, x[0] * x[1] + 0.2)):
        heapq.heappush(heap, (time, number))
    cost, weight = torch.zeros(()), 1.0
    while heap:
        time, number = heapq.heappop(heap)
        cost, weight = cost + weight * (time + 0.3 * number), weight * 0.5
    return cost


def levels(x: Tensor) -> Tensor:
    """How many different levels are left when numbers are rounded, and how far the rounding goes."""
    found = torch.unique((4.0 * x[0] * LEVELS).round())
    return 0.3 * len(found) + x[1] * float((x[1] * LEVELS > 0.3).sum())


def meets(x: Tensor) -> Tensor:
    """An iteration until two numbers are close."""
    low, high, rounds = x[0] * 1.0, torch.tensor(2.0), 0
    while not torch.isclose(low, high, atol=0.3) and rounds < 5:
        low, high, rounds = low + x[1] * (high - low), high - 0.3 * (high - low), rounds + 1
    return low + 0.2 * rounds


def tallies(x: Tensor) -> Tensor:
    """Counts as Python's own numbers, and what follows from them."""
    high = float((x[0] < LEVELS).sum())
    low = float(sum(level * x[1] < 0.3 for level in LEVELS))
    return x[0] * high - 0.2 * low * x[1] + (0.4 if high > low else 0.0)


def found(x: Tensor) -> Tensor:
    """The first pair that is far enough apart; the search is left from within two loops."""
    for i in range(4):
        for j in range(i):
            if LEVELS[i] - LEVELS[j] * x[1] > x[0]:
                return x[0] * (i + 1) - 0.3 * j
    return x[0] * 5.0


def kept(x: Tensor) -> Tensor:
    """A mask by which numbers are kept twice: it is one decision for each of its elements."""
    mask = x[0] > LEVELS
    pairs = len(LEVELS[mask]) * len(LEVELS.flip(0)[mask])
    return 0.1 * pairs + x[1] * max(range(2), key=lambda i: x[i])


def looked_up(x: Tensor) -> Tensor:
    """A table by a rounded number, and the order of three numbers by the standard library."""
    prices = {0: 0.3, 1: 1.0, 2: 0.4, 3: 0.8, 4: 0.1}
    order = sorted(range(3), key=lambda i: [x[0], x[1], x[0] * x[1] + 0.1][i])
    return prices[int(3.0 * x[0])] * x[1] + 0.2 * order[0] - 0.1 * order[1]


RECORDS = [
    Simulator(ledger, (1.0, 0.45), 0.12),
    Simulator(greedy, (0.9, 0.2), 0.15),
    Simulator(events, (0.6, 0.7), 0.15),
    Simulator(levels, (0.9, 0.7), 0.12),
    Simulator(meets, (0.4, 0.3), 0.1),
    Simulator(tallies, (0.5, 0.6), 0.12),
    Simulator(found, (0.4, 0.5), 0.12),
    Simulator(kept, (0.5, 0.6), 0.12),
    Simulator(looked_up, (0.7, 0.5), 0.12),
]
