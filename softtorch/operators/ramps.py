"""The two soft ramps, and what is built of ramps without cancellation: bounds, and the larger of two numbers.

Everything here is in terms of a Mode and a softness; elementwise.py and its kin give names and options to it. Far from
its corner a ramp is 0 or its argument, so formulas with two large ramps are rearranged into torch's own function plus
small ramps; the derivatives are given separately, for those of the rearranged form are wrong at the corners.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import hardtanh

from softtorch.kernels.pointwise import curves
from softtorch.kernels.pointwise.fused import Fused, run
from softtorch.kernels.pointwise.slopes import with_slopes
from softtorch.modes import Mode

Softness = Tensor | float


class Ramp(ABC):
    """A soft relu with of(x) - of(-x) = x, which tends to 0 and x on either side."""

    @abstractmethod
    def of(self, curve: Mode, s: Softness, x: Tensor) -> Tensor:
        """The ramp at x, any shape."""

    @abstractmethod
    def function(self, curve: Mode, s: float) -> Fused:
        """`of` for a softness that is a number, in few passes."""

    @abstractmethod
    def slope(self, curve: Mode, s: Softness, x: Tensor) -> Tensor:
        """Its derivative at x, any shape."""

    def between(
        self, curve: Mode, s: float, low: float, high: float, dtype: torch.dtype, plain: Callable[[Tensor], Tensor]
    ) -> Fused | None:
        """low + of(x - low) - of(x - high) in few passes, where there are precise ones."""
        return None


class Integral(Ramp):
    """The integral of the soft step."""

    def of(self, curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return curve.ramp_of(x, s)

    def function(self, curve: Mode, s: float) -> Fused:
        return curve.ramp_function(s)

    def slope(self, curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return curve.sigmoidal(x / s)

    def between(
        self, curve: Mode, s: float, low: float, high: float, dtype: torch.dtype, plain: Callable[[Tensor], Tensor]
    ) -> Fused | None:
        return curves.between(curve.curves, low, high, s, dtype, plain)


class Gated(Ramp):
    """x times the soft step."""

    def of(self, curve: Mode, s: Softness, x: Tensor) -> Tensor:
        return run(self.function(curve, s), x) if curve.by_passes(s, x) else _gated(curve, s, x)

    def function(self, curve: Mode, s: float) -> Fused:
        return curves.gated_ramp(curve.curves, s, lambda x: _gated(curve, s, x))

    def slope(self, curve: Mode, s: Softness, x: Tensor) -> Tensor:
        u = hardtanh(x / s, -curve.saturation, curve.saturation)
        return curve.sigmoidal(u) + u * curve.density(u)


def _gated(curve: Mode, s: Softness, x: Tensor) -> Tensor:
    # With inf replaced by the largest number there is no inf * 0; what that takes away at inf is put back.
    largest = torch.finfo(x.dtype).max
    finite = hardtanh(x, -largest, largest)
    return finite * curve.sigmoidal(x / s) + (x - finite).detach().relu()


RAMPS: dict[bool, Ramp] = {False: Integral(), True: Gated()}
"""The ramp by the option `gated`."""


def within(
    ramp: Ramp, curve: Mode, s: Softness, x: Tensor, low: Tensor | float | None, high: Tensor | float | None
) -> Tensor:
    """x bounded by what there is of a lower and an upper bound: (...), broadcast."""
    if low is None or high is None:
        if high is not None:
            return high - ramp.of(curve, s, high - x)
        return x if low is None else low + ramp.of(curve, s, x - low)
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        low, high = (x.new_full((), bound) if not isinstance(bound, Tensor) else bound for bound in (low, high))
        return bounded(ramp, curve, s, x, low, high)
    return bounded_by(ramp, curve, s, x, low, high)


def bounded(ramp: Ramp, curve: Mode, s: Softness, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """low + ramp(x - low) - ramp(x - high), with the lower of the bounds for low: (...), broadcast."""

    def value(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        far_low, far_high = -(x - low).abs(), -(high - x).abs()
        return torch.clamp(x, low, high) + ramp.of(curve, s, far_low) - ramp.of(curve, s, far_high)

    def recorded(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        below = x - low <= high - x
        nearer = ramp.of(curve, s, torch.where(below, x - low, high - x))
        rest = nearer - ramp.of(curve, s, torch.where(below, x - high, low - x))
        return torch.where(below, low + rest, high - rest)

    slopes = [
        lambda x, low, high: ramp.slope(curve, s, x - low) - ramp.slope(curve, s, x - high),
        lambda x, low, high: ramp.slope(curve, s, low - x),
        lambda x, low, high: ramp.slope(curve, s, x - high),
    ]
    low = torch.minimum(low, high)
    if isinstance(s, Tensor):  # the derivative for the softness comes from autograd
        return recorded(x, low, high)
    return with_slopes(value, slopes, x, low, high, recorded=recorded)


def bounded_by(ramp: Ramp, curve: Mode, s: Softness, x: Tensor, low: float, high: float) -> Tensor:
    """The same between two numbers, in few passes where there are such: (...) -> (...)."""
    low = min(low, high)

    def plain(x: Tensor) -> Tensor:
        return bounded(ramp, curve, s, x, x.new_full((), low), x.new_full((), high))

    fast = None if isinstance(s, Tensor) else ramp.between(curve, s, low, high, x.dtype, plain)
    if fast is None:
        return plain(x)
    return run(fast, x) if curve.by_passes(s, x) else fast.plain(x)


def larger(curve: Mode, s: Softness, x: Tensor, y: Tensor) -> Tensor:
    """y + ramp(x - y): (...), (...), broadcast -> (...); inf - inf only where that is what is asked."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)

    def plain(x: Tensor, y: Tensor) -> Tensor:
        x_is_larger = (x >= y) | x.isnan()
        d = distance(x, y)
        return torch.where(x_is_larger, x, y) + curve.ramp_of(torch.where(x_is_larger, -d, d), s)

    return plain(x, y) if isinstance(s, Tensor) else run(curves.larger(curve.curves, s, plain), x, y)
