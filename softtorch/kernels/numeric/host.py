"""Reading the numbers of a tensor in Python: only on the CPU, outside of graphs and of function transforms.

A branch on data costs nothing there, and saves passes over memory that most data do not need. On other devices it would
wait for the device, in a graph it would fix the branch, and a mapped function has no one answer.
"""

import cmath
import math

import torch
from torch import Tensor

from softtorch.kernels.numeric.questions import question
from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.torch_private import is_wrapped


def seen(x: Tensor) -> bool:
    """Return True if a number of x, any shape and no stand-in for others, is read without waiting for a device."""
    return x.device.type == "cpu"


def finite(x: Tensor) -> bool:
    """Return True if x, any shape, is seen to hold no infinities and no NaN, and to be far from the largest number."""
    return readable(x) and has_finite_sum(x)


@question
def has_finite_sum(x: Tensor) -> bool:
    """Return True if the sum of x, any shape and readable, is a number."""
    total = (x.detach() if x.requires_grad else x).sum()
    return cmath.isfinite(complex(total)) if total.is_complex() else math.isfinite(float(total))


@question
def is_at_most(x: Tensor, bound: float) -> bool:
    """Return True if no entry of x, any shape and readable, is above a bound, or NaN."""
    return float(x.amax()) <= bound


@question
def is_below(x: Tensor, bound: float) -> bool:
    """Return True if all entries of x, any shape and readable, are below a bound; a NaN is not."""
    return float(x.amax()) < bound


def agreed(condition: Tensor) -> bool:
    """Return True if a bool tensor is seen to hold everywhere; False where it cannot be read."""
    return seen(condition) and _is_everywhere(condition)


@question
def _is_everywhere(condition: Tensor) -> bool:
    return bool(condition.all())


def readable(x: Tensor) -> bool:
    """Return True if a branch on the contents of x (any shape) is free of cost and of consequences."""
    traced = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch has no types here
    if traced or not seen(x) or plain_operators_needed():
        return False
    return type(x) in (Tensor, torch.nn.Parameter) and not is_wrapped(x)
