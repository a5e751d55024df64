"""Keys: the input of one operator call, prepared for comparing, as methods are given it.

Preparation widens half precision, splits infinite entries off and standardizes (METHODS: z = (x - mean) / sqrt(var +
1e-6), u = sigmoid(z)). Entries at or beyond half of the dtype's range count as infinite, because masks are written with
finfo.min as often as with -inf; so do a row's extremes where they are so far from its other end that its other entries
would be all but equal beside them. An operator on entries with infinities acts on the finite ones as if the others were
absent; the infinite ones keep the first and the last places to themselves.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from softtorch.kernels.numeric.host import readable
from softtorch.kernels.numeric.precision import widened
from softtorch.kernels.numeric.standardize import VARIANCE_FLOOR, moments, reach, standard
from softtorch.modes import Mode

_FAR = 1e8  # masks are also written with -1e9; so far apart, standardizing leaves the rest one number in float32
_HUGE = 1e12  # above this the squares are taken of x / max|x|: 1e12 squared, times 2^40 entries, is below 3e38


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
    center: Tensor | None = None
    """(..., [1]) the mean that was taken off; None when not standardized. A constant where `moderate`."""
    spread: Tensor | None = None
    """(..., [1]) what it was then divided by; None when not standardized. A constant where `moderate`."""
    moderate: bool = False
    """True if it is known that no entry counts as infinite and none is huge; where False, either may be so."""

    @property
    def level(self) -> Tensor:
        """(..., [n]) int8: -1 where raw counts as -inf, 1 where it counts as +inf, else 0."""
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
    def finite(self) -> Tensor:
        """(..., [n]) raw with 0 in the place of what counts as infinite."""
        if self.moderate:
            return self.raw
        return torch.where(self.level == 0, self.raw, 0.0)

    @property
    def below(self) -> Tensor:
        """(..., [1]) how many entries count as -inf."""
        return self._none if self.moderate else (self.level < 0).sum(dim=-1, keepdim=True)

    @property
    def above(self) -> Tensor:
        """(..., [1]) how many entries count as +inf."""
        return self._none if self.moderate else (self.level > 0).sum(dim=-1, keepdim=True)

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
        """Numbers like `compared`, (..., k), in the units of `raw`: the inverse of standardizing."""
        if self.center is None or self.spread is None:
            return compared
        # What is kept of moderate entries are constants.
        center, spread = moments(self.raw) if self.moderate else (self.center, self.spread)
        # The clamp keeps logit finite; 10 eps of the dtype computed in, which is never half precision.
        edge = max(1e-10, 10 * torch.finfo(compared.dtype).eps)
        return torch.addcmul(center, torch.logit(compared.clamp(edge, 1.0 - edge)), spread)

    def negated(self) -> "Keys":
        """The keys of -x. Standardizing commutes with the sign: sigmoid(-z) = 1 - sigmoid(z)."""
        compared = -self.compared if self.center is None else 1.0 - self.compared
        center = None if self.center is None else -self.center
        levels = None if self.levels is None else -self.levels
        return replace(self, raw=-self.raw, compared=compared, levels=levels, center=center)


def prepare(x: Tensor, softness: Tensor | float, mode: Mode, standardize: bool) -> Keys:
    """Keys for x, (..., [n]), of any dtype; softness as in `Keys`."""
    raw = widened(x)
    if isinstance(softness, Tensor):
        softness = softness.to(raw.dtype)
    if x.shape[-1] == 0:
        return Keys(raw, raw, torch.zeros_like(raw, dtype=torch.int8), softness, mode)
    keys = _moderate(raw, softness, mode, standardize) if raw.numel() and readable(raw) else None
    if keys is not None:
        return keys
    least, most = _bounds(x)
    level = (x.detach() >= most).to(torch.int8) - (x.detach() <= least).to(torch.int8)
    finite = torch.where(level == 0, raw, 0.0)
    if not standardize:
        return Keys(raw, _beyond(finite, level), level, softness, mode)
    center, spread = _moments(finite, level)
    unit = torch.sigmoid((finite - center) / spread)
    # The logistic function takes -inf to 0 and inf to 1, outside of what finite entries reach.
    compared = torch.where(level == 0, unit, (level > 0).to(unit.dtype))
    return Keys(raw, compared, level, softness, mode, center, spread)


def _moderate(x: Tensor, softness: Tensor | float, mode: Mode, standardize: bool) -> Keys | None:
    """Keys for x, (..., [n]), where it is seen at once that no entry is so far out that it could count as infinite."""
    # Bounds are compared so that a NaN is not moderate.
    if not standardize:
        fixed = x.detach()
        inside = float(fixed.amin()) > -_FAR / 2 and float(fixed.amax()) < _FAR / 2
        return Keys(x, x, None, softness, mode, moderate=True) if inside else None
    scores = standard(x)
    if not float(reach(scores).amax()) < _FAR / 2:
        return None
    return Keys(x, scores.z.sigmoid(), None, softness, mode, scores.mean, scores.spread, moderate=True)


def _bounds(x: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """From where on entries of x, (..., [n]), count as infinite, (..., 1) below and above; integers never do."""
    if not x.dtype.is_floating_point:
        return -torch.inf, torch.inf
    edge = torch.finfo(x.dtype).max / 2
    fixed = x.detach()
    low, high = fixed.amin(dim=-1, keepdim=True), fixed.amax(dim=-1, keepdim=True)
    least = torch.where(low < high - _FAR * (1.0 + high.abs()), low, -edge).clamp(min=-edge)
    most = torch.where(high > low + _FAR * (1.0 + low.abs()), high, edge).clamp(max=edge)
    return least, most


def _moments(finite: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and sqrt(var + 1e-6), (..., [1]), over the entries of `finite`, (..., [n]), of level 0."""
    counted = level == 0
    count = counted.sum(dim=-1, keepdim=True).clamp(min=1)
    largest = finite.detach().abs().amax(dim=-1, keepdim=True)
    huge = largest > _HUGE
    unit = torch.where(huge, largest, 1.0)
    scaled = finite / unit
    mean = scaled.sum(dim=-1, keepdim=True) / count
    variance = torch.where(counted, scaled - mean, 0.0).square().sum(dim=-1, keepdim=True) / count
    # Huge entries that agree to rounding have no spread to speak of: eps^2 of their own size is the floor
    # there.
    floor = torch.where(huge, torch.finfo(finite.dtype).eps ** 2, VARIANCE_FLOOR)
    return mean * unit, (variance + floor).sqrt() * unit


def _beyond(finite: Tensor, level: Tensor) -> Tensor:
    """`finite`, (..., [n]), with entries of level -1 and 1 set safely below and above all others."""
    fixed = finite.detach()
    low, high = fixed.amin(dim=-1, keepdim=True), fixed.amax(dim=-1, keepdim=True)
    reach = (high - low) + 1.0
    return torch.where(level == 0, finite, torch.where(level > 0, high + reach, low - reach))
