"""A queue that serves faster, and turns customers away, where the wait is long, tuned through `if`.

Customers come one after the other. Where the next one would wait longer than a bound, service is made faster, which
costs; above another bound the customer is turned away. Both bounds decide, and neither has a gradient.
"""

import torch
from torch import Tensor
from tuning import Task, compare

CUSTOMERS = 50
_draws = torch.Generator().manual_seed(11)
BETWEEN = torch.empty(CUSTOMERS).exponential_(1.0, generator=_draws)
SERVICE = torch.empty(CUSTOMERS).exponential_(0.9, generator=_draws)


def shift(bounds: Tensor) -> Tensor:
    """What a shift costs: the waits above which service is fast, and above which a customer is refused (2,) -> ()."""
    wait, cost = torch.zeros(()), torch.zeros(())
    for between, service in zip(BETWEEN, SERVICE, strict=True):
        wait = torch.relu(wait - between)
        if wait > bounds[1]:
            cost = cost + 2.0
            continue
        cost = cost + 0.3 * wait
        if wait > bounds[0]:
            wait = wait + 0.5 * service
            cost = cost + 0.6 * service
        else:
            wait = wait + service
    return cost


TASK = Task(shift, low=(0.0, 0.0), high=(8.0, 8.0), start=(5.0, 6.0), grid=49)

if __name__ == "__main__":
    compare(TASK, within=0.05, doc=__doc__)
