"""One task: a program as a user writes it, its data and start by a seed, and what an expert writes in its place.

`hard` is what is trained and what is measured: the metric itself, plain torch without a thought of derivatives.
`practice` is a loss that an expert writes by hand for the same parameters, with gradients everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Loss", "Task", "evolved", "trained"]

Loss = Callable[[list[Tensor], list[Tensor]], Tensor]


@dataclass(frozen=True)
class Task:
    """A program, its start and its expert form.

    make(seed): the parameters at the start, and the data.
    hard(parameters, data), practice(parameters, data): a loss, ().
    """

    name: str
    make: Callable[[int], tuple[list[Tensor], list[Tensor]]]
    hard: Loss
    practice: Loss
    rate: float = 0.05
    selects: bool = False


def trained(task: Task, loss: Loss, seed: int, steps: int) -> float:
    """The hard metric after `steps` steps of Adam on a loss, a mean over the last ten."""
    start, data = task.make(seed)
    parameters = [value.clone().requires_grad_() for value in start]
    optimizer = torch.optim.Adam(parameters, lr=task.rate)
    last = []
    for step in range(steps):
        optimizer.zero_grad()
        value = loss(parameters, data)
        if value.requires_grad:
            value.backward()
            optimizer.step()
        if step >= steps - 10:
            with torch.no_grad():
                last.append(float(task.hard(parameters, data)))
    return sum(last) / len(last)


def evolved(task: Task, seed: int, steps: int, sigma: float = 0.1) -> float:
    """The same by evolution strategies: one antithetic pair, the cost of one forward and one backward pass, a step."""
    start, data = task.make(seed)
    parameters = [value.clone().requires_grad_() for value in start]
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(parameters, lr=task.rate)
    last = []
    with torch.no_grad():
        for step in range(steps):
            noise = [torch.randn(value.shape, generator=generator) for value in parameters]
            sides = [
                task.hard([p + sign * sigma * e for p, e in zip(parameters, noise, strict=True)], data)
                for sign in (1.0, -1.0)
            ]
            for parameter, direction in zip(parameters, noise, strict=True):
                parameter.grad = (sides[0] - sides[1]) / (2.0 * sigma) * direction
            optimizer.step()
            if step >= steps - 10:
                last.append(float(task.hard(parameters, data)))
    return sum(last) / len(last)
