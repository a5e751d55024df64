"""`python -m benchmarks.growth`: how the cost of `check` and `soften` grows with sites, calls and layers.

Each row takes a program at several sizes; the exponent is fitted by least squares in logarithms over the larger half,
where constant costs no longer count: 1 is linear, and 1.2 is the bound. Processor time of one thread.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

import softfx
from benchmarks.compiler import Block, stacked

BOUND = 1.2
Program = Callable[[Tensor], Tensor]


def of_lines(start: str, line: str, count: int) -> Program:
    """A program of so many lines, which are alike but for a number between 0 and 1."""
    lines = [f"    {line.format(place / count)}" for place in range(count)]
    source = "\n".join(["def program(x):", f"    total = {start}", *lines, "    return total"])
    scope: dict[str, Any] = {}
    exec(compile(source, __file__, "exec"), scope)  # code of this file's own
    program: Program = scope["program"]
    return program


def with_sites(count: int) -> Program:
    """A program of so many sites, each a line of its own."""
    return of_lines("x", "total = total + (total > {}).float()", count)


def with_terms(count: int) -> Program:
    """A sum of so many counts, of which each step takes what all sites before it made."""
    return of_lines("0", "total = total + (x > {}).sum()", count)


def with_calls(count: int) -> Program:
    """A program of two sites that makes so many calls."""

    def program(x: Tensor) -> Tensor:
        for _ in range(count // 5):
            x = x + 0.1 * torch.tanh(x) * (x > 0.5).float()
        return x

    return program


def with_layers(count: int) -> nn.Module:
    """A model of so many blocks of attention, two sites in each."""
    return stacked(Block, count, 32)


ROWS: tuple[tuple[str, Callable[[int], Any], tuple[int, ...], tuple[int, ...]], ...] = (
    ("sites", with_sites, (63, 125, 250, 500), (8,)),
    ("terms", with_terms, (125, 250, 500, 1_000), (8,)),
    ("calls", with_calls, (1_250, 2_500, 5_000, 10_000), (8,)),
    ("layers", with_layers, (6, 12, 24, 48), (1, 16, 32)),
)
VERBS: dict[str, Callable[..., Any]] = {
    "check": softfx.check,
    "soften": lambda target, **given: softfx.soften(target, executor="eager", **given),
}


def seconds(verb: Callable[..., Any], target: Any, x: Tensor, rounds: int) -> float:
    """Processor time of a call, the shortest of some."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        verb(target, example_inputs=(x,))
        found.append(time.process_time() - start)
    return min(found)


def exponent(sizes: tuple[int, ...], times: list[float]) -> float:
    half = len(sizes) // 2 - 1
    logarithms = ([math.log(value) for value in values[half:]] for values in (sizes, times))
    return statistics.linear_regression(*logarithms).slope


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="", choices=("", *(row[0] for row in ROWS)))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("verb", "grows with", "sizes", "seconds", "exponent", "bound")
    rows = [(verb, row) for row in ROWS for verb in VERBS if arguments.only in ("", row[0])]
    for verb, (name, make, sizes, shape) in track(rows, "growth"):
        x = torch.rand(shape)
        times = [seconds(VERBS[verb], make(size), x, arguments.rounds) for size in sizes]
        shown = ", ".join(f"{value:.2f}" for value in times)
        table.add_row(verb, name, ", ".join(map(str, sizes)), shown, f"{exponent(sizes, times):.2f}", str(BOUND))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
