"""Sorting supervision: numbers read from images, learned from their order alone.

Requires: sklearn

Four handwritten digits make a number. A network gives each image one score, and all that training tells it is how the n
images of a set are ordered. The program is what a user writes: the one-hot permutation of `argsort`, compared to the
true one; for methods that sort and have no indices, ranks by `searchsorted` in the sorted scores. It has no gradient.
Softened by a policy, one method of relaxation after the other, it trains. Its softness is 0.1, or the best of a grid by
the order of the training sets, or calibrated: `softfx.calibrate` of the permutation alone, on scores that the untrained
network of the first seed gives to images without their numbers. A set counts as exact if all of its places are right,
and each place counts element-wise.

With `--peers`, the Python of an environment in which diffsort, torchsort (it compiles C++ at installation) or SoftTorch
(it has the import name of the operator library here) are installed, the same losses stand in the table by their own
interfaces, trained in a process of that environment.

**By hand.** The published code of each method is a module of its own that takes scores and returns a permutation
matrix: the loss is rewritten around it (3 lines: `of_permutation` and one of `by_*` in
`examples/studies/programs/order_peers.py`), and another method is another package with another signature. With softfx 0
lines change, and a method is a word in the policy.

**What did not work.** The best softness differs between methods and none is best for all, so a table at one softness
compares softnesses and not methods. Calibration is no help here. It sees how right the gradient is at the start, not
how training goes on, and stays at 0.2 spreads of the first scores nearly always, where 0.1 of standardized scores is
half a spread at every step and the grid's best is mostly softer still. The policies of compact support, c0, learn next
to nothing at it from 9 numbers on. Its eight policies place 37.2 % where softness 0.1 places 40.4 %, more than the
spread over seeds: `sorting.py --seed 7 --seeds 5 --counts 4 --grid 1.0 --steps 60`. To measure the spread again every
ten steps did not close that gap. At these sizes a softened step takes one and a half to three times as long as
SoftTorch's own.

Sources: Grover et al. 2019 (arXiv 1903.08850), Petersen et al. 2021 (arXiv 2105.04019), Blondel et al. 2020 (arXiv
2002.08871).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from study import COLORS, Study, demand, spread, tidy
from programs.orders import BATCH, End, Job, Reader, loaded, order_loss, places, rank_loss, ranks, reached, right, sets

import softfx

INDICES: dict[str, dict[str, Any]] = {  # eight policies of the permutation
    "softsort": {"method": "softsort"},
    "softsort, c0": {"method": "softsort", "mode": "c0"},
    "neuralsort": {"method": "neuralsort"},
    "ot": {"method": "ot"},
    "ot, c0": {"method": "ot", "mode": "c0"},
    "lapsum": {"method": "lapsum"},
    "sorting_network, bitonic": {"method": "sorting_network", "layout": "bitonic"},
    "sorting_network, odd-even, cauchy": {"method": "sorting_network", "layout": "odd_even", "swap": "cauchy"},
}
RANKS: dict[str, dict[str, Any]] = {
    "fast_soft_sort, ranks": {"op": "sort", "method": "fast_soft_sort", "mode": "c0"},
    "smooth_sort, ranks": {"op": "sort", "method": "smooth_sort"},
}
FIXED = 0.1


def policy(preset: str, options: dict[str, Any], softness: dict[str, Any]) -> dict[str, Any]:
    made = {"preset": preset, "default": {"families": ["discrete"], **softness}}
    return made | {"rule": [{"op": "argsort"} | options]}


def calibrated(job: Job) -> dict[str, Any]:
    """The softness that calibration gives, without a number or an order seen: `auto`, or what it moves to."""
    torch.set_num_threads(1)
    program, options = (ranks, RANKS[job.row]) if job.row in RANKS else (places, INDICES[job.row])
    torch.manual_seed(job.seed)
    model, (train, _) = Reader(), loaded()
    with torch.no_grad():
        batches = [model(sets(*train, BATCH, job.count)[0]) for _ in range(2)]
    start = policy("straight-through", options, {"softness": "auto"})
    found = softfx.calibrate(program, start, batches, samples=64, seed=job.seed)
    moved = next((line.fields for line in found.rows if line.fields and "softness" in line.fields), None)
    return {"softness": "auto"} if moved is None else {"softness": moved["softness"], "standardize": False}


def run(job: Job, chosen: dict[str, Any]) -> End:
    """One training through the softened program, at the softness that is chosen."""
    torch.set_num_threads(1)
    options = RANKS.get(job.row) or INDICES[job.row]
    torch.manual_seed(job.seed)
    model, (train, _) = Reader(), loaded()
    digits, numbers = sets(*train, BATCH, job.count)
    example = model(digits).detach().requires_grad_(), numbers
    program = rank_loss if job.row in RANKS else order_loss
    loss = softfx.soften(program, policy("smooth", options, chosen), example_inputs=example)
    (softness, *_) = [site.softness for site in loss.report.sites if site.action == "soft"]
    return reached(loss, job, softness)


@contextmanager
def peers_of(python: Path | None) -> Iterator[tuple[list[str], Any]]:
    """The rows of other libraries, and a function that runs a job there; none without an environment."""
    if python is None:
        yield [], None
        return
    script = Path(__file__).parent / "programs" / "order_peers.py"
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # its own softtorch, not ours
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": alone}
    with subprocess.Popen([python, script], **pipes) as process:
        assert process.stdin is not None and process.stdout is not None
        channel_in, channel_out = process.stdin, process.stdout

        def told() -> Any:
            line = channel_out.readline()
            return json.loads(line) if line else sys.exit(f"sorting.py: error: {python} ended before it had answered")

        def answered(job: Job) -> End | None:
            print(json.dumps(asdict(job)), file=channel_in, flush=True)
            answer = told()
            return None if answer is None else End(**answer)

        rows = told()
        if not rows:
            sys.exit(f"sorting.py: error: argument --peers: {python} has none of diffsort, torchsort and SoftTorch")
        yield rows, answered
        channel_in.close()


def python_of(text: str) -> Path:
    """The Python of an environment."""
    if not os.access(path := Path(text), os.X_OK) or path.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text} is no program. Legal is the Python of an environment, as venv/bin/python."
        )
    return path


@dataclass(frozen=True)
class Size:
    counts: tuple[int, ...]
    grid: tuple[float, ...]
    steps: int
    seeds: int
    workers: int = os.cpu_count() or 1

    def __post_init__(self) -> None:
        demand(min(self.counts) > 1, "--counts of 2 or more, which have an order")


Ends = dict[tuple[int, str, float | None], list[End]]


def all_ends(size: Size, seeds: list[int], python: Path | None) -> Ends:
    """Every training: softfx's on all processors, those of other libraries in their own process."""

    def jobs(rows: list[str], softnesses: tuple[float | None, ...]) -> list[Job]:
        return [
            Job(row, softness, count, size.steps, seed)
            for count in size.counts for row in rows for softness in softnesses for seed in seeds
        ]  # fmt: skip

    found: Ends = defaultdict(list)
    grid = tuple(dict.fromkeys((FIXED, *size.grid)))
    own = jobs([*INDICES, *RANKS], (*grid, None))
    with (
        ProcessPoolExecutor(size.workers, get_context("spawn")) as pool,
        peers_of(python) as (rows, answered),
    ):
        first = {(job.row, job.count): job for job in reversed(own)}  # of the first seed
        settings = dict(zip(first, pool.map(calibrated, first.values()), strict=True))
        chosen = [settings[job.row, job.count] if job.softness is None else {"softness": job.softness} for job in own]
        ends = pool.map(run, own, chosen, chunksize=4)
        for job in jobs(rows, grid):
            if (end := answered(job)) is not None:
                found[job.count, job.row, job.softness].append(end)
        for job, end in zip(own, ends, strict=True):
            found[job.count, job.row, job.softness].append(end)
    return found


