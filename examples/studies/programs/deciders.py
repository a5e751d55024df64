"""Eight programs that decide about data: trees of `if`, scores, policies, state machines, other people's code."""

import bisect
import heapq
import statistics

import torch
from torch import Tensor
from tuning import Task

_draws = torch.Generator().manual_seed(20)
POINTS = torch.rand(24, 2, generator=_draws)
TARGETS = torch.where(POINTS[:, 0] < 0.35, 1.0, torch.where(POINTS[:, 1] < 0.6, -0.5, 0.4))
PATIENTS = torch.rand(60, 3, generator=_draws)
ILL = ((torch.tensor([0.3, 0.55, 0.7]) < PATIENTS).sum(1) >= 2).tolist()
GRID = torch.rand(5, 5, generator=_draws)
SIGNAL = 0.5 + 0.4 * torch.sin(torch.arange(80) * 0.7) + 0.25 * torch.randn(80, generator=_draws)
TRUTH = (torch.sin(torch.arange(80) * 0.7) > 0.0).tolist()
OFFERS = torch.rand(20, 12, generator=_draws)
JOBS = 0.2 + torch.rand(8, 2, generator=_draws)
SERIES = torch.cumsum(torch.randn(24, generator=_draws), 0)


def tree(x: Tensor) -> Tensor:
    """A regression tree written as `if`: two thresholds."""
    loss = torch.zeros(())
    for (first, second), target in zip(POINTS, TARGETS, strict=True):
        if first < x[0]:
            said = 1.0
        elif second < x[1]:
            said = -0.5
        else:
            said = 0.4
        loss = loss + (said - target) ** 2
    return loss / len(POINTS)


def scored(x: Tensor) -> Tensor:
    """A scorecard: a point for each measurement above its threshold, and who has two is called."""
    wrong = torch.zeros(())
    for row, ill in zip(PATIENTS, ILL, strict=True):
        points = 0
        for value, threshold in zip(row, x, strict=True):
            if value > threshold:
                points += 1
        if (points >= 2) != ill:
            wrong = wrong + 1.0
        wrong = wrong + 0.05 * abs(points - 1.5)
    return wrong


def walked(x: Tensor) -> Tensor:
    """A grid world: it goes where a linear score of what it sees is larger."""
    row, column, cost = 0, 0, torch.tensor(5.0)
    while row < 4 or column < 4:
        down = x[0] * GRID[row + 1, column] - x[1] * row if row < 4 else torch.tensor(-9.0)
        right = (1.0 - x[0]) * GRID[row, column + 1] - x[1] * column if column < 4 else torch.tensor(-9.0)
        if down > right:
            row += 1
        else:
            column += 1
        cost = cost - GRID[row, column]
    return cost


def detected(x: Tensor) -> Tensor:
    """A detector with hysteresis: the levels at which it switches on, and off."""
    is_on, wrong = False, torch.zeros(())
    for level, truth in zip(SIGNAL, TRUTH, strict=True):
        if is_on:
            is_on = bool(level > x[0] - x[1])
        elif level > x[0]:
            is_on, wrong = True, wrong + 0.3
        wrong = wrong + (0.0 if is_on == truth else 1.0)
    return wrong


def stopped(x: Tensor) -> Tensor:
    """Offers one after the other: the least that is taken at first, and by how much it falls."""
    regret = torch.zeros(())
    for offers in OFFERS:
        for number, offer in enumerate(offers):
            if offer > x[0] - x[1] * number / 12.0 or number == 11:
                break
        regret = regret + 1.0 - offer + 0.02 * number
    return regret


def scheduled(x: Tensor) -> Tensor:
    """Jobs in a heap, by a priority of length and due date; the standard library decides."""
    heap: list[tuple[Tensor, int]] = []
    for number, (length, due) in enumerate(JOBS):
        heapq.heappush(heap, (x[0] * length + (1.0 - x[0]) * due + 0.1 * x[1] * number, number))
    time, late = 0.0, torch.zeros(())
    while heap:
        _, number = heapq.heappop(heap)
        length, due = JOBS[number].tolist()
        time += length
        late = late + max(0.0, time - 3.0 * due) + 0.1 * time
    return late


def segmented(x: Tensor) -> Tensor:
    """A series in pieces: one ends where a number is far from its median, or it is long; the standard library again."""
    piece, cost = [SERIES[0]], torch.zeros(())
    for value in SERIES[1:]:
        if abs(value - statistics.median(piece)) > x[0] or len(piece) > 12.0 * x[1]:
            cost, piece = cost + 0.8, []
        piece.append(value)
        cost = cost + 0.25 * abs(value - statistics.median(piece)).clamp(max=3.0)
    return cost


def graded(x: Tensor) -> Tensor:
    """Grades by cut-offs, by the standard library's bisection."""
    wrong, cuts = torch.zeros(()), [x[0], x[0] + x[1]]
    for value in POINTS[:, 0]:
        grade = bisect.bisect(cuts, value)
        wrong = wrong + abs(grade - (0 if value < 0.3 else 1 if value < 0.75 else 2)) + 0.02 * grade
    return wrong


TASKS = {
    "a tree": Task(tree, (0.0, 0.0), (1.0, 1.0), (0.9, 0.1), 41),
    "a scorecard": Task(scored, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.8, 0.1, 0.2), 13),
    "a grid world": Task(walked, (0.0, 0.0), (1.0, 0.3), (0.95, 0.03), 41),
    "a detector": Task(detected, (0.0, 0.0), (1.2, 0.8), (1.1, 0.05), 41),
    "offers": Task(stopped, (0.0, 0.0), (1.2, 1.2), (0.2, 0.1), 41),
    "jobs in a heap": Task(scheduled, (-1.0, -1.0), (2.0, 1.0), (-0.8, 0.9), 41),
    "pieces of a series": Task(segmented, (0.1, 0.1), (5.0, 1.2), (0.3, 0.2), 41),
    "grades": Task(graded, (0.0, 0.0), (1.0, 1.0), (0.9, 0.9), 41),
}
