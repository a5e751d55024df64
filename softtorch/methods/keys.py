"""Keys: the input of one operator call, prepared for comparing, as methods are given it.

Preparation widens half precision, splits infinite entries off, and takes each row's middle off or standardizes (z =
(x - mean) / sqrt(var + floor), u = sigmoid(z); kernels/numeric/standardize.py): no method depends on where a row lies,
and rounding is least near 0. Entries at or beyond half of the dtype's range count as infinite, because masks are
written with finfo.min as often as with -inf; so do a row's extremes where they are so far from its other entries that
these would be all but equal beside them. An operator on entries with infinities acts on the finite ones as if the
others were absent; the infinite ones keep the first and the last places to themselves.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from softtorch.kernels.numeric.host import agreed, is_below, readable
from softtorch.kernels.numeric.precision import widened
from softtorch.kernels.numeric.questions import question
from softtorch.kernels.numeric.span import Span, clamped, once
from softtorch.kernels.numeric.standardize import Moments, moments, ordinary, standardized
from softtorch.kernels.numeric.tracing import function_may_be_traced
from softtorch.modes import Mode

_FAR = 1e8  # masks are also written with -1e9; so far apart, standardizing leaves the rest one number in float32
_SMALL = 1e-20  # a softness below this part of a row's reach changes nothing but what overflows
_MODEST = 1e-12  # above it that is so of all entries of moderate size
_LARGE = 1e30  # sums of n times as much stay numbers
_OFF = 16.0  # rows that lie farther from 0 than so many times their width are shifted to it where one may choose
_FEW = 16  # rows whose ends are looked at one by one


@dataclass(slots=True, eq=False)
class Keys:
    """One input, ready for a method, which does not change it.

    All tensors share the batch shape (...) and the last axis [n].
    """

    raw: Tensor
    """(..., [n]) the input as given, infinities included, half precision widened."""
    compared: Tensor
    """(..., [n]) finite numbers in the order of `raw`: what a relaxation compares, in units of `softness`."""
    levels: Tensor | None
    """`level`, or None where it is known to be 0."""
    softness: Tensor | float
    """a number, or a tensor broadcastable to (..., 1)."""
    mode: Mode
    standardized: bool = False
    """True if they lie in (0, 1): sigmoid(z)."""
    moments: Moments | None = None
    """those that it was standardized by, where they are known."""
    origin: Tensor | None = None
    """(..., [1]) a constant that was taken off instead; None where nothing was."""
    moderate: bool = False
    """True if it is known that no entry counts as infinite and none is huge; where False, either may be so."""
    inside: Tensor | None = None
    """(..., [n]) raw, with what counts as infinite at the ends of the rest; None but where torch.compile records."""

    @property
    def level(self) -> Tensor:
        """(..., [n]) int8, compiled raw's dtype: -1 where raw counts as -inf, 1 where it counts as +inf, else 0."""
        if self.levels is None:
            return torch.zeros((), dtype=torch.int8, device=self.raw.device).expand(self.raw.shape)
        return self.levels

    @property
    def n(self) -> int:
        """The number of entries along the axis."""
        return self.raw.shape[-1]

    @property
    def row_softness(self) -> Tensor | float:
        """`softness` for rows (..., k, [n])."""
        return self.softness.unsqueeze(-1) if isinstance(self.softness, Tensor) else self.softness

    @property
    def anchor(self) -> Tensor | None:
        """(..., [1]) the constant that `entries` are counted from; None for 0."""
        return self.origin if self.moments is None else self.moments.middle

    @property
    def entries(self) -> Tensor:
        """(..., [n]) what values are averages of: raw from `anchor` on, something finite where it counts as infinite.

        Weights sum to 1 but for rounding, which far from 0 would be rounding of the values, and of their derivatives.
        """
        raw = self.raw if self.inside is None else self.inside
        counted = raw if self.anchor is None else raw - self.anchor
        return counted if self.moderate or self.inside is not None else torch.where(self.level == 0, counted, 0.0)

    def valued(self, averages: Tensor) -> Tensor:
        """Averages of `entries`, (..., k), as averages of raw."""
        return averages if self.anchor is None else averages + self.anchor

    @property
    def below(self) -> Tensor:
        """(..., [1]) how many entries count as -inf."""
        return self._none if self.moderate else _count(self.level < 0)

    @property
    def above(self) -> Tensor:
        """(..., [1]) how many entries count as +inf."""
        return self._none if self.moderate else _count(self.level > 0)

    @property
    def _none(self) -> Tensor:
        return torch.zeros((*self.raw.shape[:-1], 1), dtype=torch.int64, device=self.raw.device)

    def place_level(self, index: Tensor) -> Tensor:
        """The level, (..., k) int8, of the entries that places `index`, (k,), belong to."""
        if self.moderate:
            return self.level[..., :1].expand(*self.level.shape[:-1], index.shape[0])
        high = (index >= self.n - self.above).to(torch.int8)
        return high - (index < self.below).to(torch.int8)

    def restored(self, compared: Tensor) -> Tensor:
        """Numbers like `compared`, (..., k), in the units of `raw`: the inverse of preparing."""
        if not self.standardized:
            return compared if self.origin is None else compared + self.origin
        # The clamp keeps logit finite; 10 eps of the dtype computed in, which is never half precision.
        edge = max(1e-10, 10 * torch.finfo(compared.dtype).eps)
        known = moments(self.raw) if self.moments is None else self.moments
        return known.restored(torch.logit(compared.clamp(edge, 1.0 - edge)))

    def in_place(self) -> "Keys":
        """The same without the middle taken off, for what depends on where a row lies."""
        if self.origin is None:
            return self
        return replace(self, compared=self.compared + self.origin, origin=None)

    def negated(self) -> "Keys":
        """The keys of -x. Standardizing commutes with the sign: sigmoid(-z) = 1 - sigmoid(z)."""
        return replace(
            self,
            raw=-self.raw,
            compared=1.0 - self.compared if self.standardized else -self.compared,
            levels=None if self.levels is None else -self.levels,
            moments=None if self.moments is None else self.moments.negated(),
            origin=None if self.origin is None else -self.origin,
            inside=None if self.inside is None else -self.inside,
        )


