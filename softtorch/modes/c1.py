"""Mode `c1`: cubic steps and the p = 3/2 projection; one continuous derivative, with exact zeros."""

from torch import Tensor

from softtorch.kernels.pointwise.polynomial import C1_CURVES
from softtorch.modes.base import Piecewise


class C1(Piecewise):
    """Polynomials in factored form, so that they vanish at t = -1 without cancellation."""

    name = "c1"
    curves = C1_CURVES
    continuity = 1
    power = 2

    def step(self, t: Tensor) -> Tensor:
        return (t + 1.0).square() * (2.0 - t) / 4.0

    def ramp(self, t: Tensor) -> Tensor:
        return (t + 1.0).pow(3) * (3.0 - t) / 16.0

    def bump(self, t: Tensor) -> Tensor:
        return (1.0 - t.square()) * 0.75
