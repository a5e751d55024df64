"""Is the gradient of an idiom the one of its smoothed form?

Idioms of torch, a line each, of 24 normal numbers. The reference is the gradient of the hard program smoothed by normal
noise (0.3 of the numbers' own unit) on them, by antithetic pairs; what is told is the cosine with it, of the softened
program's gradient. The columns are softness 0.1 in units of the operand, the default policy (`softness = "auto"`, in
units of the data), and the default with all numbers, thresholds and edges times 1000 and 0.001: that must change no
direction. Ranks, one-hots, counts and bits need no rewriting: the soft value is carried through the idiom by what flows
where, and an `argsort` of an `argsort` is told in the report as the rank that it is. Comparisons of rows with an order
statistic of their own keep the number of entries for which they hold, and counts are compared by all ways to them.

**By hand.** Experts write most of these anew: a sigmoid for each comparison, a pairwise sum for the ranks, a softmax
times the table for the one-hot of an argmax. With softfx 0 lines change.

**What did not work.** A running maximum, suppression of neighbours, a greatest among neighbours by pooling, the last
place by a maximum, equality of signs, the commonest bin, the median absolute deviation and two layers of signs stay
below 0.9: their factors are decided by the same numbers, and the product of their soft forms is not the soft form of
the product. A threshold that is 12 units from all numbers has no reference at all, for no sample comes near it; its
gradient is checked for its sign alone. Comparisons that `any` joins have a narrower width by default, for a box of
rules trains better so (tasks.py), and lose some of the cosine here.
"""

import statistics
from dataclasses import dataclass

import torch
from programs.idioms import COUNT, IDIOMS, Idiom
from study import Study, spread
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


def cosines(name: str) -> list[list[float]]:
    """For each way the cosines of the draws."""
    found: list[list[float]] = []
    for seed in study.seeds(DRAWS):
        draws = torch.Generator().manual_seed(seed)
        x = torch.randn(COUNT, generator=draws)
        true = torch.ones(COUNT) if name == FAR else reference(IDIOMS[name], x, draws)
        slopes = [gradient(IDIOMS[name], x, policy, unit) for policy, unit in WAYS.values()]
        found.append([float(torch.cosine_similarity(slope, true, dim=0)) for slope in slopes])
    return [list(column) for column in zip(*found, strict=True)]


drawn = {name: cosines(name) for name in NAMES}
rows = [[f"`{name}`", *map(spread, columns)] for name, columns in drawn.items()]
table = {name: [statistics.fmean(column) for column in columns] for name, columns in drawn.items()}
means = [statistics.fmean(column) for column in zip(*table.values(), strict=True)]
rows.append(["mean", *(f"{value:.2f}" for value in means)])
study.table(
    "Cosine with the gradient of the smoothed program",
    ["idiom", *WAYS],
    rows,
    f"Means over {DRAWS} draws of the numbers, {PAIRS} antithetic pairs each.",
)

study.claim("the default's mean cosine is above that of softness 0.1", means[1] > means[0])
study.claim(
    "multiplying data, thresholds and edges by 1000 or 0.001 changes the default's cosine by less than 0.02",
    all(abs(values[1] - other) < 0.02 for values in table.values() for other in values[2:]),
)
study.claim(
    "every idiom has a gradient that points where the smoothed program's does",
    all(values[1] > 0.3 for values in table.values()),
)
study.finish()
