"""Programs of several numbers that decide as simulators do, each with a point and a step around it."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Simulator:
    """A program, the numbers that it is looked at, and how far from them.  # function: ([n]) -> ()"""

    function: Callable[[Tensor], Tensor]
    at: Sequence[float]
    within: float

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)


def bounces(x: Tensor) -> Tensor:
    """A ball that falls, is reflected, and stops where it is slow."""
    height, speed, cost, steps = x[0], torch.zeros(()), torch.zeros(()), 0
    while steps < 12:
        steps += 1
        speed = speed - 0.5
        height = height + 0.3 * speed
        if height < 0.0:
            height, speed = -height, -speed * x[1]
            if speed < 0.4:
                break
        cost = cost + 0.1 * height
    return cost + 0.2 * steps


def adapts(x: Tensor) -> Tensor:
    """An integrator whose step is halved where its error is above a tolerance."""
    t, y, h, work = torch.zeros(()), torch.ones(()), torch.tensor(0.5), 0.0
    while t < 1.0 and work < 12:
        change = -h * y * x[1]
        error = (change * change / 2).abs()
        work += 1.0
        if error > x[0]:
            h = h * 0.5
        else:
            t, y, h = t + h, y + change, h * 1.5
    return y + 0.1 * work


def converges(x: Tensor) -> Tensor:
    """Newton's iteration for a root, until it moves by less than a tolerance."""
    y, before, rounds = x[0], torch.zeros(()), 0
    while (y - before).abs() > x[1]:
        y, before = (y + 2.0 / y) / 2, y
        rounds += 1
        if rounds == 8:
            break
    return y + 0.3 * rounds


def exits(x: Tensor) -> Tensor:
    """Three layers, left where the answer is sure."""
    state, work = torch.tensor([0.3, -0.2, 0.5]), 0.0
    for layer in range(3):
        state = torch.tanh(state * (1.0 + layer) + 0.2)
        work += 0.2
        answer = state.softmax(-1)
        if answer.max() > x[0]:
            break
    return work - (answer * torch.tensor([0.1, 0.2, 1.0])).sum() * x[1]


def packs(x: Tensor) -> Tensor:
    """Items by their score, into what room is left."""
    sizes, values = torch.tensor([0.5, 0.4, 0.3, 0.25]), torch.tensor([1.0, 0.7, 0.7, 0.4])
    room, gained, waiting = torch.tensor(0.95), torch.zeros(()), [0, 1, 2, 3]
    while waiting:
        scores = values[waiting] - x[0] * sizes[waiting]
        item = waiting.pop(int(scores.argmax()))
        if sizes[item] <= room + 0.1 * x[1]:
            room, gained = room - sizes[item], gained + values[item]
    return gained


def tree(x: Tensor) -> Tensor:
    """A decision tree over a few points."""
    total = torch.zeros(())
    for first, second in ((0.1, 0.8), (0.4, 0.3), (0.6, 0.6), (0.9, 0.2)):
        if x[0] < first:
            leaf = x[1] < second
            total = total + (0.64 if leaf else 0.49)
        elif x[2] < second:
            total = total + 0.01
        else:
            total = total + 1.44
    return total


def elevator(x: Tensor) -> Tensor:
    """A cabin that goes up or down towards whoever waits, faster where that is far."""
    place, cost = torch.tensor(2.0), torch.zeros(())
    for wanted in (5.0, 1.0, 3.0):
        for _ in range(3):
            gap = wanted - place
            if gap.abs() < 0.5:
                break
            pace = x[1] if gap.abs() > x[0] else 0.6
            place = place + (pace if gap > 0 else -pace)
            cost = cost + 0.1 + 0.05 * (place - wanted) ** 2
    return cost


def queue(x: Tensor) -> Tensor:
    """Customers with two servers: the second one is called by the wait."""
    wait, cost, helped = torch.zeros(()), torch.zeros(()), 0
    for between, service in ((0.2, 0.9), (0.4, 0.8), (0.3, 0.7), (1.0, 0.4), (0.5, 1.0)):
        wait = torch.relu(wait - between)
        if wait > x[0] and not (helped >= 2 and wait < x[1]):
            helped += 1
            cost = cost + 0.3
            wait = wait + 0.4 * service
        else:
            wait = wait + service
        cost = cost + 0.5 * wait
    return cost


def bisects(x: Tensor) -> Tensor:
    """Bisection of a monotone function."""
    low, high = torch.zeros(()), torch.ones(())
    for _ in range(4):
        middle = (low + high) / 2
        if middle**3 + middle < x[0]:
            low = middle
        else:
            high = middle
    return (low - x[1]) ** 2 + low


def walks(x: Tensor) -> Tensor:
    """A grid world: which way the larger value points, until a wall."""
    row, column, gained = 1, 1, torch.zeros(())
    values = torch.tensor([[0.1, 0.3, 0.2], [0.4, 0.2, 0.6], [0.3, 0.5, 1.0]])
    while row < 2 or column < 2:
        down = values[row + 1, column] * x[0] if row < 2 else torch.tensor(-1.0)
        right = values[row, column + 1] * x[1] if column < 2 else torch.tensor(-1.0)
        if down > right:
            row += 1
        else:
            column += 1
        gained = gained + values[row, column] - 0.1 * (row - column) * x[0]
    return gained


def middle(x: Tensor) -> Tensor:
    """The standard library decides: the median, by sorting."""
    result: Tensor = statistics.median([x[0], x[1] * 1.0, x[0] * x[1], torch.tensor(0.5)])
    return result * result


def served(x: Tensor) -> Tensor:
    """A heap of events, ordered by their times."""
    events = [x[0], x[1], torch.tensor(0.5), torch.tensor(0.8)]
    heapq.heapify(events)
    cost, weight = torch.zeros(()), 1.0
    while events:
        cost = cost + weight * heapq.heappop(events)
        weight *= 0.5
    return cost


def both_hold(x: Tensor) -> Tensor:
    """Conditions that are made of others, and a count of them."""
    inside = (x > 0.2) & (x < 0.7)
    cost = x.sum()
    if inside.all():
        cost = cost - 1.0
    elif inside.any():
        cost = cost * 0.5
    return cost + 0.3 * int(inside.sum())


def repeats(x: Tensor) -> Tensor:
    """As often as a number says, and a branch within."""
    total = torch.zeros(())
    for step in range(int(3 * x[0])):
        total = total + (x[1] if x[1] * step < 0.8 else -0.2)
    return total


SIMULATORS = [
    Simulator(bounces, (1.0, 0.7), 0.15),
    Simulator(adapts, (0.06, 1.2), 0.03),
    Simulator(converges, (1.2, 0.05), 0.04),
    Simulator(exits, (0.42, 0.7), 0.06),
    Simulator(packs, (1.0, 0.3), 0.3),
    Simulator(tree, (0.5, 0.5, 0.4), 0.15),
    Simulator(elevator, (1.2, 1.1), 0.2),
    Simulator(queue, (0.6, 0.8), 0.15),
    Simulator(bisects, (0.6, 0.3), 0.15),
    Simulator(walks, (0.9, 0.8), 0.2),
    Simulator(middle, (0.7, 0.8), 0.15),
    Simulator(served, (0.6, 0.7), 0.15),
    Simulator(both_hold, (0.4, 0.6), 0.15),
    Simulator(repeats, (0.8, 0.5), 0.15),
]