def best(found: Ends, count: int, row: str) -> tuple[list[End], str]:
    """For each seed the end that orders the sets of training best, and the softnesses that were taken."""
    tried = [ends for (n, name, softness), ends in found.items() if (n, name) == (count, row) and softness is not None]
    chosen = [max(column, key=lambda end: end.fit) for column in zip(*tried, strict=True)]
    return chosen, ", ".join(f"{softness:g}" for softness in sorted({end.softness for end in chosen}))


def cell(ends: list[End]) -> str:
    return (
        "-"
        if not ends
        else " / ".join(spread([getattr(end, part) for end in ends], 1) for part in ("exact", "element"))
    )


def drawn(
    figure: Any, counts: Sequence[int], names: list[str], values: dict[tuple[int, str], list[list[float]]]
) -> None:
    """The places right of each method in the mean and their spread, for the best of the grid and calibrated."""
    axes = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for count, axis in zip(counts, axes, strict=True):
        for place, name in enumerate(names):
            colors = (COLORS[0] if "own" in name else COLORS[1], COLORS[2])
            for ends, color, above in zip(values[count, name], colors, (-0.15, 0.15), strict=True):
                if ends:
                    deviation = statistics.stdev(ends) if len(ends) > 1 else 0.0
                    look = {"fmt": "o", "markersize": 3, "linewidth": 1, "color": color}
                    axis.errorbar(statistics.fmean(ends), place + above, xerr=deviation, **look)
        tidy(axis, f"n = {count}", "places right, %")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.suptitle(
        "the best of the grid (green, other libraries black) and calibrated without labels (red)", fontsize=9
    )


