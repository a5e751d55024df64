"""Is the gradient of an idiom the one of its smoothed form?

Idioms of torch, a line each, of 24 normal numbers. The reference is the gradient of the hard program smoothed by normal
noise (0.3 of the numbers' own unit) on them, by antithetic pairs; what is told is the cosine with it, of the softened
program's gradient. The columns are softness 0.1 in units of the operand, the default policy (`softness = "auto"`, in
units of the data), and the default with all numbers, thresholds and edges times 1000 and 0.001: that must change no
direction. Ranks, one-hots, counts and bits need no rewriting: the soft value is carried through the idiom by what flows
where, and an `argsort` of an `argsort` is told in the report as the rank that it is. Comparisons of rows with an order
statistic of their own keep the number of entries for which they hold, those with a running or pooled maximum are the
choice of a window, counts are compared, and the largest of them found, by all ways to them, whether a relu has clipped
is asked of its operand, and what is made of one decision element by element is made of each number that it may be. The
last column is the form that experts write by hand, at the temperature at which it is best of three.

**By hand.** Experts write most of these anew: a sigmoid for each comparison, a pairwise sum for the ranks, a softmax
times the table for the one-hot of an argmax (`examples/studies/programs/idioms_by_hand.py`). With softfx 0 lines
change.

**What did not work.** Six idioms stay below 0.9: suppression of neighbours, the median absolute deviation, two layers
of signs, products above 0, `any` and a threshold far away. Suppression hands the hard weights and their derivative from
one round to the next, where the form by hand hands on soft ones; what the outer of two signs is of is a sum of
decisions, of which the mean is softened and not each way to it. A median of six numbers is decided by two of them, and
wants more than the 0.3 spreads that suit longer rows; two of them, one behind the other, want it twice. Whether a
product is above 0 depends on its factors' distance from 0 in units of the other factor, where the default has one width
for all. A threshold that is 12 units from all numbers has no reference at all, for no sample comes near it; its row is
the cosine with the same slope for each number. Comparisons that `any` joins have a narrower width by default, for a box
of rules trains better so (tasks.py), and lose some of the cosine here.
"""

import math
import statistics
from dataclasses import dataclass
from typing import Any

import torch
from study import Study, dots, spread, tidy
from programs.idioms import COUNT, IDIOMS, Idiom
from programs.idioms_by_hand import BY_HAND, TEMPERATURES
from torch import Tensor

import softfx


@dataclass(frozen=True)
class Size:
    pairs: int
    seeds: int
    names: tuple[str, ...] = tuple(IDIOMS)


study = Study(__file__, __doc__, quick=Size(1500, 2, tuple(IDIOMS)[:3]), default=Size(1500, 5), full=Size(20_000, 5))
PAIRS, DRAWS, NAMES = study.size.pairs, study.size.seeds, study.size.names
FAR = "a threshold far away"
WAYS: dict[str, tuple[object, float]] = {
    "softness 0.1": ({"default": {"softness": 0.1}}, 1.0),
    "default": (None, 1.0),
    "default, x 1000": (None, 1000.0),
    "default, x 0.001": (None, 0.001),
}


def reference(idiom: Idiom, x: Tensor, draws: torch.Generator, sigma: float = 0.3) -> Tensor:
    """The smoothed program's gradient, (24,)."""
    total = torch.zeros(COUNT)
    for _ in range(PAIRS):
        noise = torch.randn(COUNT, generator=draws)
        total += (idiom(x + sigma * noise, 1.0) - idiom(x - sigma * noise, 1.0)) * noise
    return total / (2.0 * sigma * PAIRS)


def gradient(idiom: Idiom, x: Tensor, policy: object, unit: float) -> Tensor:
    """The softened program's gradient in units of x, (24,)."""
    moved = (unit * x).requires_grad_()
    soft = softfx.soften(idiom, policy, example_inputs=(moved, unit))
    (found,) = torch.autograd.grad(soft(moved, unit), moved)
    return unit * found


def by_hand(name: str, x: Tensor, temperature: float) -> Tensor:
    """The gradient of the form that an expert writes, (24,)."""
    moved = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(BY_HAND[name](moved, temperature), moved)
    return found


def cosines(name: str) -> list[list[float]]:
    """For each way the cosines of the draws; the last are those by hand, at the best temperature."""
    found: list[list[float]] = []
    temperatures = TEMPERATURES if name in BY_HAND else ()
    for seed in study.seeds(DRAWS):
        draws = torch.Generator().manual_seed(seed)
        x = torch.randn(COUNT, generator=draws)
        true = torch.ones(COUNT) if name == FAR else reference(IDIOMS[name], x, draws)
        slopes = [gradient(IDIOMS[name], x, policy, unit) for policy, unit in WAYS.values()]
        slopes += [by_hand(name, x, temperature) for temperature in temperatures]
        found.append([float(torch.cosine_similarity(slope, true, dim=0)) for slope in slopes])
    columns = [list(column) for column in zip(*found, strict=True)]
    ours, hand = columns[: len(WAYS)], columns[len(WAYS) :]
    return ours + sorted(hand, key=statistics.fmean)[-1:]


drawn = {name: cosines(name) for name in NAMES}
rows = [[f"`{name}`", *map(spread, columns), *("-" for _ in range(len(WAYS) + 1 - len(columns)))]
        for name, columns in drawn.items()]  # fmt: skip
table = {name: [statistics.fmean(column) for column in columns] for name, columns in drawn.items()}
means = [statistics.fmean(values[way] for values in table.values()) for way in range(len(WAYS))]
rows.append(["mean", *(f"{value:.2f}" for value in means), "-"])
study.table(
    "Cosine with the gradient of the smoothed program",
    ["idiom", *WAYS, "by hand"],
    rows,
    f"Means over {DRAWS} draws of the numbers, {PAIRS} antithetic pairs each; by hand at the best of the temperatures "
    f"{', '.join(map(str, TEMPERATURES))}.",
)


def picture(figure: Any) -> None:
    axis = figure.subplots()
    hand = [values[-1] if len(values) > len(WAYS) else math.nan for values in table.values()]
    ways = {way: [values[place] for values in table.values()] for place, way in enumerate(WAYS) if place < 2}
    dots(axis, list(table), {**ways, "by hand": hand})
    tidy(axis, "", "cosine with the gradient of the smoothed program, in the mean", "")


study.draw(picture, height=1.0 + 0.16 * len(table))
study.claim("the default's mean cosine is above that of softness 0.1", means[1] > means[0])
study.claim(
    "multiplying data, thresholds and edges by 1000 or 0.001 changes the default's cosine by less than 0.02",
    all(abs(values[1] - other) < 0.02 for values in table.values() for other in values[2 : len(WAYS)]),
)
study.claim(
    "every idiom has a gradient that points where the smoothed program's does",
    all(values[1] > 0.3 for values in table.values()),
)
behind = [name for name, values in table.items() if values[1] < values[-1] - 0.03]
study.claim("the default is as good as the form by hand, within 0.03, of all idioms but one", len(behind) < 2)
study.finish()
