"""The mean of what a program makes of each number that a decision may be (softfx.interpreter.pointwise).

All are tensors, on any device, batched and differentiable, as in `distributions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softfx.runtime.distributions import weighted
from softtorch.straight_through import finite as seen_finite

__all__ = ["clamp", "losses", "mean"]


def mean(p: Tensor, numbers: Tensor, hard: Tensor) -> Tensor:
    """sum_j p_j numbers_j; a number that is infinite or NaN counts as the hard one.

    # (..., [n]), broadcastable to (..., [n]), (...) -> (...)

    >>> mean(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 4.0]), torch.tensor(1.0))
    tensor(2.5000)
    >>> mean(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]).log(), torch.tensor(0.0))
    tensor(0.)
    """
    if not seen_finite(numbers):
        own = hard.detach().unsqueeze(-1).nan_to_num(0.0, 0.0, 0.0)
        numbers = torch.where(numbers.isfinite(), numbers, own)
    return weighted(p.expand(*hard.shape, p.shape[-1]), numbers)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """torch.clamp of operands that broadcast: torch's derivative by two bounds refuses an input smaller than these.

    # (...) each -> (...)

    >>> low = torch.zeros(2, requires_grad=True)
    >>> torch.autograd.grad(clamp(torch.tensor([-1.0]), low, torch.tensor([1.0])).sum(), low)[0]
    tensor([1., 1.])
    """
    shapes = [bound.shape for bound in (min, max) if isinstance(bound, Tensor)]
    joint = torch.broadcast_shapes(input.shape, *shapes)  # type: ignore[no-untyped-call]  # torch's own
    return torch.clamp(input.expand(joint), min, max)


def losses(loss: Callable[..., Tensor], input: Tensor, target: Tensor, **options: Any) -> Tensor:
    """A loss of each element of two tensors, broadcast.  # (...), (...) -> (...)

    >>> losses(torch.nn.functional.l1_loss, torch.tensor([1.0, 2.0]), torch.tensor(0.5))
    tensor([0.5000, 1.5000])
    """
    shape = torch.broadcast_shapes(input.shape, target.shape)  # type: ignore[no-untyped-call]  # torch's own
    input, target = input.expand(shape), target.expand(shape)
    dtype = torch.promote_types(input.dtype, target.dtype)
    return loss(input.to(dtype), target.to(dtype), **options, reduction="none")