def main() -> None:
    study = Study(
        __file__,
        __doc__,
        quick=Size((3,), (1.0,), 40, 1),
        default=Size((3, 5, 9, 15), (0.1, 0.3, 1.0), 100, 5),
        full=Size((3, 5, 7, 9, 15), (0.03, 0.1, 0.3, 1.0, 3.0), 100_000, 5),
        peers={"type": python_of, "metavar": "PYTHON", "help": "of an environment with the libraries to compare with"},
    )
    size, seeds = study.size, list(study.seeds(study.size.seeds))
    found = all_ends(size, seeds, study.arguments.peers)
    _, held = loaded()
    rows, places_right, untrained_places = [], {}, {}
    names = list(dict.fromkeys(name for _, name, _ in found))
    names = [*INDICES, *RANKS, *(name for name in names if name not in INDICES and name not in RANKS)]
    for count in size.counts:
        test = sets(*held, 1000, count)
        untrained = [right(Reader(), *test) for _ in study.seeds(size.seeds)]
        untrained_places[count] = statistics.fmean(element for _, element in untrained)
        start = " / ".join(spread(part, 1) for part in zip(*untrained, strict=True))
        rows.append([count, "untrained", start, "-", "-", "-", "-"])
        for name in names:
            if (count, name, FIXED) not in found:
                continue
            ends, softness = best(found, count, name)
            free = found.get((count, name, None), [])
            places_right[count, name] = sum(end.element for end in ends) / size.seeds
            milliseconds = sum(end.seconds for end in ends) / size.seeds * 1000
            rows.append(
                [count, name, cell(found[count, name, FIXED]), cell(free), cell(ends), softness, f"{milliseconds:.1f}"]
            )
    study.table(
        "Order of four-digit numbers: sets right / places right, %",
        ["n", "method", f"softness {FIXED}", "calibrated, no labels", "best of the grid", "its softness", "ms a step"],
        rows,
        f"{size.steps} steps of {BATCH} sets, {size.seeds} seeds; the grid is {size.grid}, by the order of 500 sets of "
        "training; 1000 sets of digits not trained on. Milliseconds of processor time on one thread.",
    )

    def picture(figure: Any) -> None:
        drawn(figure, size.counts, names, {
            (count, name): [[end.element for end in ends] for ends in (
                best(found, count, name)[0], found.get((count, name, None), [])
            )]
            for count in size.counts for name in names
        })  # fmt: skip

    study.draw(picture, width=12, height=4)
    no_gradient = not any(
        program(torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)).requires_grad
        for program in (order_loss, rank_loss)
    )
    study.claim("the hard losses have no gradient", no_gradient)
    for count in size.counts:
        worst = min(places_right[count, name] for name in (*INDICES, *RANKS))
        chance = 100 / count
        study.claim(
            f"n = {count}: at the best of the grid every method gets more places right than chance, by a quarter",
            worst > 1.25 * chance,
        )
        free = statistics.fmean(end.element for name in INDICES for end in found[count, name, None])
        study.claim(
            f"n = {count}: calibrated without labels, the eight policies place more than before training, by a quarter "
            "of chance",
            free > untrained_places[count] + 0.25 * chance,
            at_quick=False,
        )
        own, others = (
            max(
                [value for (n, name), value in places_right.items() if n == count and ("own" in name) is other],
                default=0,
            )
            for other in (False, True)
        )
        if others:
            study.claim(
                f"n = {count}: the best policy places as many as the best of other libraries, within 2 %",
                own > others - 2,
            )
    study.finish()


if __name__ == "__main__":
    main()
