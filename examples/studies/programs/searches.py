"""Eight algorithms with tolerances and rules of their own: iterations, searches, samplers, greedy packing."""

import torch
from torch import Tensor
from tuning import Task

_draws = torch.Generator().manual_seed(19)
ITEMS = 0.1 + 0.5 * torch.rand(12, generator=_draws)
WORTH = ITEMS * (0.6 + 0.8 * torch.rand(12, generator=_draws)) + 0.1
WEIGHTS = 0.5 * torch.randn(4, 6, 6, generator=_draws)
INPUTS = torch.linspace(0.1, 2.0, 14)[:, None] * torch.randn(14, 6, generator=_draws)
ROOTS = 0.2 + 0.75 * torch.rand(14, generator=_draws)
STEPS = torch.randn(24, generator=_draws)
CHANCES = torch.rand(24, generator=_draws).clamp(1e-3)


def integrated(x: Tensor) -> Tensor:
    """An integrator: the error at which a step is made again, and by how much steps are cut then."""
    t, y, h, work = torch.zeros(()), torch.tensor(2.0), torch.tensor(0.8), 0
    while t < 3.0 and work < 40:
        slope = -3.0 * y * torch.exp(-((t - 1.5) ** 2) * 8.0)
        later = -3.0 * (y + h * slope) * torch.exp(-((t + h - 1.5) ** 2) * 8.0)
        work += 1
        if (h * (later - slope)).abs() > torch.exp(x[0]):
            h = h * x[1]
        else:
            t, y, h = t + h, y + h * (slope + later) / 2.0, h * 1.5
    return 2.0 * (y - 0.29).abs() + 0.04 * work


def iterated(x: Tensor) -> Tensor:
    """Newton's iteration for three roots: its tolerance, and below which slope it takes a fixed step."""
    cost = torch.zeros(())
    for start in (2.5, 0.3, -1.2):
        y, rounds = torch.tensor(start), 0
        while rounds < 12:
            value, slope = y**3 - 2.0 * y - 5.0, 3.0 * y**2 - 2.0
            move = 0.8 * torch.sign(value) if slope < x[1] else value / slope
            y, rounds = y - move, rounds + 1
            if move.abs() < torch.exp(x[0]):
                break
        cost = cost + 0.08 * rounds + torch.tanh((y - 2.0945515).abs())
    return cost


def bracketed(x: Tensor) -> Tensor:
    """Bisection: the width at which it ends, and where it divides."""
    cost = torch.zeros(())
    for root in ROOTS:
        low, high, rounds = torch.zeros(()), torch.ones(()), 0
        while high - low > torch.exp(x[0]) and rounds < 12:
            middle = low + x[1] * (high - low)
            low, high = (middle, high) if middle < root else (low, middle)
            rounds += 1
        cost = cost + 0.04 * rounds + 3.0 * (0.5 * (low + high) - root).abs()
    return cost


def descended(x: Tensor) -> Tensor:
    """Gradient descent with a line search: what decrease is enough, and when the slope is small enough to end."""
    place, work = torch.tensor([2.2, -1.4]), 0
    scales = torch.tensor([1.0, 6.0])
    for _ in range(8):
        value, slope = (scales * place**2).sum() + 0.5 * torch.cos(3 * place).sum(), 2 * scales * place
        slope = slope - 1.5 * torch.sin(3 * place)
        if slope.norm() < torch.exp(x[1]):
            break
        step = 0.6
        while True:
            other, work = place - step * slope, work + 1
            less = value - (scales * other**2).sum() - 0.5 * torch.cos(3 * other).sum()
            if less > x[0] * step * (slope * slope).sum() or step < 0.03:
                break
            step = step * 0.5
        place = other
    return torch.log((scales * place**2).sum() + 0.5 * torch.cos(3 * place).sum() + 1.5).detach() + 0.06 * work


def exited(x: Tensor) -> Tensor:
    """A network with early exits: how sure it has to be behind the first layer, and behind the others."""
    cost = torch.zeros(())
    for state in INPUTS:
        final = state
        for weight in WEIGHTS:
            final = torch.tanh(1.2 * final + weight @ final)
        for number, weight in enumerate(WEIGHTS):
            state = torch.tanh(1.2 * state + weight @ state)
            sure = state.abs().mean()
            if sure > x[min(number, 1)]:
                break
        cost = cost + 0.04 * (number + 1) + 0.5 * (state - final).abs().mean().detach()
    return cost


def packed(x: Tensor) -> Tensor:
    """Greedy packing into two bags: the price of size in the order, and how full a bag is closed."""
    scores, left, room = WORTH - x[0] * ITEMS, WORTH.sum(), [torch.tensor(1.0), torch.tensor(0.8)]
    waiting = list(range(len(ITEMS)))
    while waiting and room:
        item = waiting.pop(int(scores[waiting].argmax()))
        if ITEMS[item] < room[0]:
            room[0], left = room[0] - ITEMS[item], left - WORTH[item]
            if room[0] < x[1]:
                room.pop(0)
                left = left + 0.02
    return left


def refined(x: Tensor) -> Tensor:
    """Quadrature by recursion: the error at which an interval is halved, and how it grows with the depth."""

    def height(t: float) -> float:
        return float(torch.exp(torch.tensor(-30.0 * (t - 0.37) ** 2)) + 0.3 * t)

    def area(low: float, high: float, depth: int) -> tuple[float, int]:
        middle, width = (low + high) / 2.0, high - low
        rough = (height(low) + height(high)) / 2.0 * width
        better = (rough + height(middle) * width) / 2.0
        if depth == 5 or abs(better - rough) < torch.exp(x[0] + x[1] * depth):
            return better, 1
        (one, pieces), (two, more) = area(low, middle, depth + 1), area(middle, high, depth + 1)
        return one + two, pieces + more

    found, pieces = area(0.0, 1.0, 0)
    return 0.0 * x.sum() + 12.0 * abs(found - 0.472868) + 0.04 * pieces


def annealed(x: Tensor) -> Tensor:
    """A random search on a rugged line: how far it steps, and up to which loss a step up is taken."""
    place, least = torch.tensor(2.4), torch.tensor(9.0)
    value = place**2 * 0.3 + torch.sin(5.0 * place)
    for step, chance in zip(STEPS, CHANCES, strict=True):
        other = place + x[0] * step
        found = other**2 * 0.3 + torch.sin(5.0 * other)
        if found - value < -x[1] * torch.log(chance):
            place, value = other, found
        least = torch.minimum(least, value)
    return 0.6 * least + 0.4 * value


TASKS = {
    "an integrator": Task(integrated, (-7.0, 0.2), (0.0, 0.9), (-6.5, 0.85), 41),
    "Newton's iteration": Task(iterated, (-9.0, 0.0), (0.5, 12.0), (0.2, 0.5), 41),
    "bisection": Task(bracketed, (-7.0, 0.2), (0.0, 0.8), (-0.3, 0.25), 41),
    "a line search": Task(descended, (0.0, -6.0), (1.0, 2.5), (0.95, -5.5), 41),
    "early exits": Task(exited, (0.2, 0.2), (0.9, 0.9), (0.3, 0.25), 41),
    "packing": Task(packed, (0.0, 0.0), (2.0, 0.5), (1.9, 0.45), 41),
    "quadrature": Task(refined, (-9.0, -1.5), (-1.0, 1.5), (-8.5, -1.2), 41),
    "a random search": Task(annealed, (0.05, 0.0), (2.0, 1.0), (0.1, 0.9), 41),
}