def _count(entries: Tensor) -> Tensor:
    """How many are True, (..., [n]) -> (..., [1]); compiled kernels add half as many integers at a time in 64 bits."""
    kind = torch.int32 if torch.compiler.is_compiling() else torch.int64
    return entries.sum(dim=-1, keepdim=True, dtype=kind)


def prepare(x: Tensor, softness: Tensor | float, mode: Mode, standardize: bool) -> Keys:
    """Keys for x, (..., [n]), of any dtype; softness as in `Keys`."""
    raw = widened(x)
    if isinstance(softness, Tensor):
        softness = softness.to(raw.dtype)
    if x.shape[-1] == 0:
        return Keys(raw, raw, torch.zeros_like(raw, dtype=torch.int8), softness, mode)
    seen = raw.numel() > 0 and readable(raw)
    keys = _moderate(raw, softness, mode, standardize) if seen else None
    return _bounded(_general(x, raw, softness, mode, standardize, seen) if keys is None else keys)


def _bounded(keys: Keys) -> Keys:
    """The keys with a softness beside which the entries are no infinities: the limit is reached long before."""
    softness = keys.softness
    if isinstance(softness, Tensor):
        return replace(keys, softness=torch.maximum(softness, _least(keys)))
    if softness > _MODEST and (keys.standardized or keys.moderate):
        return keys
    least = _least(keys)
    if keys.moderate and is_below(least, softness):
        return keys
    return replace(keys, softness=least.clamp(min=softness))


def _least(keys: Keys) -> Tensor:
    """The least softness, (..., [1])."""
    reach = keys.compared.detach().abs().amax(dim=-1, keepdim=True)
    return _SMALL * reach.clamp(min=torch.finfo(reach.dtype).tiny / _SMALL)


