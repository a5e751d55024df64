"""A thermostat with two thresholds, tuned through `if`.

The heating goes on below one temperature and off above another. What a day costs, heating and discomfort and switching,
changes when a threshold passes a temperature that the room has had, and at no other time: as a function of the
thresholds it is a staircase, and the program's own gradient is zero.
"""

import torch
from torch import Tensor
from tuning import Task, compare

QUARTERS = 48
OUTSIDE = 6.0 - 5.0 * torch.cos(torch.arange(QUARTERS) * (2 * torch.pi / QUARTERS))


def day(thresholds: Tensor) -> Tensor:
    """What a day costs: the threshold below which heating goes on, and how far above it off (2,) -> ()."""
    on, off = thresholds[0], thresholds[0] + thresholds[1]
    room, cost, heating = torch.tensor(17.0), torch.zeros(()), False
    for outside in OUTSIDE:
        if heating:
            if room > off:
                heating = False
        elif room < on:
            heating = True
            cost = cost + 0.4  # it is lit
        if heating:
            room = room + 1.6
            cost = cost + 0.15
        room = room - 0.06 * (room - outside)
        cost = cost + 0.05 * (room - 20.0) ** 2
    return cost


TASK = Task(day, low=(10.0, 0.0), high=(26.0, 6.0), start=(13.0, 4.5), grid=61)

if __name__ == "__main__":
    compare(TASK, within=0.05, doc=__doc__)
