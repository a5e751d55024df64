"""Every private torch interface softtorch uses, with the reason; nothing else in the package reaches for one.

- torch._C._functorch.is_functorch_wrapped_tensor: whether a tensor stands for many (vmap) or carries a tangent (jvp),
  so that its numbers may not be read. torch.func has no question for it.
"""

import torch
from torch import Tensor

__all__ = ["is_wrapped"]


def is_wrapped(x: Tensor) -> bool:
    """Whether x, of any shape, belongs to a running torch.func transform."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(x))
