"""Mode `hard`: steps instead of curves. Operators bring torch's own function here through `Mode.select`."""

from typing import TypeVar

import torch
from torch import Tensor

from softtorch.modes.base import Mode

T = TypeVar("T")


class Hard(Mode):
    """The limit softness -> 0 of the other modes; derivatives are torch's own, 0 almost everywhere for steps."""

    name = "hard"
    continuity = -1

    def sigmoidal(self, u: Tensor) -> Tensor:
        return torch.heaviside(u, u.new_full((), 0.5))

    def density(self, u: Tensor) -> Tensor:
        return torch.zeros_like(u)

    def softrelu(self, u: Tensor) -> Tensor:
        return u.relu()

    def project(self, z: Tensor) -> Tensor:
        places = torch.arange(z.shape[-1], device=z.device)
        return (places == z.argmax(dim=-1, keepdim=True)).to(z.dtype)

    def select(self, hard: T, soft: T) -> T:
        return hard
