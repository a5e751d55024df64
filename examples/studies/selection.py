"""Choosing k of many, learned through the choice itself.

Six programs select by `topk`: four of sixteen sensors, three features of ten before a network, three channels of
twelve, the three best patches of an image, four tokens by a threshold at the fourth, two experts of four. Adam trains
scores and weights together, on the hard loss, which is told at the end (lower is better). Of the ways that are
softened, two have a softness of 0.2 and 1.6 spreads of the scores and no tail; the others have the tail of the default
policy: a third of its rows is seven times as soft, another 49 times. All but one have scope `linear`: the derivative is
that of the soft choice up to the first call that bends the chosen together, and that at the hard value behind it. One
has scope `model`, the soft choice to the end. `one run` is the default with estimator `soft`; the default itself has
estimator `exchange` where the choice is made once, among parameters (sensors, features, channels): a second run a step,
in which some of the chosen give way to others, so that what is not chosen learns of its own loss.

**By hand.** Experts write the mask with the derivative of a softmax or a sigmoid in its place (straight-through), and
multiply all candidates with it: `practice_*` in examples/studies/programs, four lines for each program. With softfx 0
lines change.

**What did not work.** Without a tail one width must do for both: 0.2 spreads of scores that start as small random
numbers are less than one step of Adam, and what is not chosen is never tried; 1.6 spreads mend that, and blur scores
that are made of data. Where the choice is a threshold at a value of `topk` (the tokens) the comparison decides, and the
ways are one. Scope `model` learns to be good with a little of everything where weights learn beside the choice, as in
all of these. A fourth width was left out: each takes the memory and the time of a choice once more. Differences of the
loss by single exchanges in the place of the scores' derivative, as control flow has them, train worse than that, with
eight of them a step, too: what was missing is not the scores' derivative but weights that know what they would do.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from study import Study, dots, spread, tidy
from programs.selections import TASKS as ALL
from programs.task import Loss, Task, trained

import softfx


@dataclass(frozen=True)
class Size:
    steps: int
    seeds: int
    names: tuple[str, ...] = tuple(task.name for task in ALL)


study = Study(__file__, __doc__, quick=Size(120, 2, ("sensors", "features")), default=Size(120, 5), full=Size(400, 20))
STEPS = study.size.steps
SEEDS = list(study.seeds(study.size.seeds))


def softened(task: Task, seed: int, **choice: object) -> Loss:
    """The hard loss, softened by the default policy, with other options of its choice."""
    policy = {"preset": "gradients", **({"rule": [{"op": "topk", **choice}]} if choice else {})}
    start, data = task.make(seed)
    example = [value.clone().requires_grad_() for value in start]
    return softfx.soften(task.hard, policy, example_inputs=(example, data))


def narrow(relative: float) -> Callable[[Task, int], float]:
    def run(task: Task, seed: int) -> float:
        loss = softened(task, seed, softness={"relative": relative}, mode="smooth", method="lapsum", scope="linear")
        return trained(task, loss, seed, STEPS)

    return run


WAYS: dict[str, Callable[[Task, int], float]] = {
    "at the start": lambda task, seed: float(task.hard(*task.make(seed))),
    "unsoftened": lambda task, seed: trained(task, task.hard, seed, STEPS),
    "by hand": lambda task, seed: trained(task, task.practice, seed, STEPS),
    "0.2 spreads": narrow(0.2),
    "1.6 spreads": narrow(1.6),
    "scope model": lambda task, seed: trained(task, softened(task, seed, scope="model", estimator="soft"), seed, STEPS),
    "one run": lambda task, seed: trained(task, softened(task, seed, estimator="soft"), seed, STEPS),
    "default": lambda task, seed: trained(task, softened(task, seed), seed, STEPS),
}

ONCE = ("sensors", "features", "channels")

found: dict[str, dict[str, list[float]]] = {}
for task in ALL:
    if task.name in study.size.names:
        torch.manual_seed(0)
        found[task.name] = {way: [run(task, seed) for seed in SEEDS] for way, run in WAYS.items()}


def mean(name: str, way: str) -> float:
    return statistics.fmean(found[name][way])


def shares(way: str, most: float = 1.0) -> list[float]:
    """How much of the way from the start to the expert's end each program goes, so much at most."""
    starts = [mean(name, "at the start") for name in found]
    ends = [(mean(name, "by hand"), mean(name, way)) for name in found]
    return [min((start - end) / (start - hand), most) for start, (hand, end) in zip(starts, ends, strict=True)]


def picture(figure: Any) -> None:
    axis = figure.subplots()
    dots(axis, list(found), {way: shares(way, 2.5) for way in WAYS if way != "at the start"})
    tidy(axis, "", "of the way from the start to the end by hand", "")


rows = [[name, *(spread(values, 3) for values in ways.values())] for name, ways in found.items()]
rows.append(["of the way to by hand", *(f"{statistics.fmean(shares(way)):.2f}" for way in WAYS)])
study.table(
    "The hard loss after training",
    ["program", *WAYS],
    rows,
    f"Means over {len(SEEDS)} seeds, {STEPS} steps of Adam; the last row counts what is beyond the expert's end as 1.",
)
study.draw(picture)
study.claim(
    "the default ends all programs within 10 % of the way to the expert's end, or beyond it",
    min(shares("default")) >= 0.9,
    at_quick=False,
)
study.claim(
    "the default ends each program that chooses once below two thirds of the expert's loss, on average below half",
    statistics.fmean(ratios := [mean(name, "default") / mean(name, "by hand") for name in ONCE if name in found]) < 0.5
    and max(ratios) < 2.0 / 3.0,
    at_quick=False,
)
study.claim(
    "beyond the expert's end, too, the default goes further over all programs than scope model and than unsoftened",
    all(
        statistics.fmean(shares("default", math.inf)) >= statistics.fmean(shares(way, math.inf))
        for way in ("scope model", "unsoftened")
    ),
)
study.finish()
