"""Eight simulators with a few numbers that decide in them: when to heat, to order, to shift, to open a second till."""

import torch
from torch import Tensor
from tuning import Task

_draws = torch.Generator().manual_seed(18)
ARRIVALS = 0.15 + 0.7 * torch.rand(16, generator=_draws)
SERVICE = 0.4 + 0.5 * torch.rand(16, generator=_draws)
DEMAND = 3.0 * torch.rand(20, generator=_draws)
CALLS = 9.0 * torch.rand(8, generator=_draws)
HILLS = 0.25 * torch.sin(torch.arange(20) * 0.9)
CARS = (torch.rand(30, generator=_draws) < 0.45).tolist()
PRICES = 1.0 + 0.8 * torch.sin(torch.arange(96) * 0.52) + 0.3 * torch.rand(96, generator=_draws)


def cooled(x: Tensor) -> Tensor:
    """A fan with two speeds: the temperatures above which it runs, and runs fast."""
    heat, cost = torch.tensor(30.0), torch.zeros(())
    for step in range(20):
        heat = heat + (6.0 if step % 7 < 3 else 3.0)
        if heat > x[0] + x[1]:
            heat, cost = heat - 7.0, cost + 1.1
        elif heat > x[0]:
            heat, cost = heat - 3.5, cost + 0.35
        cost = cost + 0.02 * torch.relu(heat - 42.0) ** 2
    return cost


def lifted(x: Tensor) -> Tensor:
    """An elevator: where it waits for the next call, and from which distance on it drives fast."""
    place, cost = torch.tensor(0.0), torch.zeros(())
    for wanted in CALLS:
        for _ in range(12):
            gap = wanted - place
            if gap.abs() < 0.5:
                break
            fast = gap.abs() > x[1]
            pace = 2.0 if fast else 0.9
            place = place + (pace if gap > 0.0 else -pace)
            cost = cost + 0.3 + (0.25 if fast else 0.05)
        while (rest := x[0] - place).abs() > 1.0:
            place, cost = place + (1.0 if rest > 0.0 else -1.0), cost + 0.05
    return cost


def served(x: Tensor) -> Tensor:
    """A queue: the waits at which a second till opens, and closes."""
    wait, cost, tills = torch.zeros(()), torch.zeros(()), 1
    for between, service in zip(ARRIVALS, SERVICE, strict=True):
        if tills == 1 and wait > x[0]:
            tills, cost = 2, cost + 0.6
        elif tills == 2 and wait < x[0] * x[1]:
            tills = 1
        wait = torch.relu(wait + service - between * tills)
        cost = cost + 0.3 * wait + 0.22 * (tills - 1)
    return cost


def stocked(x: Tensor) -> Tensor:
    """A stock: below which level is ordered, and up to which; an order takes two days."""
    stock, cost = torch.tensor(6.0), torch.zeros(())
    coming = [torch.zeros(()), torch.zeros(())]
    for wanted in DEMAND:
        stock = stock + coming.pop(0) - wanted
        if stock < 0.0:
            stock, cost = torch.zeros(()), cost - 2.0 * stock
        due = stock + coming[0]
        if due < x[0]:
            coming.append(x[0] + x[1] - due)
            cost = cost + 1.0
        else:
            coming.append(torch.zeros(()))
        cost = cost + 0.12 * stock
    return cost


def thrown(x: Tensor) -> Tensor:
    """A ball over a wall: its speed and slope; it flies until it touches the ground, the wall, or the target."""
    across, up, speed, rise, steps = torch.zeros(()), torch.tensor(0.5), x[0], x[0] * x[1], 0
    while up > 0.0 and steps < 40:
        across, up, rise, steps = across + 0.1 * speed, up + 0.1 * rise, rise - 0.35, steps + 1
        if 2.0 < across < 2.5 and up < 1.4:
            return 6.0 + (2.0 - across) + 0.02 * steps
        if 4.6 < across < 5.4 and up < 0.5:
            return 0.05 * steps + 0.1 * speed
    return 2.0 + (across - 5.0).abs() + 0.02 * steps


def crossed(x: Tensor) -> Tensor:
    """A traffic light: how long green lasts at least, and how many wait on the other side before it changes."""
    waiting, green, since, cost = [torch.zeros(()), torch.zeros(())], 0, torch.zeros(()), torch.zeros(())
    for car in CARS:
        waiting[0] = waiting[0] + (1.0 if car else 0.2)
        waiting[1] = waiting[1] + (0.15 if car else 0.6)
        waiting[green] = torch.relu(waiting[green] - 1.3)
        since = since + 1.0
        if since > x[0] and waiting[1 - green] > x[1]:
            green, since, cost = 1 - green, torch.zeros(()), cost + 1.2
        cost = cost + 0.1 * (waiting[0] + waiting[1])
    return cost


def traded(x: Tensor) -> Tensor:
    """A battery: the price below which it is charged, and how much more before it is sold."""
    charge, spent = torch.zeros(()), torch.tensor(3.0)
    for price in PRICES:
        if price < x[0] and charge < 3.5:
            charge, spent = charge + 1.0, spent + price + 0.05
        elif price > x[0] + x[1] and charge > 0.5:
            charge, spent = charge - 1.0, spent - 0.92 * price
    return spent - 0.7 * charge


def shifted(x: Tensor) -> Tensor:
    """A gear box on hills: the turning speeds at which it shifts up, and down."""
    speed, gear, cost = torch.tensor(1.0), 1, torch.zeros(())
    for hill in HILLS:
        turning = speed / gear
        if turning > x[0] and gear < 4:
            gear, cost = gear + 1, cost + 0.05
        elif turning < x[1] and gear > 1:
            gear, cost = gear - 1, cost + 0.05
        turning = speed / gear
        pull = 0.5 / gear if turning < 1.3 else 0.1 / gear
        speed = speed + pull - 0.35 * hill - 0.06 * speed
        cost = cost + 0.08 * turning**2 + 0.15 * torch.relu(2.6 - speed)
        if turning < 0.45:
            cost = cost + 0.4  # it stalls, nearly
    return cost


TASKS = {
    "a fan with two speeds": Task(cooled, (30.0, 0.0), (60.0, 15.0), (55.0, 12.0), 41),
    "an elevator": Task(lifted, (0.0, 0.5), (9.0, 6.0), (0.5, 5.5), 41),
    "a queue": Task(served, (0.0, 0.0), (4.0, 1.0), (3.6, 0.9), 41),
    "a stock": Task(stocked, (0.0, 0.5), (8.0, 8.0), (0.5, 1.0), 41),
    "a ball over a wall": Task(thrown, (1.0, 0.2), (4.0, 2.0), (3.5, 1.7), 41),
    "a traffic light": Task(crossed, (0.0, 0.0), (12.0, 6.0), (10.0, 5.0), 41),
    "a battery": Task(traded, (0.2, 0.1), (2.0, 1.6), (0.4, 1.4), 41),
    "a gear box": Task(shifted, (0.5, 0.1), (2.5, 1.5), (2.3, 0.2), 41),
}
