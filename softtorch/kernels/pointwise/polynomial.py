"""The passes of curves that are polynomials on [-5, 5] and constant or linear outside. Plain forms: modes c0 to c2.

Two places serve them. y = u / 10 + 1/2 cut to [0, 1] is 0 where the curve begins: the step is a power of y times a
polynomial in y, and so is its integral; they vanish there without cancellation. t = u / 5 cut to [-1, 1] is for what is
odd or even: t (1 - t^2)^k, which aten's derivative of tanh multiplies up in one pass for each k.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from softtorch.kernels.pointwise.curves import Beyond, Curves, counts, horner, line
from softtorch.kernels.pointwise.fused import Keeping, Outs

# The curves run from 0 to 1 on [-5, 5], which makes them about as wide as the logistic function.
HALF_WIDTH = 5.0

# grad (1 - t^2) in one pass.
_tanh_backward = torch.ops.aten.tanh_backward.grad_input

# aten's choice by an interval in one pass, and without a bool tensor.
_where_inside = torch.ops.aten.hardtanh_backward.grad_input


@dataclass(frozen=True)
class PowerTimes:
    """y^power times a polynomial in y, its coefficients from the constant on."""

    power: int
    coefficients: tuple[float, ...]

    def fill(self, out: Tensor, y: Tensor, factor: float = 1.0) -> Tensor:
        """out, which is not y, becomes factor times the value at y."""
        coefficients = [factor * coefficient for coefficient in self.coefficients]
        if len(coefficients) == 1:
            torch.mul(y, coefficients[0], out=out)
            return self._times(out, y, self.power - 1)
        return self._times(horner(out, y, coefficients), y, self.power)

    def _times(self, out: Tensor, y: Tensor, power: int) -> Tensor:
        if power >= 3:  # a pass of its own, and no slower than a product
            out.mul_(y.pow(3))
            power -= 3
        for _ in range(power):
            out.mul_(y)
        return out


@dataclass(frozen=True)
class PolynomialCurves(Curves):
    """The curves of one step."""

    rise: PowerTimes
    """the step, at y"""
    area: PowerTimes
    """its integral over u, at y"""
    peak: float
    """its derivative by u at 0; elsewhere that times (1 - t^2)^k, where k is how many odd terms there are"""
    odd: tuple[float, ...]
    """2 step - 1 is t plus these times t (1 - t^2)^k, k = 1, ..."""
    slope: tuple[float, ...]
    """likewise the derivative of t (2 step - 1); for c0 less t again on the inside"""

    def reach(self, dtype: torch.dtype) -> float:
        return HALF_WIDTH

    def step(self, out: Tensor, x: Tensor, k: float, factor: float = 1.0) -> Tensor:
        return self.rise.fill(out, _unit(x, k), factor)

    def sign(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        if not self.odd:
            return torch.mul(x, k / HALF_WIDTH, out=out).clamp_(-1.0, 1.0)
        return _odd(out, _place(x, k), self.odd)

    def density(self, out: Tensor, x: Tensor, k: float, grad: Tensor, factor: float) -> Tensor:
        if not self.odd:
            _where_rising(out, grad, torch.mul(x, k / HALF_WIDTH))
        else:
            t = _place(x, k)
            for _ in self.odd:
                _tanh_backward(grad, t, grad_input=out)
                grad = out
        return out.mul_(self.peak * factor)

    def absolute_slope(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        if not self.odd:  # 2 t inside, the sign of t outside
            t = torch.mul(x, k / HALF_WIDTH)
            return _where_rising(out, t, t).add_(t.clamp_(-1.0, 1.0))
        return _odd(out, _place(x, k), self.slope)

    def gated_slope(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        # u step(u) is half of u and of u sign(u).
        return line(out, self.absolute_slope(out, x, k), 0.5, 0.5)

    def ramp(self, out: Tensor, x: Tensor, s: float) -> Tensor:
        y = _unit(x, 1.0 / s)
        self.area.fill(out, y, s)
        return out.add_(torch.sub(x, HALF_WIDTH * s, out=y).relu_())

    def tail(self, out: Tensor, distance: Tensor, s: float) -> Tensor:
        return self.area.fill(out, line(distance, distance, -0.5 / (HALF_WIDTH * s), 0.5).relu_(), s)

    def keeping_near(self, beyond: Beyond, s: float, tolerance: float, relative: float, apart: bool) -> Keeping:
        direction = 1.0 if apart else -1.0

        def value(out: Tensor, kept: list[Tensor], x: Tensor, y: Tensor) -> None:
            self.near_value(
                out, beyond(kept[1], [kept[0], out], x, y), direction / s, counts(x, s, tolerance, relative)
            )

        def pull(outs: Outs, grad: Tensor, out: Tensor, kept: list[Tensor], x: Tensor, y: Tensor) -> None:
            tolerant = counts(x, s, tolerance, relative)
            self.near_pull(outs, grad, s, relative, direction, tolerant, kept[0], kept[1], y)

        return Keeping(2, value, pull)


def _unit(x: Tensor, k: float) -> Tensor:
    """y at u = k x, as a new tensor."""
    return line(torch.empty_like(x), x, 0.5 * k / HALF_WIDTH, 0.5).clamp_(0.0, 1.0)


def _place(x: Tensor, k: float) -> Tensor:
    """t at u = k x, as a new tensor."""
    return torch.mul(x, k / HALF_WIDTH).clamp_(-1.0, 1.0)


def _where_rising(out: Tensor, value: Tensor, t: Tensor) -> Tensor:
    """out becomes value where a linear step rises, -1 <= t < 1, else 0; out is not t."""
    below = -1.0 - torch.finfo(t.dtype).eps  # the bounds are themselves outside
    result: Tensor = _where_inside(value, t, below, 1.0, grad_input=out)
    return result


def _odd(out: Tensor, t: Tensor, factors: tuple[float, ...]) -> Tensor:
    """out becomes t plus factors times t (1 - t^2)^k, k = 1, ..."""
    term, whole = torch.empty_like(t), t
    for number, factor in enumerate(factors):
        _tanh_backward(term if number else t, t, grad_input=term)
        whole = torch.add(whole, term, alpha=factor, out=out)
    return whole


C0_CURVES = PolynomialCurves(PowerTimes(1, (1.0,)), PowerTimes(2, (5.0,)), 1 / 10, (), ())
C1_CURVES = PolynomialCurves(PowerTimes(2, (3.0, -2.0)), PowerTimes(3, (10.0, -5.0)), 3 / 20, (1 / 2,), (2.0,))
C2_CURVES = PolynomialCurves(
    PowerTimes(3, (10.0, -15.0, 6.0)), PowerTimes(4, (25.0, -30.0, 10.0)), 3 / 16, (1 / 2, 3 / 8), (1 / 2, 9 / 4)
)
