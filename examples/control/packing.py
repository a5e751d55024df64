"""Greedy packing, its prices tuned through `argmax` and `if`.

A bag holds so much volume and so much weight. Items are taken by their score, which is their value less a price for
their volume and another for their weight, and packed if they fit. The value packed depends on the order alone, and so
on the prices through decisions alone.
"""

import torch
from torch import Tensor
from tuning import Task, compare

ITEMS = 16
_draws = torch.Generator().manual_seed(10)
VOLUME, WEIGHT = 0.05 + 0.4 * torch.rand(2, ITEMS, generator=_draws)
VALUE = 0.2 + 0.3 * torch.rand(ITEMS, generator=_draws) + 0.2 * VOLUME + 0.6 * WEIGHT


def packed(prices: Tensor) -> Tensor:
    """The value left behind: the prices of volume and of weight (2,) -> ()."""
    scores = VALUE - prices[0] * VOLUME - prices[1] * WEIGHT
    left, volume, weight, waiting = VALUE.sum(), torch.tensor(1.2), torch.tensor(1.2), list(range(ITEMS))
    while waiting:
        item = waiting.pop(int(scores[waiting].argmax()))
        if VOLUME[item] <= volume and WEIGHT[item] <= weight:
            volume, weight, left = volume - VOLUME[item], weight - WEIGHT[item], left - VALUE[item]
    return left


TASK = Task(packed, low=(0.0, 0.0), high=(4.0, 4.0), start=(0.2, 0.2), grid=61)

if __name__ == "__main__":
    compare(TASK, within=0.10, doc=__doc__)
