"""The passes of the logistic function, tanh and softplus. Their plain forms are with mode `smooth`."""

import math

import torch
from torch import Tensor

from softtorch.kernels.curves import Curves, Passes
from softtorch.kernels.fused import Outs

# aten's derivatives of sigmoid and tanh from their values, in one pass.
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input

# The soft sign is exactly -1 or 1 from here on: tanh(40 / 2) rounds to 1 in float64.
SATURATION = 40.0


class LogisticCurves(Curves):
    """sigmoid, tanh, softplus."""

    def step(self, u: Tensor) -> Tensor:
        return u.sigmoid_()

    def sign(self, u: Tensor) -> Tensor:
        if u.dtype == torch.float64:
            return u.mul_(0.5).tanh_()
        # A third of the time of tanh; near 0 it is right to the rounding error at 1, not to that at 0.
        return u.sigmoid_().mul_(2.0).sub_(1.0)

    def density(self, u: Tensor, grad: Tensor) -> Tensor:
        result: Tensor = _sigmoid_backward(grad, u.sigmoid_(), grad_input=u)
        return result

    def absolute_slope(self, u: Tensor) -> Tensor:
        bounded = u.clamp(-SATURATION, SATURATION)  # or inf * 0 far out
        of_sign = _tanh_backward(bounded, self.sign(u), grad_input=bounded)  # u (1 - sign^2)
        return u.add_(of_sign, alpha=0.5)

    def gated_slope(self, u: Tensor) -> Tensor:
        bounded = u.clamp(-SATURATION, SATURATION)
        return u.sigmoid_().add_(_sigmoid_backward(bounded, u, grad_input=bounded))

    def ramp(self, out: Tensor, x: Tensor, s: float) -> Tensor:
        # relu(x) + s log1p(e^-|x / s|), with the exponential to base 2, which is twice as fast.
        torch.abs(x, out=out).mul_(-math.log2(math.e) / s).exp2_().log1p_().mul_(s)
        return out.add_(x.relu())

    def reach(self, dtype: torch.dtype) -> float:
        return 6.0 - math.log(torch.finfo(dtype).eps)  # e^-reach is 1/400 of the rounding error at 1

    def between(self, low: float, high: float, s: float, dtype: torch.dtype) -> Passes | None:
        """low + s log1p(factor sigmoid((x - high) / s)) with factor = e^((high - low) / s) - 1.

        One exponential and one logarithm, as long as the factor is a finite number with room for a product.
        """
        width = (high - low) / s
        if not 0.0 < width < 0.9 * math.log(torch.finfo(dtype).max):
            return super().between(low, high, s, dtype)
        factor = math.expm1(width)

        def lifted(out: Tensor, x: Tensor) -> Tensor:
            return torch.sub(x, high, out=out).mul_(1.0 / s).sigmoid_().mul_(factor)

        def value(out: Tensor, x: Tensor) -> None:
            lifted(out, x).log1p_().mul_(s).add_(low)

        def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
            inner = lifted(torch.empty_like(x), x)  # v, the slope is v (1 - v / factor) / (1 + v)
            slope = torch.mul(inner, -1.0 / factor, out=outs[0]).add_(1.0).mul_(inner)
            slope.div_(inner.add_(1.0)).mul_(grad)

        return value, pull
