"""Spreads: how far apart numbers are that something is decided about, as a robust standard deviation.

G is 0.8862 times Gini's mean difference: the standard deviation of normal numbers, and little moved by outliers. It is
measured on real tensors whose contents can be read, or as one 0-dim tensor where they cannot (`live`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from softfx.torch_private import base_of
from softtorch.checks import LEAST_SOFTNESS

__all__ = ["Pool", "Spread", "between", "blended", "live", "of_entries", "of_rows"]

# sqrt(pi) / 2: Gini's mean difference of normal numbers is 2 / sqrt(pi) of their standard deviation.
_NORMAL = math.sqrt(math.pi) / 2.0
# More numbers make the spread no better known: the standard error of that of so many is 0.3 %.
_MOST = 1 << 16
# With fewer numbers for each threshold a spread of their own is noise: its standard error is a third.
_LEAST = 8
# A number that is so many ranges of the others away is a mask's filling.
_FILL = 20.0
# The part of a dtype's range beyond which no data lies: masks are written as its end, or half of it.
_END = 0.25
# Where all numbers lie on one side of the decision, no spread is less than this part of the way to it.
_ONE_SIDED = 0.02
# A smaller number is 0 here, as those of classes that a softmax has ruled out: a softness, which is a part of a spread,
# must be a normal number.
_NOTHING = LEAST_SOFTNESS * 2.0**24
# Turns of a loop that are less apart share their mean, which fits loops of any length: a recurrent net that starts at 0
# has 5 to 9 times less spread in its first steps, and trains better by one softness for all (spiking: 0.11, not 0.13).
_APART = 10.0


@dataclass(frozen=True, eq=False)
class Spread:
    """The unit of a site's softness.

    value: a number, or one for each entry of the smaller operand, (...) that broadcasts with the operands.
    of: the name of what it is the spread of.
    turns: that of each meeting of the site in one call, in order, where they are far apart, as in a loop over columns
        in different units; `value` is their mean then.
    """

    value: float | Tensor
    of: str
    turns: tuple[float, ...] = ()

    @cached_property
    def least(self) -> float:
        """The number itself, or the least of several."""
        return float(self.value.min()) if isinstance(self.value, Tensor) else self.value

    def times(self, factor: float) -> float | Tensor:
        """So many spreads."""
        return self.value * factor

    def at(self, turn: int) -> float | Tensor:
        """That of one meeting in a call, from 0 on; of one more than were measured, the mean."""
        return self.turns[turn] if turn < len(self.turns) else self.value

    def in_turns(self, turns: tuple[float, ...]) -> Spread:
        """The same spread with that of each meeting, if these are far enough apart."""
        return replace(self, turns=turns if min(turns, default=0.0) * _APART < max(turns, default=0.0) else ())

    def __str__(self) -> str:
        if self.turns:
            text = f"spreads {min(self.turns):.3g} to {max(self.turns):.3g} of {self.of}"
            return f"{text}, one for each of {len(self.turns)} turns of a loop"
        if not isinstance(self.value, Tensor):
            return f"spread {self.value:.3g} of {self.of}"
        low, high = float(self.value.min()), float(self.value.max())
        return f"spreads {low:.3g} to {high:.3g} of {self.of}, one for each of {self.value.numel()} thresholds"


def of_entries(values: Tensor, of: str, decided_at_zero: bool = True) -> Spread | None:
    """The spread of all entries of a tensor, (...); None where none is finite.

    decided_at_zero: the decision about an entry is where it is 0, as for margins; else entries are centred.
    """
    numbers = _without_fill(_finite(values))
    if not numbers.numel():
        return None
    value = float(_gini(numbers))
    if decided_at_zero and value > 0.0:
        value = max(value, _ONE_SIDED * float(_one_sided(numbers)))
    if value > 0.0:
        return Spread(value, of)
    level = float(numbers.abs().max())
    return Spread(0.5 * level, f"{of}, all of one size") if level > 0.0 else None


def of_rows(values: Tensor, dim: int | None, of: str) -> Spread | None:
    """The mean over rows along `dim` of each row's spread; None for all entries as one row."""
    if dim is None or values.dim() < 2 or not values.numel():
        return of_entries(values, of, decided_at_zero=False)
    rows = values.detach().movedim(dim, -1).reshape(-1, values.shape[dim])
    rows = _seen(rows[:: max(1, rows.numel() // (4 * _MOST))])
    filled = _filled(_finite(rows))
    valid = rows.isfinite() & ~torch.isin(rows, filled)
    each = _gini_of_rows(rows, valid)
    each = each[valid.sum(-1) > 1]
    value = float(each.mean()) if each.numel() else 0.0
    return Spread(value, f"each row of {of}") if value > 0.0 else of_entries(values, of, decided_at_zero=False)


def between(x: Tensor | float, y: Tensor | float, of: str) -> Spread | None:
    """The spread of the margins x - y: (...), (...), broadcast.

    Where one operand is smaller and is shared along axes of the other, there is a spread for each of its entries, if
    enough margins share it.
    """
    margins = _margins(x, y)
    shared = _shared(x, y, margins)
    if shared is not None:
        return _by_entry(margins, shared, of)
    found = of_entries(margins, of)
    if found is not None:
        return found
    operands = [value for value in (x, y) if isinstance(value, Tensor)]
    text = (
        "the operands, which are equal"
        if bool((margins == 0.0).all())
        else "the operands, none of whose margins is finite"
    )
    spreads = [of_entries(value, text, decided_at_zero=False) for value in operands]
    return max((spread for spread in spreads if spread), key=lambda spread: float(spread.value), default=None)


def live(values: Tensor) -> Tensor:
    """The standard deviation about 0 or the mean, whichever is less, of tensors that cannot be read, (...) -> ()."""
    numbers = values.detach().flatten()
    numbers = torch.where(numbers.isfinite(), numbers, 0.0)
    deviation = (numbers - numbers.mean()).square().mean().sqrt()
    return torch.where(deviation > _NOTHING, deviation, 0.5 * numbers.abs().mean() + torch.finfo(numbers.dtype).tiny)


class Pool:
    """The mean of the spreads that one site had at several meetings; of one shape, else of all numbers.

    >>> pool = Pool(); pool.add(Spread(1.0, "the margins")); pool.add(Spread(4.0, "the margins")); pool.mean.value
    2.5
    """

    def __init__(self) -> None:
        self._count, self._of = 0, ""
        self._numbers = 0.0  # the sum of the numbers, or of the mean of each spread's
        self._entries: Tensor | None = None  # the sum of the spreads while all have one shape

    def add(self, spread: Spread) -> None:
        """Note one more."""
        entries = spread.value.double() if isinstance(spread.value, Tensor) else None
        self._numbers += float(spread.value) if entries is None else float(entries.mean())
        if self._count == 0:
            self._entries = entries
        elif self._entries is None or entries is None or entries.shape != self._entries.shape:
            self._entries = None
        else:
            self._entries = self._entries + entries
        self._count, self._of = self._count + 1, spread.of

    @property
    def mean(self) -> Spread:
        """What they are in the mean."""
        entries = self._entries
        return Spread(self._numbers / self._count if entries is None else (entries / self._count).float(), self._of)


def blended(before: Spread | None, found: Spread, momentum: float) -> Spread:
    """A moving average of spreads: the part `momentum` is of the one before; numbers of other thresholds end there."""
    if before is None or not momentum:
        return found
    shapes = [value.shape if isinstance(value, Tensor) else () for value in (before.value, found.value)]
    if shapes[0] != shapes[1]:
        return found
    turns = tuple(momentum * before.at(turn) + (1.0 - momentum) * own for turn, own in enumerate(found.turns))
    return Spread(momentum * before.value + (1.0 - momentum) * found.value, found.of, tuple(map(float, turns)))


def _margins(x: Tensor | float, y: Tensor | float) -> Tensor:
    """The margins in float64, of operands of any dtype: (...), (...), broadcast.

    A number at the end of its dtype's range, as masks write it, stands for an infinity: it is no margin from data.
    """
    kinds = [value.dtype for value in (x, y) if isinstance(value, Tensor) and value.is_floating_point()]
    end = _END * min((torch.finfo(kind).max for kind in kinds), default=math.inf)
    x, y = (torch.as_tensor(value).detach().double() for value in (x, y))
    x, y = (value.masked_fill(value.abs() >= end, math.inf) for value in (x, y))
    return x - y


def _shared(x: Tensor | float, y: Tensor | float, margins: Tensor) -> torch.Size | None:
    """The shape of the smaller operand with all axes of the margins, if each of its entries gets enough of them."""
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        return None
    smaller = x if x.numel() < y.numel() else y
    shape = torch.Size((1,) * (margins.dim() - smaller.dim()) + tuple(smaller.shape))
    if not 1 < smaller.numel() <= margins.numel() // _LEAST:
        return None
    # The first axis is a batch's as a rule: numbers along it would not fit the next one. Parameters stay as they are.
    own = base_of(smaller)
    own = smaller if own is None else own
    return shape if shape[0] == 1 or (own.is_leaf and own.requires_grad) else None


def _by_entry(margins: Tensor, shape: torch.Size, of: str) -> Spread | None:
    axes = [axis for axis, size in enumerate(shape) if size == 1]
    kept = [axis for axis, size in enumerate(shape) if size != 1]
    rows = margins.permute(*kept, *axes).flatten(len(kept)).flatten(0, len(kept) - 1)  # (entries, m)
    rows = _seen(rows[:, :: max(1, rows.numel() // (4 * _MOST))])
    valid = rows.isfinite() & ~torch.isin(rows, _filled(_finite(rows)))
    rows = torch.where(valid, rows, 0.0)
    nearest = torch.where(valid, rows.abs(), math.inf).amin(-1)
    one_sided = ((rows > 0) | ~valid).all(-1) | ((rows < 0) | ~valid).all(-1)
    floor = torch.where(one_sided & nearest.isfinite(), _ONE_SIDED * nearest, 0.0)
    each = _gini_of_rows(rows, valid)
    each = torch.where(each > 0.0, torch.maximum(each, floor), 0.5 * rows.abs().amax(-1))
    known = valid.any(-1)  # the others have no margin that softness could matter to
    each = torch.where(known, each, each[known].mean() if bool(known.any()) else 0.0)
    if not bool((each > 0.0).all()):
        return of_entries(margins, of)
    trimmed = shape[next(place for place, size in enumerate(shape) if size != 1) :]
    return Spread(each.reshape(trimmed).float(), of)


def _finite(values: Tensor) -> Tensor:
    """At most so many finite numbers of a tensor, in float64: (...) -> (m,)."""
    numbers = values.detach().flatten()
    numbers = numbers[:: -(-numbers.numel() // _MOST)] if numbers.numel() > _MOST else numbers
    numbers = _seen(numbers)
    return numbers[numbers.isfinite()]


def _seen(numbers: Tensor) -> Tensor:
    """Numbers in float64, those too small to be a softness as 0: (...) -> (...)."""
    numbers = numbers.double()
    return torch.where(numbers.abs() < _NOTHING, 0.0, numbers)


def _filled(numbers: Tensor) -> Tensor:
    """The numbers that fill masked places, such as -1e9 among scores: (m,) -> (some,)."""
    found: list[Tensor] = []
    rest = numbers
    while rest.numel() > 2 and len(found) < 4:
        low, high = rest.min(), rest.max()
        candidate = low if (low - rest.median()).abs() >= (high - rest.median()).abs() else high
        others = rest[rest != candidate]
        if others.numel() < 2:
            break
        extent = others.max() - others.min()
        gap = (others - candidate).abs().min()
        if not bool((extent > 0.0) & (gap > _FILL * extent)):
            break
        found.append(candidate)
        rest = others
    return torch.stack(found) if found else numbers[:0]


def _without_fill(numbers: Tensor) -> Tensor:
    return numbers[~torch.isin(numbers, _filled(numbers))]


def _one_sided(numbers: Tensor) -> Tensor:
    """The distance from 0 to the nearest number where all are on one side of it, else 0: (m,) -> ()."""
    same = bool((numbers > 0).all()) or bool((numbers < 0).all())
    return numbers.abs().min() if same else numbers.new_zeros(())


def _gini(numbers: Tensor) -> Tensor:
    """G of one sample, (m,) -> ()."""
    return _gini_of_rows(numbers.unsqueeze(0), torch.ones_like(numbers, dtype=torch.bool).unsqueeze(0))[0]


def _gini_of_rows(rows: Tensor, valid: Tensor) -> Tensor:
    """G of each row's valid numbers, from the sorted ones: (r, m), (r, m) -> (r,)."""
    counts = valid.sum(-1, keepdim=True).to(rows.dtype)
    ordered = torch.where(valid, rows, math.inf).sort(-1).values
    places = torch.arange(1, rows.shape[-1] + 1, dtype=rows.dtype, device=rows.device)
    inside = places <= counts
    start = torch.where(inside[:, :1], ordered[:, :1], 0.0)  # the weights sum to 0: a large common part must not blur
    weighted = torch.where(inside, (2.0 * places - counts - 1.0) * (ordered - start), 0.0).nan_to_num(nan=0.0)
    pairs = (counts * (counts - 1.0) / 2.0).squeeze(-1)
    return torch.where(pairs > 0.0, _NORMAL * weighted.sum(-1) / pairs.clamp(min=1.0), 0.0)
