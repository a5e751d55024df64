"""Mode `smooth`: the logistic function, softplus and softmax; infinitely differentiable, never exactly 0 or
1.
"""

import math

import torch
from torch import Tensor

from softtorch.modes.base import Mode


class Smooth(Mode):
    """Logistic curves and softmax."""

    name = "smooth"
    continuity = math.inf

    def sigmoidal(self, u: Tensor) -> Tensor:
        return torch.sigmoid(u)

    def softrelu(self, u: Tensor) -> Tensor:
        # torch's softplus becomes the identity above 20, which is 2e-9 off in float64; this form is exact.
        return -torch.nn.functional.logsigmoid(-u)

    def project(self, z: Tensor) -> Tensor:
        return torch.softmax(z, dim=-1)

    def log_project(self, z: Tensor) -> Tensor:
        return torch.log_softmax(z, dim=-1)
