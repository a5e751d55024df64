"""Mode `smooth`: the logistic function, softplus and softmax; infinitely differentiable, never exactly 0 or 1."""

import math

import torch
from torch import Tensor
from torch.nn.functional import hardtanh, softplus

from softtorch.kernels.pointwise.logistic import IDENTITY_FROM, LogisticCurves
from softtorch.modes.base import SATURATION, Mode


class Smooth(Mode):
    """Logistic curves and softmax."""

    name = "smooth"
    continuity = math.inf
    curves = LogisticCurves()

    def sigmoidal(self, u: Tensor) -> Tensor:
        return torch.sigmoid(u)

    def density(self, u: Tensor) -> Tensor:
        step = torch.sigmoid(u)
        return step * (1.0 - step)

    def sign(self, u: Tensor) -> Tensor:
        return torch.tanh(u / 2.0)  # 2 sigmoid - 1 would cancel near 0

    def softrelu(self, u: Tensor) -> Tensor:
        return softplus(u, threshold=IDENTITY_FROM)

    def step_of(self, x: Tensor, softness: Tensor | float) -> Tensor:
        return torch.sigmoid(x / softness)  # torch's own keeps its value for backward, which ours would make again

    def ramp_of(self, x: Tensor, softness: Tensor | float) -> Tensor:
        if isinstance(softness, Tensor):
            return softness * self.softrelu(x / softness)
        return self.plain_ramp(x, softness)  # one pass either way, which no passes of ours undercut

    def plain_sign(self, x: Tensor, s: float) -> Tensor:
        return torch.tanh(x / (2.0 * s))

    def plain_absolute(self, x: Tensor, s: float) -> Tensor:
        return x * torch.tanh(hardtanh(x / (2.0 * s), -SATURATION / 2.0, SATURATION / 2.0))

    def plain_ramp(self, x: Tensor, s: float) -> Tensor:
        return softplus(x, 1.0 / s, IDENTITY_FROM)

    def project(self, z: Tensor) -> Tensor:
        return torch.softmax(z, dim=-1)

    def log_project(self, z: Tensor) -> Tensor:
        return torch.log_softmax(z, dim=-1)


SMOOTH = Smooth()
