"""Calls whose result has a shape that depends on elements, by the arguments that make it so."""

from __future__ import annotations

import torch
from torch import Tensor

from softfx.ops.calls import Args, Options
from softfx.ops.trees import tensors_in

__all__ = ["always", "by_classes_of_data", "by_mask", "by_number_of_hits", "by_repeats_in_a_tensor", "never"]


def never(args: Args, kwargs: Options) -> bool:
    """The shape follows from the shapes of the operands."""
    return False


def always(args: Args, kwargs: Options) -> bool:
    """The shape depends on the elements whatever the arguments are: nonzero."""
    return True


def by_mask(args: Args, kwargs: Options) -> bool:
    """A key holds a mask: x[mask] has as many rows as the mask has hits."""
    return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors_in(args[1]))


def by_repeats_in_a_tensor(args: Args, kwargs: Options) -> bool:
    """The numbers of repeats are elements of a tensor."""
    return any(isinstance(argument, Tensor) for argument in (*args[1:], kwargs.get("repeats")))


def by_classes_of_data(args: Args, kwargs: Options) -> bool:
    """The number of classes is left to the largest element: one_hot."""
    return bool((args[1] if len(args) > 1 else kwargs.get("num_classes", -1)) == -1)


def by_number_of_hits(args: Args, kwargs: Options) -> bool:
    """A condition stands alone: where(condition) gives the places of its hits."""
    return len(args) + len(kwargs) == 1
