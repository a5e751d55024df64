"""More programs that decide as programs do: loops that end by a value, states, searches, draws of their own."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from tests.softfx.control.simulators import Simulator


def lift(x: Tensor) -> Tensor:
    """An elevator among whole floors, that waits where its idle floor is and stops for whom it passes."""
    place, cost, floor = x[0], torch.zeros(()), 0
    for call in (4.0, 0.0, 2.0):
        for _ in range(4):
            floor = int(place + 0.5)
            place = place - x[1] if place > call else place + x[1]
            cost = cost + 0.1 * abs(floor - call)
            if (place - call).abs() < 0.5 * x[1]:
                break
    return cost + 0.05 * floor * place


def brackets(x: Tensor) -> Tensor:
    """Bisection until the bracket is small enough, and what it took."""
    low, high, rounds = torch.zeros(()), 2.0 + 0.0 * x[1], 0
    while high - low > x[1]:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if middle * middle < x[0] else (low, middle)
        rounds += 1
        if rounds > 7:
            break
    return 0.5 * (low + high) + 0.1 * rounds


def maze(x: Tensor) -> Tensor:
    """A grid world with walls and a pit; the action is the argmax of what a linear policy says."""
    row, column, gained = 0, 0, torch.zeros(())
    for _ in range(5):
        scores = torch.stack([x[0] * (2 - row), x[1] * (2 - column), torch.tensor(0.5)])
        action = int(scores.argmax())
        if action == 0 and row < 2:
            row += 1
        elif action == 1 and column < 2:
            column += 1
        if (row, column) == (1, 1):
            gained = gained - 0.5
            row = 0
        gained = gained - 0.1 + 0.2 * row * column
    return gained + x[0] * 0.1


def rejects(x: Tensor) -> Tensor:
    """A rejection sampler: proposals until one is accepted, for three samples of an unnormalised density."""
    total, tried = torch.zeros(()), 0
    for _ in range(3):
        for _ in range(4):
            proposal, height = torch.rand(2).unbind()
            tried += 1
            if height < torch.exp(-((proposal - x[0]) ** 2) * x[1]):
                total = total + proposal
                break
    return total + 0.1 * tried


class Cascade(nn.Module):
    """Stages, each left early where its answer is sure."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(3)
        self.register_buffer("weights", torch.randn(3, 4, 4, generator=draws))
        self.register_buffer("inputs", torch.randn(3, 4, generator=draws))

    def forward(self, x: Tensor) -> Tensor:
        cost = torch.zeros(())
        for state in self.inputs:
            for number, weight in enumerate(self.weights):
                state = torch.tanh(weight @ state)
                sure = state.abs().mean()
                if sure > x[min(number, 1)]:
                    break
            cost = cost + 0.2 * number - sure
        return cost


def machine(x: Tensor) -> Tensor:
    """A state machine that reads a signal with hysteresis."""
    state, cost, held = "idle", torch.zeros(()), 0
    for level in (0.1, 0.5, 0.7, 0.4, 0.9, 0.2, 0.3):
        match state:
            case "idle" if level > x[0]:
                state, held = "armed", 0
            case "armed":
                held += 1
                state = "fired" if level * held > x[1] else "armed"
            case "fired":
                state = "idle" if level < x[0] * x[1] else "fired"
        cost = cost + {"idle": 0.1, "armed": 0.0, "fired": -0.3}[state] * level + 0.02 * held
    return cost


def merges(x: Tensor) -> Tensor:
    """A tokenizer: the best pair of neighbours is merged as long as it is worth it."""
    tokens = [0.2, 0.9, 0.4, 0.7, 0.1]
    while len(tokens) > 1:
        pairs = torch.tensor([one * two for one, two in itertools.pairwise(tokens)])
        scores = pairs * x[0] - 0.05 * torch.arange(len(pairs))
        best = scores.argmax().item()
        if scores[best] < x[1]:
            break
        tokens[best : best + 2] = [max(tokens[best], tokens[best + 1])]
    return 0.3 * len(tokens) - x[0] * sum(tokens) * 0.2 + x[1]


def backtracks(x: Tensor) -> Tensor:
    """Gradient descent with Armijo's rule: the step is shortened until it is good enough."""
    place, work = x[0], 0
    for _ in range(3):
        value, slope = 1.0 - torch.cos(place), torch.sin(place)
        step = torch.tensor(4.0)
        while True:
            other = place - step * slope
            work += 1
            if 1.0 - torch.cos(other) <= value - x[1] * step * slope**2 or work >= 8:
                break
            step = step * 0.5
        place = other
    return 1.0 - torch.cos(place) + 0.05 * work


def stocks(x: Tensor) -> Tensor:
    """Inventory: below one level as many whole pieces are ordered as are missing to another."""
    stock, cost = torch.tensor(3.0), torch.zeros(())
    for wanted in (1.0, 2.0, 0.5, 2.5, 1.0):
        stock = stock - wanted
        if stock < 0:
            cost, stock = cost + 0.8 - 0.4 * stock, torch.zeros(())
        if stock < x[0]:
            pieces = int(x[1] - stock)
            stock, cost = stock + pieces, cost + 0.3 + 0.05 * pieces
        cost = cost + 0.1 * stock
    return cost


def collides(x: Tensor) -> Tensor:
    """Two balls between walls, from event to event: whichever comes first, by Python's own min and sorted."""
    left, right = torch.tensor(0.2), torch.tensor(0.7)
    v, w, t = x[0], -x[1], torch.zeros(())
    for _ in range(4):
        times = {"wall": (1.0 - right) / (w.abs() + 0.2), "meet": (right - left) / ((v - w).abs() + 0.2)}
        times["back"] = left / (v.abs() + 0.2)
        event, wait = min(times.items(), key=lambda pair: pair[1])
        left, right, t = left + v * wait, right + w * wait, t + wait
        if event == "wall":
            w = -0.9 * w
        elif event == "back":
            v = -0.9 * v
        else:
            v, w = w, v
            left, right = sorted([left, right])
    return t * 0.3 + (left - right) ** 2


def compiled(x: Tensor) -> Tensor:
    """torch's own control flow: a loop with a branch in it."""

    def step(y: Tensor, rounds: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cond(y > x[1], lambda t: t * 0.5 + 0.1, lambda t: t - 0.15, (y,)), rounds + 1.0

    y, rounds = torch.while_loop(lambda y, rounds: y > 0.3, step, (x[0] * 1.0, torch.zeros(())))
    return y + 0.2 * rounds


WORLDS = [
    Simulator(lift, (1.3, 0.8), 0.15),
    Simulator(brackets, (1.2, 0.3), 0.1),
    Simulator(maze, (0.6, 0.5), 0.15),
    Simulator(rejects, (0.6, 2.0), 0.3),
    Simulator(Cascade(), (0.5, 0.6), 0.08),
    Simulator(machine, (0.45, 0.7), 0.12),
    Simulator(merges, (0.8, 0.2), 0.08),
    Simulator(backtracks, (1.2, 0.3), 0.15),
    Simulator(stocks, (1.0, 3.2), 0.3),
    Simulator(collides, (0.7, 0.5), 0.1),
    Simulator(compiled, (1.2, 0.6), 0.15),
]
