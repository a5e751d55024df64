"""Functions to be differentiated in place of a one-hot draw (ReinMax) and of a nearest code (the rotation trick)."""

import torch
from torch import Tensor

from softtorch.kernels.numeric.precision import log_probability

# Below this length a vector has no direction to rotate from or to.
_SHORT = 1e-6


def second_order(drawn: Tensor, probabilities: Tensor, tempered: Tensor | None = None) -> Tensor:
    """A tensor whose derivative is 2 M((tempered + drawn) / 2) - M(probabilities) / 2, with M(p) = diag(p) - p p^T.

    The derivative is for the logarithms of the probabilities, and so for whatever scores these are the softmax of.

    Args:
        drawn: one-hot, a constant. Shape (..., [n]).
        probabilities: the softmax of the scores. Shape (..., [n]).
        tempered: that at another temperature, a constant; `probabilities` by default. Shape (..., [n]).
    """
    middle = ((probabilities if tempered is None else tempered).detach() + drawn) / 2.0
    positive = probabilities > 0
    logarithms = torch.where(positive, torch.where(positive, probabilities, 1.0).log(), 0.0)  # (..., [n])
    scores = log_probability(middle) + (logarithms - logarithms.detach())
    return 2.0 * torch.softmax(scores, dim=-1) - probabilities / 2.0


def rotated(x: Tensor, target: Tensor) -> Tensor:
    """x turned and scaled onto `target` by a fixed map, x itself where one of them is near 0 or they are opposite.

    Args:
        x: vectors, differentiated. Shape (..., d).
        target: vectors, constant. Shape (..., d).
    """
    source, target = x.detach(), target.detach()
    from_length, to_length = (v.norm(dim=-1, keepdim=True) for v in (source, target))  # (..., 1)
    safe_from, safe_to = from_length.clamp(min=_SHORT), to_length.clamp(min=_SHORT)
    before, after = source / safe_from, target / safe_to
    half = before + after
    half_length = half.norm(dim=-1, keepdim=True)
    half = half / half_length.clamp(min=_SHORT)
    turned = x - 2.0 * half * (half * x).sum(-1, keepdim=True) + 2.0 * after * (before * x).sum(-1, keepdim=True)
    regular = (from_length > _SHORT) & (half_length > _SHORT)
    return torch.where(regular, to_length / safe_from * turned, x)
