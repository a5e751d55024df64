"""Mode `c0`: linear steps, quadratic ramps, sparsemax (arXiv 1602.02068); continuous, with exact zeros."""

from torch import Tensor

from softtorch.kernels.polynomial import C0_CURVES
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

    def bump(self, t: Tensor) -> Tensor:
        # 1/2 inside, 0 from the ends on; a comparison would make a bool tensor, which costs several times
        # more.
        return (1.0 - t.abs()).sign() / 2.0
