"""Reading the numbers of a tensor in Python: only on the CPU, outside of graphs and of function transforms.

A branch on data costs nothing there, and saves passes over memory that most data do not need. On other devices it would
wait for the device, in a graph it would fix the branch, and a mapped function has no one answer.
"""

import cmath
import math

import torch
from torch import Tensor

from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.torch_private import is_wrapped


def seen(x: Tensor) -> bool:
    """Return True if a number of x, any shape and no stand-in for others, is read without waiting for a device."""
    return x.device.type == "cpu"


def finite(x: Tensor) -> bool:
    """Return True if x, any shape, is seen to hold no infinities and no NaN, and to be far from the largest number."""
    if not readable(x):
        return False
    total = (x.detach() if x.requires_grad else x).sum()
    return cmath.isfinite(complex(total)) if total.is_complex() else math.isfinite(float(total))


def agreed(condition: Tensor) -> bool:
    """Return True if a bool tensor is seen to hold everywhere; False where it cannot be read."""
    return seen(condition) and bool(condition.all())


def readable(x: Tensor) -> bool:
    """Return True if a branch on the contents of x (any shape) is free of cost and of consequences."""
    traced = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch has no types here
    if traced or not seen(x) or plain_operators_needed():
        return False
    return type(x) in (Tensor, torch.nn.Parameter) and not is_wrapped(x)
