"""`python -m benchmarks.steps`: what a softened step costs where tensors are tiny, and Python is what is timed.

For ten metrics, losses and quantizers (benchmarks/pairs.py): softened / written by hand in softtorch. With --zoo for
each entry of tests/zoo/zoo.py whose package is there: softened / the original. A step is a forward and a backward pass;
the original's own, where it has no derivative, is the forward pass alone. Processor time of one thread; the versions
take turns within a round, and a ratio is the median over the rounds behind the first ten. Calls are those of aten in a
step.
"""

import argparse
import contextlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.utils import _pytree as pytree

import softfx
from benchmarks.pairs import PAIRS, Pair

ZOO = Path(__file__).parent.parent / "tests" / "zoo"
_WARM = 10  # rounds, in which recordings and traces are made, as in the first steps of a training
BY_HAND, MEDIAN, MOST, GRAPH, HARD = 1.5, 3.0, 15.0, 1.4, 1.1
Step = Callable[[], object]


def step_of(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step:
    """A forward and a backward pass of a function, from one random state."""
    sources = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor) and t.requires_grad]
    if isinstance(function, torch.nn.Module):
        sources += [parameter for parameter in function.parameters() if parameter.requires_grad]

    def step() -> None:
        torch.default_generator.manual_seed(0)  # torch.manual_seed asks every kind of device
        results = [t for t in pytree.tree_leaves(function(*args, **kwargs)) if isinstance(t, Tensor)]
        results = [t for t in results if t.requires_grad]
        if results and sources:
            torch.autograd.grad(results, sources, [torch.ones_like(t) for t in results], allow_unused=True)

    return step


def without_gradients(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step:
    """A forward pass with gradients switched off."""

    def step() -> None:
        with torch.no_grad():
            torch.default_generator.manual_seed(0)
            function(*args, **kwargs)

    return step


def seconds(step: Step) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def measured(steps: dict[str, Step], budget: float) -> dict[str, list[float]]:
    """The seconds of each step in as many rounds as fit the budget, nine at least."""
    torch.set_num_threads(1)  # some packages of the zoo set it to more
    for step in _WARM * [*steps.values()]:
        step()
    rounds = max(9, min(400, int(budget / sum(map(seconds, steps.values())))))
    return {
        name: list(times)
        for name, times in zip(
            steps, zip(*([seconds(step) for step in steps.values()] for _ in range(rounds)), strict=True), strict=True
        )
    }


def ratio(found: dict[str, list[float]], one: str, other: str) -> float:
    return statistics.median(a / b for a, b in zip(found[one], found[other], strict=True))


def calls(step: Step) -> int:
    """The calls of aten that a step makes itself: those made inside of another are not counted."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    found = (event for event in profile.events() or () if event.name.startswith("aten::"))
    return sum(event.cpu_parent is None or not event.cpu_parent.name.startswith("aten::") for event in found)


def softened(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], executor: Any) -> Any:
    return softfx.soften(function, example_inputs=args, example_kwargs=kwargs, executor=executor)


def of_pairs(budget: float, only: str) -> Table:
    """The table of the ten pairs."""
    table = Table("program", "by hand, us", "eager / by hand", "graph / by hand", "calls: original, by hand, eager")
    for name, pair in track([item for item in PAIRS.items() if only in item[0]], "pairs"):
        table.add_row(name, *_pair(pair, budget))
    table.caption = f"wanted: at most {BY_HAND} in each"
    return table


def _pair(pair: Pair, budget: float) -> Iterator[str]:
    torch.manual_seed(0)
    args = tuple(t.requires_grad_(t.is_floating_point()) for t in pair.inputs())
    functions = {"original": pair.program, "by hand": pair.by_hand}
    functions |= {executor: softened(pair.program, args, {}, executor) for executor in ("eager", "graph")}
    steps = {name: step_of(function, args, {}) for name, function in functions.items()}
    found = measured(steps, budget)
    yield f"{1e6 * statistics.median(found['by hand']):.0f}"
    yield from (f"{ratio(found, executor, 'by hand'):.2f}" for executor in ("eager", "graph"))
    yield ", ".join(str(calls(steps[name])) for name in ("original", "by hand", "eager"))


def of_zoo(budget: float, only: str) -> Table:
    """The table over the zoo."""
    sys.path.insert(0, str(ZOO))
    import zoo  # type: ignore[import-not-found]  # a script of the tests

    table = Table("entry", "acts", "original, ms", "eager", "graph", "no gradients", "calls: original, eager")
    rows = []
    for name in track([name for name in zoo.available() if only in name], "zoo"):
        row = _entry(*zoo.build(name), budget)
        rows.append(row)
        shown = ["-" if value is None else f"{value:.2f}" for value in row[:4]]
        table.add_row(name, str(row[5]), shown[0], *shown[1:], row[4])
    eager, graph, hard = ([row[place] for row in rows if row[place] is not None] for place in (1, 2, 3))
    table.caption = (
        f"eager: median {statistics.median(eager):.2f} (wanted {MEDIAN}), at most {max(eager):.1f} (wanted {MOST}); "
        f"graph: median {statistics.median(graph or [torch.nan]):.2f} (wanted {GRAPH}); "
        f"no gradients: median {statistics.median(hard):.2f} (wanted {HARD})"
    )
    return table


def _entry(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], budget: float) -> tuple[Any, ...]:
    for leaf in pytree.tree_leaves((args, kwargs)):
        if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.is_leaf:
            leaf.requires_grad_()
    soft = softened(function, args, kwargs, "eager")
    steps = {"original": step_of(function, args, kwargs), "eager": step_of(soft, args, kwargs)}
    steps |= {"hard": without_gradients(function, args, kwargs), "soft": without_gradients(soft, args, kwargs)}
    with contextlib.suppress(softfx.CaptureError):  # where no single graph holds the call
        steps["graph"] = step_of(softened(function, args, kwargs, "graph"), args, kwargs)
    found = measured(steps, budget)
    graph = ratio(found, "graph", "original") if "graph" in found else None
    counted = ", ".join(str(calls(steps[name])) for name in ("original", "eager"))
    acts = sum(site.action in ("soft", "straight_through", "guard") for site in softfx.report_of(soft).sites)
    each = 1e3 * statistics.median(found["original"])
    return each, ratio(found, "eager", "original"), graph, ratio(found, "soft", "hard"), counted, acts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--zoo", action="store_true", help="the table over the zoo, in the place of that of the pairs")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name has TEXT in it")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each row")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    table = (of_zoo if arguments.zoo else of_pairs)(arguments.budget, arguments.only)
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


if __name__ == "__main__":
    main()
