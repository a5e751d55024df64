"""Mode `c0`: linear steps, quadratic ramps, sparsemax (arXiv 1602.02068); continuous, with exact zeros."""

import torch
from torch import Tensor
from torch.nn.functional import threshold

from softtorch.kernels.pointwise.polynomial import C0_CURVES, HALF_WIDTH
from softtorch.modes.base import Piecewise


class C0(Piecewise):
    """Piecewise linear steps; Euclidean projection onto the simplex."""

    name = "c0"
    curves = C0_CURVES
    continuity = 0
    power = 1

    def step(self, t: Tensor) -> Tensor:
        return (t + 1.0) / 2.0

    def ramp(self, t: Tensor) -> Tensor:
        return (t + 1.0).square() / 4.0

    def inside(self, t: Tensor) -> Tensor:
        # At its ends the step has the derivatives of SoftTorch 0.1.1: 1/2 at the lower one, 0 at the upper one.
        return -threshold(-t.clamp(min=-1.0), -1.0, -1.0)

    def bump(self, t: Tensor) -> Tensor:
        return torch.full_like(t, 0.5)

    def density(self, u: Tensor) -> Tensor:
        # The whole part of the step is 0 where it rises; a comparison would make a bool tensor, which costs several
        # times more.
        whole = self.step((u / HALF_WIDTH).clamp(-2.0, 2.0)).floor()
        return (1.0 - whole.abs()) * (0.5 / HALF_WIDTH)
