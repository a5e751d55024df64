"""When Python may look at the numbers in a tensor: on the CPU, outside of graphs and of function transforms.

A branch on data costs nothing there, and saves passes over memory that most data do not need. On other devices it
would wait for the device, in a graph it would fix the branch, and a mapped function has no one answer.
"""

import math

import torch
from torch import Tensor

from softtorch._torch_private import is_wrapped
from softtorch.kernels.pointwise import plain_operators_needed


def seen(x: Tensor) -> bool:
    """Whether a number of x, (any shape) and no stand-in for others, can be looked at without waiting for a device."""
    return x.device.type == "cpu"


def finite(x: Tensor) -> bool:
    """Whether x, any shape, is seen to hold neither infinities nor NaN, and to be far from the largest number."""
    return readable(x) and math.isfinite(float(x.detach().sum()))


def agreed(condition: Tensor) -> bool:
    """Whether a bool tensor is seen to hold everywhere; where it cannot be seen, no."""
    return seen(condition) and bool(condition.all())


def readable(x: Tensor) -> bool:
    """Whether a branch on the contents of x (any shape) is free of cost and of consequences."""
    traced = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch has no types here
    if traced or not seen(x) or plain_operators_needed():
        return False
    return type(x) in (Tensor, torch.nn.Parameter) and not is_wrapped(x)
