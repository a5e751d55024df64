"""The passes of curves that are polynomials on [-5, 5] and constant or linear outside. Plain forms: modes c0 to c2.

With a = u / 5 + 1 cut to [0, 2], which is 0 where the curve begins, the step is a power of a times a polynomial in a,
and so are its derivative and its integral: they vanish there without cancellation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from softtorch.kernels.curves import Curves

# The curves run from 0 to 1 on [-5, 5], which makes them about as wide as the logistic function.
HALF_WIDTH = 5.0

# aten's derivative of hardtanh: a choice by an interval in one pass, and without a bool tensor.
_where_inside = torch.ops.aten.hardtanh_backward.grad_input


@dataclass(frozen=True)
class PowerTimes:
    """a^power times a polynomial in a, its coefficients from the constant on."""

    power: int
    coefficients: tuple[float, ...]

    def fill(self, out: Tensor, a: Tensor) -> Tensor:
        """out, which is not a, becomes the value at a."""
        *lower, top = self.coefficients
        torch.mul(a, top, out=out)
        for place, coefficient in enumerate(reversed(lower)):
            out = (out if place == 0 else out.mul_(a)).add_(coefficient)
        for _ in range(self.power if lower else self.power - 1):
            out.mul_(a)
        return out


@dataclass(frozen=True)
class PolynomialCurves(Curves):
    """The curves of one step."""

    rise: PowerTimes
    """the step"""
    bump: PowerTimes | None
    """its derivative by t = u / 5; None for the constant 1/2, which ends in jumps"""
    area: PowerTimes
    """its integral over t"""
    slope: tuple[float, ...]
    """the derivative of t sign(t): t times these coefficients of t^2, from the constant on; for c0 less the jumps"""

    def reach(self, dtype: torch.dtype) -> float:
        return HALF_WIDTH

    def step(self, u: Tensor) -> Tensor:
        return self.rise.fill(u, _place(u))

    def sign(self, u: Tensor) -> Tensor:
        return self.step(u).mul_(2.0).sub_(1.0)

    def density(self, u: Tensor, grad: Tensor) -> Tensor:
        if self.bump is None:
            _where_rising(grad, u, out=u)
            return u.mul_(0.5 / HALF_WIDTH)
        a = _place(u)
        return self.bump.fill(u, a).mul_(grad).mul_(1.0 / HALF_WIDTH)

    def absolute_slope(self, u: Tensor) -> Tensor:
        t = _place(u).sub_(1.0)
        if self.bump is None:  # 2 t inside, the sign of t outside
            return _where_rising(t, u, out=u).add_(t)
        return PowerTimes(0, self.slope).fill(u, t * t).mul_(t)

    def gated_slope(self, u: Tensor) -> Tensor:
        a = _place(u)
        if self.bump is None:  # the step and u times the density, which is t / 2 inside
            t = a - 1.0
            return _where_rising(t, u, out=u).mul_(0.5).add_(a, alpha=0.5)
        self.bump.fill(u, a).mul_(a - 1.0)
        return u.add_(self.rise.fill(torch.empty_like(a), a))

    def ramp(self, out: Tensor, x: Tensor, s: float) -> Tensor:
        a = _place(x, s)
        self.area.fill(out, a).mul_(HALF_WIDTH * s)
        return out.add_(torch.sub(x, HALF_WIDTH * s, out=a).relu_())


def _place(x: Tensor, s: float = 1.0) -> Tensor:
    """a, as a new tensor."""
    return torch.mul(x, 1.0 / (HALF_WIDTH * s)).add_(1.0).clamp_(0.0, 2.0)


def _where_rising(value: Tensor, u: Tensor, out: Tensor) -> Tensor:
    """out becomes value where a linear step rises, else 0; the lower end belongs to that, the upper one does not."""
    a = torch.mul(u, 1.0 / HALF_WIDTH).add_(1.0)
    result: Tensor = _where_inside(value, a, -1e-30, 2.0, grad_input=out)  # its bounds are themselves outside
    return result


C0_CURVES = PolynomialCurves(PowerTimes(1, (1 / 2,)), None, PowerTimes(2, (1 / 4,)), ())
C1_CURVES = PolynomialCurves(
    PowerTimes(2, (3 / 4, -1 / 4)), PowerTimes(1, (3 / 2, -3 / 4)), PowerTimes(3, (1 / 4, -1 / 16)), (3.0, -2.0)
)
C2_CURVES = PolynomialCurves(
    PowerTimes(3, (20 / 16, -15 / 16, 3 / 16)),
    PowerTimes(2, (60 / 16, -60 / 16, 15 / 16)),
    PowerTimes(4, (10 / 32, -6 / 32, 1 / 32)),
    (30 / 8, -40 / 8, 18 / 8),
)
