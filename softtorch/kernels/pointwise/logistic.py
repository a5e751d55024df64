"""The passes of the logistic function, tanh and softplus. Their plain forms are with mode `smooth`."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from softtorch.kernels.pointwise.curves import Argument, Beyond, Curves, Passes, counts, line, near_slopes
from softtorch.kernels.pointwise.fused import Keeping, Outs

# aten's derivatives of sigmoid and tanh from their values, in one pass.
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input

_softplus = torch.ops.aten.softplus.out
_where_positive = torch.ops.aten.threshold_backward.grad_input

# The soft sign is exactly -1 or 1 from here on: tanh(40 / 2) rounds to 1 in float64.
SATURATION = 40.0

# softplus(u) rounds to u in float64 from here on; torch's default of 20 is 2e-9 off.
IDENTITY_FROM = 40.0


class LogisticCurves(Curves):
    """sigmoid, tanh, softplus."""

    short = True

    def step(self, out: Tensor, x: Tensor, k: float, factor: float = 1.0) -> Tensor:
        torch.mul(x, k, out=out).sigmoid_()
        return out if factor == 1.0 else out.mul_(factor)

    def sign(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        if x.dtype == torch.float64:
            return torch.mul(x, 0.5 * k, out=out).tanh_()
        # A third of the time of tanh; near 0 it is right to the rounding error at 1, not to that at 0.
        return line(out, torch.mul(x, k, out=out).sigmoid_(), 2.0, -1.0)

    def density(self, out: Tensor, x: Tensor, k: float, grad: Tensor, factor: float) -> Tensor:
        return _sigmoid_backward(grad, self.step(out, x, k), grad_input=out).mul_(factor)  # type: ignore[no-any-return]

    def absolute_slope(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        u = torch.mul(x, k)
        bounded = u.clamp(-SATURATION, SATURATION)  # or inf * 0 far out
        of_sign = _tanh_backward(bounded, self.sign(u, u, 1.0), grad_input=bounded)  # u (1 - sign^2)
        return torch.add(u, of_sign, alpha=0.5, out=out)

    def gated_slope(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        u = torch.mul(x, k)
        bounded = u.clamp(-SATURATION, SATURATION)
        return torch.add(u.sigmoid_(), _sigmoid_backward(bounded, u, grad_input=bounded), out=out)

    def ramp(self, out: Tensor, x: Tensor, s: float) -> Tensor:
        result: Tensor = _softplus(x, 1.0 / s, IDENTITY_FROM, out=out)
        return result

    def steps(self, inside: Tensor, s: float, offsets: Sequence[float]) -> Iterator[Tensor]:
        if max(map(abs, offsets), default=0.0) + 1.0 > 0.9 * s * math.log(torch.finfo(inside.dtype).max):
            yield from super().steps(inside, s, offsets)
            return
        # One exponential for all of them: e^-(inside + offset) / s is a multiple of e^-inside / s.
        power, step = torch.mul(inside, -math.log2(math.e) / s).exp2_(), torch.empty_like(inside)
        for offset in offsets:
            yield torch.mul(power, math.exp(-offset / s), out=step).add_(1.0).reciprocal_()

    def densities(self, inside: Tensor, s: float, offsets: Sequence[float], grad: Tensor) -> Iterator[Tensor]:
        for step in self.steps(inside, s, offsets):
            yield _sigmoid_backward(grad, step, grad_input=step)

    def keeping_sign(self, s: float) -> Keeping:
        def value(out: Tensor, kept: list[Tensor], x: Tensor) -> None:
            self.sign(out, x, 1.0 / s)

        def pull(outs: Outs, grad: Tensor, out: Tensor, kept: list[Tensor], x: Tensor) -> None:
            _tanh_backward(grad, out, grad_input=outs[0]).mul_(0.5 / s)

        return Keeping(0, value, pull)

    def keeping_absolute(self, s: float) -> Keeping:
        def value(out: Tensor, kept: list[Tensor], x: Tensor) -> None:
            self.sign(kept[0], x, 1.0 / s)
            torch.mul(kept[0], x, out=out)

        def pull(outs: Outs, grad: Tensor, out: Tensor, kept: list[Tensor], x: Tensor) -> None:
            bounded = torch.clamp(x, -SATURATION * s, SATURATION * s, out=outs[0])  # or inf * 0 far out
            of_sign = _tanh_backward(bounded, kept[0], grad_input=bounded)  # x (1 - sign^2)
            torch.add(kept[0], of_sign, alpha=0.5 / s, out=outs[0]).mul_(grad)

        return Keeping(1, value, pull)

    def keeping_step(self, argument: Argument, k: float) -> Keeping:
        def value(out: Tensor, kept: list[Tensor], x: Tensor, y: Tensor) -> None:
            self.step(out, argument(out, x, y), k)

        def pull(outs: Outs, grad: Tensor, out: Tensor, kept: list[Tensor], x: Tensor, y: Tensor) -> None:
            of_x = torch.empty_like(x) if outs[0] is None else outs[0]
            _sigmoid_backward(grad, out, grad_input=of_x).mul_(k)
            if outs[1] is not None:
                torch.neg(of_x, out=outs[1])

        return Keeping(0, value, pull)

    def keeping_near(self, beyond: Beyond, s: float, tolerance: float, relative: float, apart: bool) -> Keeping:
        direction = 1.0 if apart else -1.0

        def value(out: Tensor, kept: list[Tensor], x: Tensor, y: Tensor) -> None:
            self.near_value(out, beyond(out, kept, x, y), direction / s, counts(x, s, tolerance, relative))

        def pull(outs: Outs, grad: Tensor, out: Tensor, kept: list[Tensor], x: Tensor, y: Tensor) -> None:
            sign = out if apart else 1.0 - out  # of how far beyond
            of_distance = _tanh_backward(grad, sign, grad_input=torch.empty_like(x)).mul_(0.5 * direction / s)
            if counts(x, s, tolerance, relative):
                _where_positive(of_distance, sign, 0.0, grad_input=of_distance)
            slope = torch.clamp(kept[0], -SATURATION * s, SATURATION * s)
            slope = torch.add(kept[1], _tanh_backward(slope, kept[1], grad_input=slope), alpha=0.5 / s, out=slope)
            near_slopes(self, s, relative, outs, of_distance, slope, y)

        return Keeping(2, value, pull)

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

        def keep(out: Tensor, kept: list[Tensor], x: Tensor) -> None:
            torch.log1p(lifted(kept[0], x), out=out).mul_(s).add_(low)

        def pull_kept(outs: Outs, grad: Tensor, out: Tensor, kept: list[Tensor], x: Tensor) -> None:
            slope = torch.mul(kept[0], -1.0 / factor, out=outs[0]).add_(1.0).mul_(kept[0])
            slope.div_(kept[0] + 1.0).mul_(grad)

        def plain(x: Tensor) -> Tensor:
            return low + s * torch.log1p(factor * torch.sigmoid((x - high) / s))

        return value, pull, Keeping(1, keep, pull_kept), plain
