"""Random choices in rewritten code: noise for draws, and the distribution from which a draw was taken.

The functions appear by name in rewritten code, as those of `distributions` do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softtorch.operators.sampling import gumbel_like, logistic_like

__all__ = ["drawn_from", "with_gumbel_noise", "with_logistic_noise"]


def with_gumbel_noise(x: Tensor) -> Tensor:
    """x plus standard Gumbel noise, the largest of which is a draw with probabilities softmax(x).  # (...) -> (...)"""
    return x + gumbel_like(x.detach())


def with_logistic_noise(x: Tensor) -> Tensor:
    """x plus standard logistic noise, which is above 0 with probability sigmoid(x).  # (...) -> (...)"""
    return x + logistic_like(x.detach())


def drawn_from(weights: Tensor, drawn: Tensor, replacement: bool = False) -> Tensor:
    """The distribution of each draw given those before it: (..., n), (..., k) -> (..., k, [n]).

    >>> drawn_from(torch.tensor([1.0, 1.0, 2.0]), torch.tensor([2, 0]))
    tensor([[0.2500, 0.2500, 0.5000],
            [0.5000, 0.5000, 0.0000]])
    """
    left = weights.unsqueeze(-2).expand(*drawn.shape, weights.shape[-1])
    if not replacement:
        chosen = torch.nn.functional.one_hot(drawn, weights.shape[-1])
        left = left.masked_fill((chosen.cumsum(-2) - chosen) > 0, 0.0)
    return left / left.sum(-1, keepdim=True)
