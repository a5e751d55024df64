"""An integrator that chooses its steps, tuned through the `if`s by which it does.

A step is refused and halved where its error is above one bound, and the next one is doubled where it is below another.
What is weighed is the error of the result beside the evaluations that it took: both change only where a step is refused
or doubled that was not before, and the program's own gradient is zero.
"""

import math

import torch
from torch import Tensor
from tuning import Task, compare

END, FIRST, LEAST = 1.5, 0.2, 2e-3


def slope(t: float, y: float) -> float:
    """A slow motion with a short pull in it."""
    pull = 14.0 * math.exp(-(((t - 0.8) / 0.1) ** 2))
    return math.cos(t) - 0.3 * y - pull * (y - 0.2)


def exact() -> float:
    """The result by so many equal steps that it hardly errs."""
    y, count = 0.5, 4000
    h = END / count
    for step in range(count):
        middle = y + 0.5 * h * slope(step * h, y)
        y += h * slope((step + 0.5) * h, middle)
    return y


EXACT = exact()


def integrated(bounds: Tensor) -> Tensor:
    """Error and work; the decades of the bound above which a step is refused, and below which doubled (2,) -> ()."""
    refused, doubled = 10.0 ** -bounds[0], 10.0 ** -(bounds[0] + bounds[1])
    t, y, h, work = 0.0, 0.5, FIRST, 0
    while t < END:
        h = min(h, END - t)
        first = slope(t, y)
        second = slope(t + h, y + h * first)
        work += 2
        error = 0.5 * h * abs(second - first)
        if h > LEAST and error > refused:
            h = 0.5 * h
            continue
        t, y = t + h, y + 0.5 * h * (first + second)
        if error < doubled:
            h = 2.0 * h
    return torch.tensor(0.02 * work + math.log10(1.0 + 1e3 * abs(y - EXACT)))


TASK = Task(integrated, low=(1.0, 0.3), high=(4.0, 1.8), start=(3.7, 1.5), grid=41)

if __name__ == "__main__":
    compare(TASK, within=0.05, doc=__doc__)
