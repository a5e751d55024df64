"""`python -m benchmarks.control`: what a step through control flow costs, in forward passes of the program.

A step draws N paths and turns decisions on each: 1 + N (1 + turns) forward passes, or 1 + turns with samples = 0, where
the pass with gradients counts as 1.5. The last column is the time of a step's forward part by that: 1 is exact, and
1.3 is the bound. Processor time, one thread, the shortest of rounds in which steps and as many passes as a step is said
to take have turns: on a busy machine a short measurement is left alone more often than a long one.

What a step takes beside its runs, about a millisecond for states, choices and one step of autograd, is much beside a
program of ten branches, and little beside one of a hundred.
"""

import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import softfx

TURNS, ROUNDS, BOUND = 8, 40, 1.3


def thermostat(target: Tensor) -> Tensor:
    """A branch in each of 20 steps of scalars: calls as small as they get."""
    room, cost = torch.tensor(15.0), torch.zeros(())
    for _ in range(20):
        if room < target:
            room, cost = room + 2.0, cost + 0.3
        room = room - 0.1 * (room - 5.0)
        cost = cost + (room - 18.0) ** 2 * 0.1
    return cost


def recurrent(weight: Tensor) -> Tensor:
    """A branch in each of 20 steps of a small recurrent network."""
    state, cost = torch.full((128,), 0.3), weight.sum() * 0
    for _ in range(20):
        state = torch.tanh(weight @ state)
        if state.mean() > 0.02:
            state, cost = state * 0.5 + 0.1, cost + 0.1
        cost = cost + (state * state).mean()
    return cost


def halving(x: Tensor) -> Tensor:
    """A loop that ends by a value."""
    y, cost = x, torch.zeros(())
    while y > 0.05:
        y = y * 0.9 if y < 0.5 else y - 0.05
        cost = cost + y * y
    return cost


POINTS = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))


def leaf(point: Tensor, x: Tensor) -> Tensor:
    """The leaf that a point comes to."""
    if point[0] > x[0]:
        return x[3] if point[1] < x[1] else x[4]
    return x[5] if point[1] > x[2] else x[6]


def tree(x: Tensor) -> Tensor:
    """A decision tree written as `if`, of three thresholds and four leaves: its squared errors are guarded."""
    total = torch.zeros(())
    for point in POINTS:
        total = total + (leaf(point, x) - 0.3) ** 2
    return total / len(POINTS)


def long(steps: int) -> Callable[[Tensor], Tensor]:
    """A branch in each of many steps: a step's time follows the turns, not the decisions."""

    def program(target: Tensor) -> Tensor:
        room, cost = torch.tensor(15.0), torch.zeros(())
        for _ in range(steps):
            room = room + 1.2 if room < target else room - 0.9
            cost = cost + (room - 18.0) ** 2
        return cost / steps

    program.__name__ = f"{steps} branches"
    return program


def cpu(run: Callable[[], object]) -> float:
    """Processor time of a call, in seconds."""
    start = time.process_time()
    run()
    return time.process_time() - start


def passes(program: Callable[[Tensor], Tensor], x: Tensor, times: int) -> None:
    """That many forward passes without gradients."""
    with torch.no_grad():
        for _ in range(times):
            program(x)


def measured(program: Callable[[Tensor], Tensor], at: Tensor, samples: int, rounds: int) -> tuple[float, float, float]:
    """The seconds of a pass and of a step, and the passes that a step is said to take."""
    x = at.detach().requires_grad_()
    rule = {"op": "@control", "action": "straight_through", "samples": samples, "turns": TURNS}
    soft = softfx.soften(program, {"rule": [rule]}, example_inputs=(x,))
    stated = (1 if samples else 0) + max(1, samples) * (1.5 + TURNS)
    one, step, times = float("inf"), float("inf"), round(stated)
    for _ in range(rounds):
        one = min(one, cpu(lambda: passes(soft, x, times)) / times)
        step = min(step, cpu(lambda: soft(x)))
    return one, step, stated


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = Table("program", "samples", "a pass", "a step", "passes", "stated", "step / stated")
    weight = (0.2 * torch.randn(128, 128)).requires_grad_()
    programs = [(thermostat, torch.tensor(17.0)), (recurrent, weight), (halving, torch.tensor(1.0))]
    programs.append((tree, torch.tensor([0.5, 0.5, 0.5, 1.0, -0.6, 0.5, -1.0])))
    rows = [(program, at, samples, ROUNDS) for program, at in programs for samples in (0, 1, 4)]
    of_length = [(long(steps), rounds) for steps, rounds in ((10, ROUNDS), (100, ROUNDS), (1000, 6))]
    rows += [(program, torch.tensor(17.0), samples, rounds) for program, rounds in of_length for samples in (0, 1, 4)]
    rows += [(long(steps), torch.tensor(17.0), 0, 6) for steps in (2000, 4000)]
    for program, at, samples, rounds in rows:
        one, step, stated = measured(program, at, samples, rounds)
        ratio = step / one / stated
        mark = "" if ratio <= BOUND else f" (above {BOUND})"
        table.add_row(
            getattr(program, "__name__", ""), str(samples), f"{1e3 * one:.2f} ms", f"{1e3 * step:.1f} ms",
            f"{step / one:.1f}", f"{stated:.1f}", f"{ratio:.2f}{mark}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
