"""Noise for random choices, drawn in float32: never the u = 0 or 1 at which a logarithm of u is infinite."""

import torch
from torch import Tensor


def gumbel_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Independent standard Gumbel noise of the shape and dtype of x: (...) -> (...)."""
    exponential = torch.empty_like(x, dtype=torch.float32).exponential_(generator=generator)
    # An exponential draw may round to 0, whose logarithm is infinite.
    return -exponential.clamp(min=torch.finfo(torch.float32).tiny).log().to(x.dtype)


def logistic_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Independent standard logistic noise of the shape and dtype of x, a difference of Gumbels: (...) -> (...)."""
    return gumbel_like(x, generator) - gumbel_like(x, generator)
