"""`python -m benchmarks.compiled`: operators under torch.compile beside the compiled plain function, and beside eager.

C1: elementwise operators beside gelu; C2: argmax and max beside softmax; C3: sort and rank by softsort beside
torch.sort; C4: each compiled operator beside itself in eager mode. Forward and backward, float32, processor time of one
thread, both sides in turns within a round; a ratio is the median over rounds. Skipped with a word where there is no C++
compiler. To add a row, write its line in `ROWS`.
"""

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

import softtorch

Function = Callable[[Tensor], Tensor]

WIDE, LONG = (1000, 1000), (1, 100_000)


@dataclass(frozen=True)
class Row:
    """An operator, what it is compared with, and the bound on compiled / compiled."""

    code: str
    name: str
    ours: Function
    plain: str
    bound: float
    shape: tuple[int, int] = WIDE


PLAIN: dict[str, Function] = {
    "gelu": torch.nn.functional.gelu,
    "softmax": lambda x: torch.softmax(x, -1),
    "sort": lambda x: torch.sort(x)[0],
}

ROWS = [
    *(
        Row("C1", name, lambda x, name=name: getattr(softtorch, name)(x), "gelu", 1.5)  # type: ignore[misc]
        for name in ("sigmoidal", "relu", "abs", "sign", "round")
    ),
    Row("C1", "clamp", lambda x: softtorch.clamp(x, -0.5, 0.5), "gelu", 1.5),
    Row("C1", "greater", lambda x: softtorch.greater(x, 0.1), "gelu", 1.5),
    Row("C2", "argmax", lambda x: softtorch.argmax(x, -1), "softmax", 1.5),
    Row("C2", "max", lambda x: softtorch.max(x, -1)[0], "softmax", 1.5),
    Row(
        "C3",
        "sort, softsort",
        lambda x: softtorch.sort(x, method="softsort", return_indices=False)[0],
        "sort",
        3.0,
        LONG,
    ),
    Row("C3", "rank, softsort", lambda x: softtorch.rank(x, method="softsort"), "sort", 3.0, LONG),
    Row(
        "C3",
        "sort, fast_soft_sort",
        lambda x: softtorch.sort(x, method="fast_soft_sort", return_indices=False)[0],
        "sort",
        torch.inf,
        LONG,
    ),
]
SLOWER = 1.1  # C4: a compiled operator may take so many times what it takes in eager mode


def seconds(function: Function, x: Tensor) -> float:
    """Processor time of a forward and a backward pass."""
    start = time.process_time()
    function(x).square().sum().backward()  # type: ignore[no-untyped-call]  # untyped in torch
    return time.process_time() - start


def measured(row: Row, rounds: int) -> tuple[float, float, float]:
    """The median ratios of compiled to the compiled plain function and to eager, and the median seconds."""
    x = torch.randn(row.shape, requires_grad=True)
    functions = [torch.compile(f, fullgraph=True, dynamic=False) for f in (row.ours, PLAIN[row.plain])] + [row.ours]
    for function in functions:
        seconds(function, x)
    found = [[seconds(function, x) for function in functions] for _ in range(rounds)]
    to_plain, to_eager = (statistics.median(each[0] / each[place] for each in found) for place in (1, 2))
    return to_plain, to_eager, statistics.median(each[0] for each in found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiled", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="codes of rows or names of operators, separated by commas")
    arguments = parser.parse_args()
    if not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        print("There is no C++ compiler here, which torch.compile needs: nothing was measured.")
        return
    torch.set_num_threads(1)
    table = Table("case", "operator", "compiled / compiled plain", "target", "C4: compiled / eager", "target", "ms")
    chosen = [row for row in ROWS if not arguments.only or {row.code, row.name} & set(arguments.only.split(","))]
    for row in track(chosen, "operators"):
        torch._dynamo.reset()
        to_plain, to_eager, each = measured(row, arguments.rounds)
        ratios = f"{to_plain:.2f} x {row.plain}", f"{row.bound:g}", f"{to_eager:.2f}", str(SLOWER), f"{1000 * each:.1f}"
        table.add_row(row.code, f"{row.name} {row.shape}", *ratios)
    Console().print(table)


if __name__ == "__main__":
    main()
