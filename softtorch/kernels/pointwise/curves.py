"""The curves of a mode for elementwise operators: a step, its derivative and its integral, as passes over memory.

`Curves` names the passes; logistic.py and polynomial.py make them. The functions here put them together to the fused
forms of the operators, each with the plain form that the mode gives. To add a curve: a subclass of Curves. To add an
operator: its passes in terms of these.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from softtorch.kernels.numeric import host
from softtorch.kernels.pointwise import slopes
from softtorch.kernels.pointwise.fused import Fused, Keeping, Outs

Argument = Callable[[Tensor, Tensor, Tensor], Tensor]
Beyond = Callable[[Tensor, list[Tensor], Tensor, Tensor], Tensor]
Plain = Callable[..., Tensor]
Passes = tuple[Callable[..., None], Callable[..., None], Keeping | None, Plain | None]

# aten's fused derivatives, which select without a bool tensor: those cost several passes each.
_where_positive = torch.ops.aten.threshold_backward.grad_input


class Curves(ABC):
    """The passes of one curve. They fill and return `out`, which may be x itself where nothing else is said.

    All are of u = k x; k is 1 / s up to its sign.
    """

    short: ClassVar[bool] = False
    """True if the plain forms are a few operators each."""

    def plainly(self, x: Tensor) -> bool:
        """Return True if x, of any shape, is so small that the plain forms cost less than passes by hand."""
        return self.short and x.numel() < slopes.SMALL

    @abstractmethod
    def step(self, out: Tensor, x: Tensor, k: float, factor: float = 1.0) -> Tensor:
        """factor times sigmoidal(u)."""

    @abstractmethod
    def sign(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        """2 sigmoidal(u) - 1."""

    @abstractmethod
    def density(self, out: Tensor, x: Tensor, k: float, grad: Tensor, factor: float) -> Tensor:
        """factor times grad times the derivative of sigmoidal at u; grad is not out."""

    @abstractmethod
    def absolute_slope(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        """The derivative of u sign(u) by u."""

    @abstractmethod
    def gated_slope(self, out: Tensor, x: Tensor, k: float) -> Tensor:
        """The derivative of u sigmoidal(u) by u."""

    @abstractmethod
    def ramp(self, out: Tensor, x: Tensor, s: float) -> Tensor:
        """s times the integral of sigmoidal up to x / s; out is not x."""

    def tail(self, out: Tensor, distance: Tensor, s: float) -> Tensor:
        """The ramp at minus a distance; out is not the distance, which may be written to."""
        return self.ramp(out, distance.neg_(), s)

    @abstractmethod
    def reach(self, dtype: torch.dtype) -> float:
        """The distance from which on sigmoidal is 0 and 1 to the precision of dtype."""

    def steps(self, inside: Tensor, s: float, offsets: Sequence[float]) -> Iterator[Tensor]:
        """sigmoidal((inside + offset) / s) at every offset, in a tensor that is used again; inside is in [0, 1]."""
        u = torch.empty_like(inside)
        for offset in offsets:
            yield self.step(u, torch.add(inside, offset, out=u), 1.0 / s)

    def densities(self, inside: Tensor, s: float, offsets: Sequence[float], grad: Tensor) -> Iterator[Tensor]:
        """grad times the derivative of sigmoidal there, likewise."""
        u = torch.empty_like(inside)
        for offset in offsets:
            yield self.density(u, torch.add(inside, offset, out=u), 1.0 / s, grad, 1.0)

    def keeping_sign(self, s: float) -> Keeping | None:
        """Passes of the sign that keep something, if that is cheaper; so the next."""
        return None

    def keeping_absolute(self, s: float) -> Keeping | None:
        return None

    def keeping_step(self, argument: Argument, k: float) -> Keeping | None:
        """Of the step of k argument(out, x, y), which fills out and has the derivatives 1 and -1."""
        return None

    def keeping_near(self, beyond: Beyond, s: float, tolerance: float, relative: float, apart: bool) -> Keeping | None:
        """The keeping form of `near`.

        beyond(out, scratch, x, y) fills out with how far beyond the tolerance the distance is, and scratch with the
        difference and with its sign.
        """
        return None

    def window(self, s: float, half: float, apart: bool, plain: Plain) -> Fused | None:
        """sigmoidal((x + half) / s) - sigmoidal((x - half) / s) in units of that at 0, or 1 less that: of tails.

        Only finite gradients go on to x.
        """
        return None

    def near_value(self, out: Tensor, beyond: Tensor, k: float, tolerant: bool) -> None:
        """`near` from how far beyond the tolerance the distance is; k > 0 where `apart` is meant."""
        if k > 0.0:
            self.sign(out, beyond, k)
        else:
            self.step(out, beyond, k, 2.0)
        if tolerant:
            out.clamp_(0.0, 1.0)

    def near_pull(
        self, outs: Outs, grad: Tensor, s: float, relative: float, direction: float, tolerant: bool, *parts: Tensor
    ) -> None:
        """The derivatives of `near`; parts are the difference, how far beyond the tolerance it is, and y."""
        apart, beyond, y = parts
        of_distance = self.density(torch.empty_like(apart), beyond, direction / s, grad, 2.0 * direction / s)
        if tolerant:
            _where_positive(of_distance, beyond, 0.0, grad_input=of_distance)  # where the bound is not met
        slope = self.absolute_slope(torch.empty_like(apart) if outs[0] is None else outs[0], apart, 1.0 / s)
        near_slopes(self, s, relative, outs, of_distance, slope, y)

    def between(self, low: float, high: float, s: float, dtype: torch.dtype) -> Passes | None:
        """The passes of low + ramp(x - low) - ramp(x - high), where there are precise ones for these bounds."""
        half = (high - low) / 2.0
        # Bounds out of each other's reach, and not so large that their middle blurs the distance to them.
        apart = half >= self.reach(dtype) * s and abs(low) + abs(high) <= 1000.0 * s
        return corners(self, low, high, s) if apart else None


def line(out: Tensor, x: Tensor, slope: float, constant: float) -> Tensor:
    """out, which may be x, becomes constant + slope x in one pass."""
    return torch.add(number(constant, x.dtype), x, alpha=slope, out=out)


def horner(out: Tensor, x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """out, which is not x, becomes a polynomial of degree 1 or more, its coefficients from the constant on."""
    *lower, second, top = coefficients
    line(out, x, top, second)
    for coefficient in reversed(lower):
        if x.device.type == "cpu":
            torch.addcmul(number(coefficient, x.dtype), out, x, out=out)
        else:  # where addcmul takes no number of the CPU's, and one made on the device would be a launch more
            out.mul_(x).add_(coefficient)
    return out


@functools.lru_cache(maxsize=4096)
def number(value: float, dtype: torch.dtype) -> Tensor:
    """A number as the 0-dim tensor that torch wants for a first operand; to make one costs more than to add."""
    return torch.full((), value, dtype=dtype, device="cpu")


def step(curves: Curves, s: float, plain: Plain) -> Fused:
    """sigmoidal(x / s)."""

    def value(out: Tensor, x: Tensor) -> None:
        curves.step(out, x, 1.0 / s)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.density(filled(outs[0]), x, 1.0 / s, grad, 1.0 / s)

    return Fused(value, pull, plain)


def sign(curves: Curves, s: float, plain: Plain) -> Fused:
    """2 sigmoidal(x / s) - 1."""

    def value(out: Tensor, x: Tensor) -> None:
        curves.sign(out, x, 1.0 / s)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.density(filled(outs[0]), x, 1.0 / s, grad, 2.0 / s)

    return Fused(value, pull, plain, curves.keeping_sign(s))


def absolute(curves: Curves, s: float, plain: Plain) -> Fused:
    """x times the sign."""

    def value(out: Tensor, x: Tensor) -> None:
        curves.sign(out, x, 1.0 / s).mul_(x)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.absolute_slope(filled(outs[0]), x, 1.0 / s).mul_(grad)

    return Fused(value, pull, plain, curves.keeping_absolute(s))


def ramp(curves: Curves, s: float, plain: Plain) -> Fused:
    """s times the integral of sigmoidal up to x / s."""

    def value(out: Tensor, x: Tensor) -> None:
        curves.ramp(out, x, s)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.step(filled(outs[0]), x, 1.0 / s).mul_(grad)

    return Fused(value, pull, plain)


def gated_ramp(curves: Curves, s: float, plain: Plain) -> Fused:
    """x sigmoidal(x / s)."""

    def value(out: Tensor, x: Tensor) -> None:
        largest = torch.finfo(x.dtype).max
        finite = x.clamp(-largest, largest)  # inf * 0 would be NaN; what this takes away at inf is put back
        curves.step(out, x, 1.0 / s).mul_(finite)
        out.add_(torch.sub(x, finite, out=finite).relu_())

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        curves.gated_slope(filled(outs[0]), x, 1.0 / s).mul_(grad)

    return Fused(value, pull, plain)


def between(curves: Curves, low: float, high: float, s: float, dtype: torch.dtype, plain: Plain) -> Fused | None:
    """low + ramp(x - low) - ramp(x - high), or None where no passes are precise."""
    passes = curves.between(low, high, s, dtype)
    return Fused(passes[0], passes[1], passes[3] or plain, passes[2]) if passes else None


def corners(curves: Curves, low: float, high: float, s: float) -> Passes:
    """low + ramp(x - low) - ramp(x - high) as clamp(x), less the ramp of minus the distance at the nearer bound."""
    middle, half = (low + high) / 2.0, (high - low) / 2.0

    def value(out: Tensor, x: Tensor) -> None:
        side = x - middle if middle else x
        distance = torch.abs(side, out=out).sub_(half).abs_()
        side = side.sign().mul_(curves.tail(torch.empty_like(x), distance, s))
        torch.clamp(x, low, high, out=out).sub_(side)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        beyond = torch.abs(x - middle if middle else x, out=outs[0]).sub_(half)
        curves.step(beyond, beyond, -1.0 / s).mul_(grad)

    return value, pull, None, None


def larger(curves: Curves, s: float, plain: Plain) -> Fused:
    """y + ramp(x - y)."""

    def apart(out: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.sub(x, y, out=out).nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf)

    def value(out: Tensor, x: Tensor, y: Tensor) -> None:
        rest = curves.tail(torch.empty_like(out), apart(out, x, y).abs_(), s)
        torch.maximum(x, y, out=out).add_(rest)

    def pull(outs: Outs, grad: Tensor, x: Tensor, y: Tensor) -> None:
        of_x = torch.empty_like(x) if outs[0] is None else outs[0]
        curves.step(of_x, apart(of_x, x, y), 1.0 / s).mul_(grad)
        if outs[1] is not None:
            torch.sub(grad, of_x, out=outs[1])

    return Fused(value, pull, plain)


def compared(curves: Curves, s: float, direction: float, offset: float, plain: Plain) -> Fused:
    """sigmoidal(direction (x - y + offset) / s), direction 1 or -1."""

    k = direction / s

    def apart(out: Tensor, x: Tensor, y: Tensor) -> Tensor:
        difference(out, x, y)
        return out.add_(offset) if counts(x, s, abs(offset), 0.0) else out

    def value(out: Tensor, x: Tensor, y: Tensor) -> None:
        curves.step(out, apart(out, x, y), k)

    def pull(outs: Outs, grad: Tensor, x: Tensor, y: Tensor) -> None:
        slope = torch.empty_like(x) if outs[0] is None else outs[0]
        curves.density(slope, apart(slope, x, y), k, grad, k)
        if outs[1] is not None:
            torch.neg(slope, out=outs[1])

    return Fused(value, pull, plain, curves.keeping_step(apart, k), finite=True)


def near(curves: Curves, s: float, tolerance: float, relative: float, apart: bool, plain: Plain) -> Fused:
    """2 sigmoidal((tolerance + relative abs(y) - abs(x - y)) / s), at most 1; 1 minus that where `apart` is meant."""
    direction = 1.0 if apart else -1.0

    def beyond(out: Tensor, scratch: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
        apart = difference(scratch[0], x, y)
        torch.mul(curves.sign(scratch[1], apart, 1.0 / s), apart, out=out)
        if relative:
            out.sub_(curves.sign(torch.empty_like(y), y, 1.0 / s).mul_(y), alpha=relative)
        return out.sub_(tolerance) if counts(x, s, tolerance, relative) else out

    def value(out: Tensor, x: Tensor, y: Tensor) -> None:
        far = beyond(out, [torch.empty_like(x), torch.empty_like(x)], x, y)
        curves.near_value(out, far, direction / s, counts(x, s, tolerance, relative))

    def pull(outs: Outs, grad: Tensor, x: Tensor, y: Tensor) -> None:
        scratch = [torch.empty_like(x), torch.empty_like(x)]
        far = beyond(torch.empty_like(x), scratch, x, y)
        tolerant = counts(x, s, tolerance, relative)
        curves.near_pull(outs, grad, s, relative, direction, tolerant, scratch[0], far, y)

    keeping = curves.keeping_near(beyond, s, tolerance, relative, apart)
    return Fused(value, pull, plain, keeping, finite=True)


def counts(x: Tensor, s: float, tolerance: float, relative: float) -> bool:
    """Return True if a tolerance changes any result by more than a quarter of its rounding error."""
    return bool(relative) or tolerance > 0.25 * s * torch.finfo(x.dtype).eps


def near_slopes(
    curves: Curves, s: float, relative: float, outs: Outs, of_distance: Tensor, slope: Tensor, y: Tensor
) -> None:
    """The derivatives of `near` by x and y: from that by the distance, and the distance's by x."""
    of_x = torch.mul(slope, of_distance, out=slope if outs[0] is None else outs[0])
    if outs[1] is not None:
        torch.neg(of_x, out=outs[1])
        if relative:
            outs[1].addcmul_(curves.absolute_slope(torch.empty_like(y), y, 1.0 / s), of_distance, value=-relative)


def filled(out: Tensor | None) -> Tensor:
    """The tensor for the derivative of the only operand, which is always asked for."""
    assert out is not None  # an operand alone without a derivative has no backward pass
    return out


def difference(out: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """out becomes x - y, and 0 for two infinities that are equal; y of one axis or 0-dim."""
    if y.dim() == 0:  # a number is finite, or its infinity is met by chance only
        return torch.sub(x, y, out=out)
    if host.seen(x) and host.has_finite_sum(torch.sub(x, y, out=out)):
        return out
    largest = torch.finfo(x.dtype).max
    return torch.clamp(x, -largest, largest, out=out).sub_(y.clamp(-largest, largest))
