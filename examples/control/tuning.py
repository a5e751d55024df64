"""A program of a few numbers, tuned through its branches: beside a grid, evolution strategies and no softening at all.

Every example here is a program with ordinary Python control flow and a box of numbers that decide in it. `compare`
tunes them by Adam and keeps the best iterate by the program's own value, and prints how far each way got:
(value - best of a grid) / (value at the start - best of a grid), which is 1 at the start and 0 at the grid's best.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import softfx

TURNS = 8


@dataclass(frozen=True)
class Task:
    """A program and the box that its numbers are tuned in.

    program: takes the numbers, returns what they cost.  # ([n]) -> ()
    low, high, start: of each number.
    grid: how many values of each number the grid has.
    """

    program: Callable[[Tensor], Tensor]
    low: Sequence[float]
    high: Sequence[float]
    start: Sequence[float]
    grid: int

    def at(self, unit: Tensor) -> Tensor:
        """The numbers at a point of the unit box, held inside of it.  # ([n]) -> ([n])"""
        low, high = torch.tensor(self.low), torch.tensor(self.high)
        return low + (high - low) * unit.clamp(0.0, 1.0)

    @property
    def unit_start(self) -> Tensor:
        low, high = torch.tensor(self.low), torch.tensor(self.high)
        return (torch.tensor(self.start) - low) / (high - low)

    def cost(self, unit: Tensor) -> Tensor:
        """What the program costs at a point of the unit box."""
        return self.program(self.at(unit))

    def best_of_grid(self) -> tuple[float, Tensor]:
        """The least cost on a grid, and where."""
        with torch.no_grad():
            values = torch.linspace(0.0, 1.0, self.grid)
            points = torch.cartesian_prod(*[values] * len(self.start)).reshape(-1, len(self.start))
            costs = torch.stack([self.cost(point) for point in points])
            return costs.min().item(), self.at(points[costs.argmin()])


@dataclass(frozen=True)
class Way:
    """A way to tune: by softfx where samples are given, else by the program's own gradient.

    softness: the first and the last one of a geometric schedule; alike for a constant one.
    """

    name: str
    samples: int | None = None
    softness: tuple[float, float] = (0.05, 0.05)

    @property
    def passes(self) -> int:
        """Forward passes of a step."""
        if self.samples is None:
            return 1
        return 1 + TURNS if self.samples == 0 else 1 + self.samples * (1 + TURNS)


WAYS = [
    Way("the program's own gradient"),
    Way("samples = 0, softness .05", 0),
    Way("samples = 1, softness .05", 1),
    Way("samples = 1, softness 1 to .05", 1, (1.0, 0.05)),
    Way("samples = 4, softness 1 to .05", 4, (1.0, 0.05)),
]


def tuned(task: Task, way: Way, steps: int, rate: float, seed: int) -> float:
    """The least cost that Adam met, by the program's own value."""
    torch.manual_seed(seed)
    unit = task.unit_start.clone().requires_grad_()
    soft: Callable[[Tensor], Tensor] = task.cost
    schedule = None
    if way.samples is not None:
        rule = {"op": "@control", "action": "straight_through", "samples": way.samples, "turns": TURNS}
        soft = softfx.soften(task.cost, {"rule": [rule]}, example_inputs=(unit,))
        first, last = way.softness
        if first != last:
            schedule = softfx.GeometricSoftness(soft, start=first, end=last, total_iters=steps)
    optimizer, best = torch.optim.Adam([unit], lr=rate), softfx.KeepBest([unit])
    for _ in range(steps):
        optimizer.zero_grad()
        cost = soft(unit)
        best.update(cost)
        if cost.requires_grad:
            cost.backward()
        optimizer.step()
        with torch.no_grad():
            unit.clamp_(0.0, 1.0)
        if schedule is not None:
            schedule.step()
    return best.loss


def evolved(task: Task, passes: int, sigma: float, rate: float, seed: int) -> float:
    """The least cost that an evolution strategy met: antithetic pairs, Adam, as many forward passes in all."""
    draws = torch.Generator().manual_seed(seed)
    unit = task.unit_start.clone().requires_grad_()
    optimizer, best = torch.optim.Adam([unit], lr=rate), math.inf
    with torch.no_grad():
        for _ in range(passes // (1 + TURNS)):
            best = min(best, task.cost(unit).item())
            gradient = torch.zeros_like(unit)
            for _ in range(TURNS // 2):
                direction = torch.randn(unit.shape, generator=draws)
                difference = task.cost(unit + sigma * direction) - task.cost(unit - sigma * direction)
                gradient += difference * direction / (2 * sigma * (TURNS // 2))
            unit.grad = gradient
            optimizer.step()
            unit.clamp_(0.0, 1.0)
    return best


def compare(task: Task, *, within: float, doc: str, steps: int = 200) -> None:
    """Tune a task in every way, print how far each got, and assert that softening got within `within` of the grid."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.05, help="of Adam, in parts of the range of each number")
    parser.add_argument("--quick", action="store_true", help="fewer steps, ways, and points of the grid")
    options = parser.parse_args()
    ways, sigmas, rate = WAYS, (0.02, 0.06, 0.2), options.rate
    if options.quick:
        ways, sigmas, steps = WAYS[:4], (0.06,), steps // 3
        task = replace(task, grid=task.grid // 2 + 1)
    best, where = task.best_of_grid()
    start = task.cost(task.unit_start).item()
    table = Table("way", "forward passes", "cost", "left of the way to the grid's best")
    reached: dict[str, float] = {}

    def row(name: str, passes: int, cost: float) -> None:
        reached[name] = (cost - best) / (start - best)
        table.add_row(name, str(passes), f"{cost:.4f}", f"{100 * reached[name]:.1f} %")

    for way in ways:
        row(way.name, steps * way.passes, tuned(task, way, steps, rate, options.seed))
    for sigma in sigmas:
        passes = steps * ways[-1].passes
        row(f"evolution strategy, sigma {sigma}", passes, evolved(task, passes, sigma, rate, options.seed))
    console = Console()
    numbers = ", ".join(f"{value:.3g}" for value in where.tolist())
    console.print(f"at the start {start:.4f}; best of {task.grid ** len(task.start)} points {best:.4f}, at {numbers}")
    console.print(table)
    soft = [reached[way.name] for way in ways if way.samples is not None]
    assert reached[WAYS[0].name] > 0.9, "the program's own gradient does not see what is decided"
    assert min(soft) <= within, f"no way came within {within} of the grid's best: {soft}"
