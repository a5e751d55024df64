"""A decision tree written as `if`, its thresholds tuned as written.

The tree decides by three thresholds, which point goes where; its leaves are numbers. The loss changes only where a
threshold passes a point, so that the program's own gradient is zero for every threshold.
"""

import torch
from torch import Tensor
from tuning import Task, compare

_draws = torch.Generator().manual_seed(0)
POINTS = torch.rand(40, 2, generator=_draws)


def leaf(point: Tensor, thresholds: Tensor) -> float:
    """What the tree says of a point (2,), (3,) -> float."""
    if point[0] > thresholds[0]:
        if point[1] > thresholds[1]:
            return 1.0
        return -0.5
    if point[1] > thresholds[2]:
        return 0.4
    return -1.0


TRUE = torch.tensor([0.42, 0.65, 0.3])
WANTED = [
    leaf(point, TRUE) + 0.1 * noise for point, noise in zip(POINTS, torch.randn(40, generator=_draws), strict=True)
]


def loss(thresholds: Tensor) -> Tensor:
    """The mean squared error of the tree (3,) -> ()."""
    total = torch.zeros(())
    for point, wanted in zip(POINTS, WANTED, strict=True):
        total = total + (leaf(point, thresholds) - wanted) ** 2
    return total / len(POINTS)


TASK = Task(loss, low=(0.0, 0.0, 0.0), high=(1.0, 1.0, 1.0), start=(0.8, 0.2, 0.8), grid=15)

if __name__ == "__main__":
    compare(TASK, within=0.05, doc=__doc__)
