"""Mode `c2`: quintic steps and the p = 4/3 projection; two continuous derivatives, with exact zeros."""

from torch import Tensor

from softtorch.kernels.pointwise.polynomial import C2_CURVES
from softtorch.modes.base import Piecewise


class C2(Piecewise):
    """Polynomials in factored form, so that they vanish at t = -1 without cancellation."""

    name = "c2"
    curves = C2_CURVES
    continuity = 2
    power = 3

    def step(self, t: Tensor) -> Tensor:
        return (t + 1.0).pow(3) * ((3.0 * t - 9.0) * t + 8.0) / 16.0

    def ramp(self, t: Tensor) -> Tensor:
        return (t + 1.0).pow(4) * ((t - 4.0) * t + 5.0) / 32.0

    def bump(self, t: Tensor) -> Tensor:
        return (1.0 - t.square()).square() * 0.9375
