"""Programs with Python control flow, each with a point and a step at which its smoothed objective changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private


@dataclass(frozen=True)
class Program:
    """A program of one number, and where it is looked at."""

    function: Callable[[Tensor], Any]
    at: float
    within: float

    def __repr__(self) -> str:
        return self.function.__name__


def heater(target: Tensor) -> Tensor:
    temperature, cost = torch.tensor(15.0), torch.zeros(())
    for _ in range(6):
        if temperature < target:
            temperature = temperature + 2.0
            cost = cost + 0.3
        temperature = temperature - 0.1 * (temperature - 5.0)
        cost = cost + (temperature - 18.0) ** 2 * 0.1
    return cost


def nested(x: Tensor) -> dict[str, Any]:
    y = x * 2
    if x > 0.3 and y < 1.4:
        z = y * x + 1 if (y - x) > 0.45 else x - 3
    elif not (x > 0.1):
        z = -x
    else:
        z = torch.sin(5 * x)
    return {"z": z, "more": [y * z]}


def grows(x: Tensor) -> Tensor:
    rounds, y = 0, x
    while y < 3.0:
        y = y * 1.5 + 0.1
        rounds += 1
    return y + rounds


def repeats(x: Tensor) -> Tensor:
    total = x * 0
    for i in range(int(x * 3)):
        total = total + i * 0.5 + x
    return total


def both(x: Tensor) -> Tensor:
    return x * 3 if (x > 0.2) & (x * x < 0.3) else -x


def counted(x: Tensor) -> Tensor:
    hits = torch.zeros((), dtype=torch.long)
    for edge in (0.2, 0.45, 0.5):
        hits = hits + (x > edge)
    return x * 2 if hits >= 2 else x - 1


def looked_up(x: Tensor) -> Tensor:
    best = (x * torch.tensor([1.0, -1.0, 0.5])).argmax().item()
    return [x * x, x - 2, x + 3][int(best)]


def measured(x: Tensor) -> Tensor:
    y, steps = (x * x).item(), 0.0
    while y > 0.5:
        y *= 0.8
        steps += 1
    return x * 0 + steps + y


def by_cond(x: Tensor) -> Tensor:
    result: Tensor = torch.cond(x > 0.4, lambda t: t * 2, lambda t: t - 1, (x,))
    return result


def settled(x: Tensor) -> Tensor:
    y, steps = x, 0
    while not torch.allclose(y, torch.zeros(()), atol=0.1, rtol=0.0):
        y, steps = y * 0.6, steps + 1
    return y + 0.1 * steps


PROGRAMS = [
    Program(heater, 17.0, 0.5),
    Program(nested, 0.5, 0.1),
    Program(grows, 0.5, 0.2),
    Program(repeats, 1.1, 0.2),
    Program(both, 0.4, 0.1),
    Program(counted, 0.4, 0.1),
    Program(looked_up, 0.1, 0.1),
    Program(measured, 1.3, 0.1),
    Program(by_cond, 0.4, 0.1),
    Program(settled, 0.7, 0.1),
]


def total(result: Any) -> Tensor:
    """The sum of all numbers in a result.  # -> ()"""
    return torch.stack([leaf.sum() for leaf in torch_private.leaves(result)]).sum()


def policy(action: str = "straight_through", **fields: Any) -> dict[str, Any]:
    return {"rule": [{"op": "@control", "action": action, "estimator": "difference", **fields}]}
