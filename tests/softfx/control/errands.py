"""Programs that were written after the estimator was: recursion, comprehensions, for-else, the standard library."""

from __future__ import annotations

import bisect

import torch
from torch import Tensor

from tests.softfx.control.simulators import Simulator


def refines(x: Tensor) -> Tensor:
    """Adaptive quadrature by recursion: an interval is split where two rules disagree by more than a tolerance."""

    def height(t: float) -> Tensor:
        return torch.exp(-8.0 * (t - x[1]) ** 2)

    def area(low: float, high: float, depth: int) -> tuple[Tensor, int]:
        middle, width = (low + high) / 2, high - low
        ends = (height(low) + height(high)) / 2 * width
        better = (ends + height(middle) * width) / 2
        if depth == 3 or (better - ends).abs() < x[0]:
            return better, 1
        (left, one), (right, two) = area(low, middle, depth + 1), area(middle, high, depth + 1)
        return left + right, one + two

    found, pieces = area(0.0, 1.0, 0)
    return found + 0.1 * pieces


def bids(x: Tensor) -> Tensor:
    """A rising auction: bidders leave above what it is worth to them; a reserve, and a step of the price."""
    worth, price, rounds = torch.tensor([0.9, 0.7, 0.4, 0.65]), x[0] + 0.0, 0
    while sum(bool(value > price) for value in worth) > 1 and rounds < 8:
        price, rounds = price + x[1], rounds + 1
    sold = bool(worth.max() > price)
    return -(price if sold else 0.2 * price) + 0.03 * rounds


def insorts(x: Tensor) -> Tensor:
    """Tasks in the order of their deadlines, put in place by the standard library's bisection."""
    waiting: list[Tensor] = []
    for deadline in (x[0], 0.6 * x[1], x[0] * x[1] + 0.1, torch.tensor(0.45)):
        bisect.insort(waiting, deadline)
    time, late = torch.zeros(()), torch.zeros(())
    for number, deadline in enumerate(waiting):
        time = time + 0.15 + 0.05 * number
        late = late + torch.relu(time - deadline) + (0.2 if time > deadline else 0.0)
    return late + 0.1 * waiting[0]


def follows(x: Tensor) -> Tensor:
    """A car behind another: it brakes where the gap is small, hard where it is smaller, else it gathers speed."""
    gap, speed, cost = torch.tensor(1.2), torch.tensor(0.9), torch.zeros(())
    for ahead in (1.0, 0.8, 0.3, 0.2, 0.6, 1.0):
        if gap < x[0]:
            pull = -0.8 if gap < 0.5 * x[0] else -0.4
        elif speed < x[1]:
            pull = 0.3
        else:
            pull = 0.0
        speed = torch.relu(speed + pull)
        gap = gap + 0.5 * (ahead - speed)
        if gap < 0.1:
            return cost + 2.0 - 0.3 * gap
        cost = cost + 0.1 * (1.2 - speed) ** 2
    return cost + 0.1 * gap


def probes(x: Tensor) -> Tensor:
    """A hash table: places are whole numbers, a taken one is passed by, and `else` is where none is free."""
    taken: set[int] = set()
    cost = torch.zeros(())
    for key in (0.3, 0.5, 0.8, 0.55):
        first = int(4.0 * key * x[0] + x[1])
        for step in range(3):
            if (first + step) % 5 not in taken:
                taken.add((first + step) % 5)
                cost = cost + 0.2 * step
                break
        else:
            cost = cost + 1.0
        cost = cost + 0.05 * key * x[1] * (first % 3)
    return cost


def retries(x: Tensor) -> Tensor:
    """A call that fails by chance is tried again after a wait that grows, given up after some; draws of its own."""
    total = torch.zeros(())
    for _ in range(2):
        wait, spent = x[0] + 0.0, torch.zeros(())
        while (load := torch.rand(())) > 0.3 + 0.4 * wait:
            spent, wait = spent + wait, wait * (1.0 + x[1])
            if spent > 1.2:
                spent = spent + 1.0
                break
        total = total + spent + 0.1 * load
    return total


ERRANDS = [
    Simulator(refines, (0.03, 0.4), 0.02),
    Simulator(bids, (0.3, 0.12), 0.05),
    Simulator(insorts, (0.5, 0.7), 0.12),
    Simulator(follows, (0.8, 1.0), 0.15),
    Simulator(probes, (1.2, 0.6), 0.2),
    Simulator(retries, (0.3, 0.8), 0.1),
]
