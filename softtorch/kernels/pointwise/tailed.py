"""The passes of a normal step with a Cauchy tail. Their plain forms are with mode `tailed`.

The density is 9/10 exp(-pi u^2 / 16) / 4 and 1/10 of 1 / (16 (1 + (pi u / 16)^2)): a normal one that is as high at 0 as
the logistic function's, and a Cauchy one four times as wide. Both integrals have closed forms.
"""

import functools
import math

import torch
from torch import Tensor

from softtorch.kernels.pointwise.curves import Curves, Plain, line, number
from softtorch.kernels.pointwise.fused import Fused, Outs

SHARE = 0.1
"""The part of the tail in the step."""
WIDTH = math.sqrt(math.pi) / 4.0
"""The normal density is as exp(-(WIDTH u)^2); its peak is then 1/4."""
TAIL = math.pi / 16.0
"""The Cauchy density is as 1 / (1 + (TAIL u)^2): its peak is 1/4 of the normal one's."""
FAR = 1e12
"""Where squares of u are finite, and from where on ramps are torch's own: the step is 0 or 1 to twelve digits."""


def below(u: Tensor) -> Tensor:
    """The step, any shape; each part keeps its digits far to the left, where 1 less something near 1 has none."""
    tail = torch.atan2(u.new_ones(()), -TAIL * u)  # from 0 to pi
    return torch.add(0.5 * (1.0 - SHARE) * torch.erfc(-WIDTH * u), tail, alpha=SHARE / math.pi)


def odd(u: Tensor) -> Tensor:
    """2 step - 1, any shape, with the digits that it has near 0."""
    return torch.add((1.0 - SHARE) * torch.erf(WIDTH * u), torch.atan(TAIL * u), alpha=SHARE * 2.0 / math.pi)


def bump(u: Tensor) -> Tensor:
    """The derivative of the step, any shape."""
    normal = torch.exp(-(WIDTH * u).square())
    tail = 1.0 / (1.0 + (TAIL * u).square())
    return (1.0 - SHARE) / 4.0 * normal + SHARE / 16.0 * tail


def area(u: Tensor) -> Tensor:
    """An integral of the step, any shape, -FAR <= u <= FAR: area(u) - area(-u) = u.

    A Cauchy step has no integral from minus infinity on; this one falls below 0 to the left, as a logarithm does.
    """
    normal = u * (0.5 * torch.erfc(-WIDTH * u)) + (2.0 / math.pi) * torch.exp(-(WIDTH * u).square())
    angle = torch.atan2(torch.ones_like(u), -TAIL * u) / math.pi
    tail = u * angle - (8.0 / math.pi**2) * torch.log1p((TAIL * u).square())
    return (1.0 - SHARE) * normal + SHARE * tail


class TailedCurves(Curves):
    """Error functions and arcus tangens, each formula filled in: autograd would record ten operators of one."""

    def step(self, out: Tensor, x: Tensor, k: float, factor: float = 1.0) -> Tensor:
        tail = torch.mul(x, -TAIL * k)
        torch.atan2(number(1.0, x.dtype), tail, out=tail)
        torch.mul(x, -WIDTH * k, out=out).erfc_().mul_(0.5 * (1.0 - SHARE) * factor)
        return out.add_(tail, alpha=SHARE / math.pi * factor)

    def sign(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        torch.mul(x, k, out=out)
        tail = torch.mul(out, TAIL).atan_()
        return out.mul_(WIDTH).erf_().mul_(1.0 - SHARE).add_(tail, alpha=SHARE * 2.0 / math.pi)

    def density(self, out: Tensor, x: Tensor, k: float, grad: Tensor, factor: float) -> Tensor:
        square = torch.mul(x, k).square_()
        tail = line(torch.empty_like(square), square, TAIL**2, 1.0).reciprocal_()
        torch.mul(square, -(WIDTH**2), out=out).exp_().mul_((1.0 - SHARE) / 4.0 * factor)
        return out.add_(tail, alpha=SHARE / 16.0 * factor).mul_(grad)

    def absolute_slope(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        u = torch.mul(x, k).clamp_(-FAR, FAR)  # or inf * 0 far out
        slope = bump(u).mul_(u)
        return self.sign(out, u, 1.0).add_(slope, alpha=2.0)

    def gated_slope(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        u = torch.mul(x, k).clamp_(-FAR, FAR)
        slope = bump(u).mul_(u)
        return self.step(out, u, 1.0).add_(slope)

    def ramp(self, out: Tensor, x: Tensor, s: float) -> Tensor:
        u = torch.mul(x, 1.0 / s)
        far = u.abs() > FAR
        near = area(u.masked_fill_(far, 0.0)).mul_(s)
        return torch.where(far, x.relu(), near, out=out)

    def reach(self, dtype: torch.dtype) -> float:
        return math.inf  # a Cauchy tail is nowhere negligible

    def window(self, s: float, half: float, apart: bool, plain: Plain) -> Fused:
        """The two arcus tangens are one: atan(a) - atan(b) = atan2(a - b, 1 + a b), with its digits far out."""
        k, w = 1.0 / s, half / s
        rise, fixed = 2.0 * TAIL * w, 1.0 - (TAIL * w) ** 2

        def value(out: Tensor, x: Tensor) -> None:
            _between(out, x, k, w).div_(_top(w, x.dtype, x.device))
            if apart:
                line(out, out, -1.0, 1.0)

        def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
            factor = k if apart else -k
            u = torch.mul(x, k).clamp_(-FAR, FAR)
            low = torch.sub(u, w, out=outs[0]).square_().mul_(-(WIDTH**2)).exp_()
            high = torch.add(u, w).square_().mul_(-(WIDTH**2)).exp_()
            low.sub_(high).mul_(0.25 * (1.0 - SHARE) * factor)
            ratio = torch.square(u, out=high).mul_(TAIL**2).add_(fixed).square_().add_(rise**2).reciprocal_().mul_(u)
            low.add_(ratio, alpha=2.0 * SHARE / math.pi * TAIL**2 * rise * factor)
            low.div_(_top(w, x.dtype, x.device)).mul_(grad)

        return Fused(value, pull, plain, finite=True)


def _between(out: Tensor, x: Tensor, k: float, w: float) -> Tensor:
    """out, not x, becomes the step at k x + w less that at k x - w, any shape."""
    angle = torch.mul(x, TAIL * k).square_().add_(1.0 - (TAIL * w) ** 2)
    torch.atan2(number(2.0 * TAIL * w, x.dtype), angle, out=angle)
    outer = line(torch.empty_like(x), torch.abs(x, out=out), WIDTH * k, WIDTH * w).erfc_()
    line(out, out, WIDTH * k, -WIDTH * w).erfc_().sub_(outer).mul_(0.5 * (1.0 - SHARE))
    return out.add_(angle, alpha=SHARE / math.pi)


@functools.lru_cache(maxsize=4096)
def _top(w: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`_between` at 0, 0-dim, by the same passes: what is equal is so with probability 1, to the last digit."""
    with torch.inference_mode(False), torch.no_grad():
        zero = torch.zeros((), dtype=dtype, device=device)
        return _between(torch.empty_like(zero), zero, 1.0, w)