def _general(x: Tensor, raw: Tensor, softness: Tensor | float, mode: Mode, standardize: bool, seen: bool) -> Keys:
    """Keys for entries of any kind; `raw` is x widened."""
    span = _span(x, raw, seen)
    if standardize:
        z, known, inside = standardized(raw, span)
        level = span.level(raw, inside)
        # The logistic function takes -inf to 0 and inf to 1, outside of what finite entries reach.
        compared = z.sigmoid()
        if inside is None:
            compared = torch.where(level == 0, compared, (level > 0).to(raw.dtype))
        keys = Keys(raw, compared, level, softness, mode, True, known, inside=inside)
    else:
        inside = clamped(raw, span) if function_may_be_traced() else None
        level = span.level(raw, inside)
        middle = span.middle
        compared = _beyond(raw, span, middle, level, inside)
        keys = Keys(raw, compared, level, softness, mode, origin=middle, inside=inside)
    return replace(keys, levels=None, moderate=True) if seen and _is_moderate(keys) else keys


def _moderate(x: Tensor, softness: Tensor | float, mode: Mode, standardize: bool) -> Keys | None:
    """Keys for x, (..., [n]), where it is seen at once that no entry is so far out that it could count as infinite."""
    # Bounds are compared so that a NaN is not moderate.
    if standardize:
        scores = ordinary(x)
        if not is_below(scores.reach(), _FAR / 2) or not scores.holds():
            return None
        return Keys(x, scores.z.sigmoid(), None, softness, mode, standardized=True, moderate=True)
    span = Span.of(x)
    near, off = _seen(*span)
    if not near:
        return None
    if off:
        return Keys(x, x - span.middle, None, softness, mode, origin=span.middle, moderate=True)
    return Keys(x, x, None, softness, mode, moderate=True)


@question
def _seen(low: Tensor, high: Tensor) -> tuple[bool, bool]:
    """Return whether all entries of rows with this span are moderate, and whether a row lies off 0."""
    if low.numel() <= _FEW:  # a number takes Python less than an operator
        ends = list(zip(low.flatten().tolist(), high.flatten().tolist(), strict=True))
        near = all(a > -_FAR / 2 and b < _FAR / 2 for a, b in ends)
        return near, any(abs(a + b) > 2.0 * _OFF * (b - a) for a, b in ends)
    near = float(low.amin()) > -_FAR / 2 and float(high.amax()) < _FAR / 2
    return near, bool((Span(low, high).middle.abs() > _OFF * (high - low)).any())


def _is_moderate(keys: Keys) -> bool:
    """Return True if no entry is seen to count as infinite, and none is huge."""
    if not agreed(keys.level == 0):
        return False
    return is_below(keys.compared.detach().abs(), _FAR) and is_below(keys.raw.detach().abs(), _LARGE)


def _span(x: Tensor, raw: Tensor, seen: bool) -> Span:
    """Between which entries of x, (..., [n]), its entries do not count as infinite; integers never do. `raw` is x."""
    if not x.dtype.is_floating_point:
        return Span.of(raw)
    edge, fixed = torch.finfo(x.dtype).max / 2, raw.detach()
    low = torch.where(fixed.abs() >= edge, torch.inf, fixed).amin(dim=-1, keepdim=True)
    high = torch.where(fixed.abs() >= edge, -torch.inf, fixed).amax(dim=-1, keepdim=True)
    none = low > high
    if not (seen and is_below(high - low, _FAR)):
        low, high = _without_far(fixed, low, high)
    return Span(once(torch.where(none, 0.0, low)), once(torch.where(none, 0.0, high)))


def _without_far(x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The ends, (..., [1]), of rows x, (..., [n]), without one that is so far out that the others were as if equal."""
    # The sizes of the others, infinite where there are none: what is large beside some of them only is a number.
    above = torch.where(x > low, x, torch.inf).amin(dim=-1, keepdim=True)
    below = torch.where(x < high, x, -torch.inf).amax(dim=-1, keepdim=True)
    least = torch.where(low < high - _FAR * (1.0 + above.abs().maximum(high.abs())), above, low)
    most = torch.where(high > low + _FAR * (1.0 + below.abs().maximum(low.abs())), below, high)
    return least, most


def _beyond(x: Tensor, span: Span, middle: Tensor, level: Tensor, inside: Tensor | None) -> Tensor:
    """x from the middle of its span on, (..., [n]), with entries of level -1 and 1 safely beyond all others."""
    reach = (span.high - span.low) + 1.0
    if inside is not None:
        return inside - middle + level * reach
    ends = torch.where(level > 0, span.high - middle + reach, span.low - middle - reach)
    return torch.where(level == 0, torch.where(level == 0, x, 0.0) - middle, ends)
