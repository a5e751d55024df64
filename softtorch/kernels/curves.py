"""What the curves of a mode are to elementwise operators: a step, its derivative and its integral, as passes.

`Curves` names the passes; logistic.py and polynomial.py make them. The functions here put them together to the
fused forms of the operators, each with the plain form that the mode gives. To add a curve: a subclass of Curves.
To add an operator: its passes in terms of these.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from softtorch.kernels import host
from softtorch.kernels.fused import Fused, Keeping, Outs

Argument = Callable[[Tensor, Tensor, Tensor], Tensor]
Beyond = Callable[[Tensor, list[Tensor], Tensor, Tensor], Tensor]
Plain = Callable[..., Tensor]
Passes = tuple[Callable[..., None], Callable[..., None], Keeping | None]

# aten's fused derivatives, which select without a bool tensor: those cost several passes each.
_where_positive = torch.ops.aten.threshold_backward.grad_input


class Curves(ABC):
    """The passes of one curve. u is x / s on one axis; it is changed in place and returned."""

    @abstractmethod
    def step(self, u: Tensor) -> Tensor:
        """u becomes sigmoidal(u)."""

    @abstractmethod
    def sign(self, u: Tensor) -> Tensor:
        """u becomes 2 sigmoidal(u) - 1."""

    @abstractmethod
    def density(self, u: Tensor, grad: Tensor) -> Tensor:
        """u becomes grad times the derivative of sigmoidal."""

    @abstractmethod
    def absolute_slope(self, u: Tensor) -> Tensor:
        """u becomes the derivative of u sign(u)."""

    @abstractmethod
    def gated_slope(self, u: Tensor) -> Tensor:
        """u becomes the derivative of u sigmoidal(u)."""

    @abstractmethod
    def ramp(self, out: Tensor, x: Tensor, s: float) -> Tensor:
        """out, which is not x, becomes s times the integral of sigmoidal up to x / s."""

    @abstractmethod
    def reach(self, dtype: torch.dtype) -> float:
        """Where on sigmoidal is 0 and 1 to the precision of dtype."""

    def steps(self, inside: Tensor, s: float, offsets: Sequence[float]) -> Iterator[Tensor]:
        """sigmoidal((inside + offset) / s) at every offset, in a tensor that is used again; inside is in [0, 1]."""
        u = torch.empty_like(inside)
        for offset in offsets:
            yield self.step(torch.add(inside, offset, out=u).mul_(1.0 / s))

    def densities(self, inside: Tensor, s: float, offsets: Sequence[float], grad: Tensor) -> Iterator[Tensor]:
        """grad times the derivative of sigmoidal there, likewise."""
        u = torch.empty_like(inside)
        for offset in offsets:
            yield self.density(torch.add(inside, offset, out=u).mul_(1.0 / s), grad)

    def keeping_sign(self, s: float) -> Keeping | None:
        """Passes of the sign that keep something, if that is cheaper; so the next three."""
        return None

    def keeping_absolute(self, s: float) -> Keeping | None:
        return None

    def keeping_ramp(self, s: float) -> Keeping | None:
        return None

    def keeping_step(self, argument: Argument, slope: float) -> Keeping | None:
        """Of the step of argument(out, x, y), which fills out and has the derivatives slope and -slope."""
        return None

    def keeping_near(self, beyond: Beyond, s: float, relative: float, apart: bool) -> Keeping | None:
        """Of `near`, where beyond(out, scratch, x, y) fills out with how far beyond the tolerance the distance is, over
        s and with the sign of `apart`; scratch with the difference and with its sign."""
        return None

    def between(self, low: float, high: float, s: float, dtype: torch.dtype) -> Passes | None:
        """The passes of low + ramp(x - low) - ramp(x - high), where there are precise ones for these bounds."""
        half = (high - low) / 2.0
        # Bounds out of each other's reach, and not so large that their middle blurs the distance to them.
        apart = half >= self.reach(dtype) * s and abs(low) + abs(high) <= 1000.0 * s
        return corners(self, low, high, s) if apart else None


def step(curves: Curves, s: float, plain: Plain) -> Fused:
    """sigmoidal(x / s)."""

    def value(out: Tensor, x: Tensor) -> None:
        curves.step(torch.mul(x, 1.0 / s, out=out))

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.density(torch.mul(x, 1.0 / s, out=outs[0]), grad).mul_(1.0 / s)

    return Fused(value, pull, plain)


def sign(curves: Curves, s: float, plain: Plain) -> Fused:
    """2 sigmoidal(x / s) - 1."""

    def value(out: Tensor, x: Tensor) -> None:
        curves.sign(torch.mul(x, 1.0 / s, out=out))

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.density(torch.mul(x, 1.0 / s, out=outs[0]), grad).mul_(2.0 / s)

    return Fused(value, pull, plain, curves.keeping_sign(s))


def absolute(curves: Curves, s: float, plain: Plain) -> Fused:
    """x times the sign."""

    def value(out: Tensor, x: Tensor) -> None:
        curves.sign(torch.mul(x, 1.0 / s, out=out)).mul_(x)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.absolute_slope(torch.mul(x, 1.0 / s, out=outs[0])).mul_(grad)

    return Fused(value, pull, plain, curves.keeping_absolute(s))


def ramp(curves: Curves, s: float, plain: Plain) -> Fused:
    """s times the integral of sigmoidal up to x / s."""

    def value(out: Tensor, x: Tensor) -> None:
        curves.ramp(out, x, s)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.step(torch.mul(x, 1.0 / s, out=outs[0])).mul_(grad)

    return Fused(value, pull, plain, curves.keeping_ramp(s))


def gated_ramp(curves: Curves, s: float, plain: Plain) -> Fused:
    """x sigmoidal(x / s)."""

    def value(out: Tensor, x: Tensor) -> None:
        largest = torch.finfo(x.dtype).max
        finite = x.clamp(-largest, largest)  # inf * 0 would be NaN; what this takes away at inf is put back
        curves.step(torch.mul(x, 1.0 / s, out=out)).mul_(finite)
        out.add_(torch.sub(x, finite, out=finite).relu_())

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.gated_slope(torch.mul(x, 1.0 / s, out=outs[0])).mul_(grad)

    return Fused(value, pull, plain)


def between(curves: Curves, low: float, high: float, s: float, dtype: torch.dtype, plain: Plain) -> Fused | None:
    """low + ramp(x - low) - ramp(x - high), or None where no passes are precise."""
    passes = curves.between(low, high, s, dtype)
    return Fused(passes[0], passes[1], plain, passes[2]) if passes else None


def corners(curves: Curves, low: float, high: float, s: float) -> Passes:
    """low + ramp(x - low) - ramp(x - high) as clamp(x), less the ramp of minus the distance at the nearer bound."""
    middle, half = (low + high) / 2.0, (high - low) / 2.0

    def value(out: Tensor, x: Tensor) -> None:
        side = x - middle
        distance = torch.abs(side, out=out).sub_(half).abs_().neg_()
        side.sign_().mul_(curves.ramp(torch.empty_like(x), distance, s))
        torch.clamp(x, low, high, out=out).sub_(side)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        inside = torch.sub(x, middle, out=outs[0]).abs_().neg_().add_(half)
        curves.step(inside.mul_(1.0 / s)).mul_(grad)

    return value, pull, None


def larger(curves: Curves, s: float, plain: Plain) -> Fused:
    """y + ramp(x - y)."""

    def apart(out: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.sub(x, y, out=out).nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf)

    def value(out: Tensor, x: Tensor, y: Tensor) -> None:
        rest = curves.ramp(torch.empty_like(out), apart(out, x, y).abs_().neg_(), s)
        torch.maximum(x, y, out=out).add_(rest)

    def pull(outs: Outs, grad: Tensor, x: Tensor, y: Tensor) -> None:
        of_x = torch.empty_like(x) if outs[0] is None else outs[0]
        curves.step(apart(of_x, x, y).mul_(1.0 / s)).mul_(grad)
        if outs[1] is not None:
            torch.sub(grad, of_x, out=outs[1])

    return Fused(value, pull, plain)


def compared(curves: Curves, s: float, direction: float, offset: float, plain: Plain) -> Fused:
    """sigmoidal(direction (x - y + offset) / s), direction 1 or -1."""

    def scaled(out: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return difference(out, x, y).add_(offset).mul_(direction / s)

    def value(out: Tensor, x: Tensor, y: Tensor) -> None:
        curves.step(scaled(out, x, y))

    def pull(outs: Outs, grad: Tensor, x: Tensor, y: Tensor) -> None:
        slope = torch.empty_like(x) if outs[0] is None else outs[0]
        curves.density(scaled(slope, x, y), grad).mul_(direction / s)
        if outs[1] is not None:
            torch.neg(slope, out=outs[1])

    return Fused(value, pull, plain, curves.keeping_step(scaled, direction / s))


def near(curves: Curves, s: float, tolerance: float, relative: float, apart: bool, plain: Plain) -> Fused:
    """2 sigmoidal((tolerance + relative abs(y) - abs(x - y)) / s), at most 1; 1 minus that where `apart` is meant."""
    direction = 1.0 if apart else -1.0

    def beyond(out: Tensor, scratch: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
        apart, sign = difference(scratch[0], x, y), scratch[1]
        torch.mul(curves.sign(torch.mul(apart, 1.0 / s, out=sign)), apart, out=out)
        if relative:
            out.sub_(curves.sign(y / s).mul_(y), alpha=relative)
        return out.sub_(tolerance).mul_(direction / s)

    def value(out: Tensor, x: Tensor, y: Tensor) -> None:
        finished(beyond(out, [torch.empty_like(x), torch.empty_like(x)], x, y))

    def finished(u: Tensor) -> None:
        if apart:
            curves.sign(u).clamp_(min=0.0)
        else:
            curves.step(u).mul_(2.0).clamp_(max=1.0)

    def pull(outs: Outs, grad: Tensor, x: Tensor, y: Tensor) -> None:
        scratch = [torch.empty_like(x), torch.empty_like(x)]
        of_distance = beyond(torch.empty_like(x), scratch, x, y)
        positive = torch.mul(of_distance, direction, out=scratch[1])  # where the bound is not met
        curves.density(of_distance, grad).mul_(2.0 * direction / s)
        _where_positive(of_distance, positive, 0.0, grad_input=of_distance)
        slope = curves.absolute_slope(scratch[0].mul_(1.0 / s))
        near_slopes(curves, s, relative, outs, of_distance, slope, y)

    return Fused(value, pull, plain, curves.keeping_near(beyond, s, relative, apart))


def near_slopes(
    curves: Curves, s: float, relative: float, outs: Outs, of_distance: Tensor, slope: Tensor, y: Tensor
) -> None:
    """The derivatives of `near` by x and y: from that by the distance, and the distance's by x."""
    of_x = torch.mul(slope, of_distance, out=slope if outs[0] is None else outs[0])
    if outs[1] is not None:
        torch.neg(of_x, out=outs[1])
        if relative:
            outs[1].addcmul_(curves.absolute_slope(y / s), of_distance, value=-relative)


def difference(out: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """out becomes x - y, and 0 for two infinities that are equal; y of one axis or 0-dim."""
    if y.dim() == 0:  # a number is finite, or its infinity is met by chance only
        return torch.sub(x, y, out=out)
    if host.seen(x) and bool(torch.sub(x, y, out=out).sum().isfinite()):
        return out
    largest = torch.finfo(x.dtype).max
    return torch.clamp(x, -largest, largest, out=out).sub_(y.clamp(-largest, largest))
