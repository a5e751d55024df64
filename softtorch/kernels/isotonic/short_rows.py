"""Projection of a few short rows onto the permutahedron, one after the other, in Python's own numbers.

For rows so short that a torch operator costs more than what it computes: wherever two neighbours are in the wrong order
they become one block, which grows until it is in order with those around it. The block equations are those of laws.py,
for blocks that are made of two: to add one, a class with these members and a line in EQUATIONS.
"""

from array import array
from itertools import accumulate
from math import exp, isnan, log, nan, sqrt
from typing import Any, Protocol

import torch
from torch import Tensor

# Up to so many entries, all rows together, this takes less time than rounds of torch operators.
FEW = 1000


def projected(power: int, z: Tensor, w: Tensor, alone: Tensor) -> tuple[Tensor, Tensor] | None:
    """The place in its row of the first entry of each entry's block, and the projection, (rows, n) each.

    None where every entry is a block of its own.

    Args:
        power: which equation.
        z: (rows, n) in falling order.
        w: (rows, n) in falling order.
        alone: the values of blocks of one entry, (rows, n).
    """
    first, y, longer = array("q"), array("d"), 0
    for row, vertex, value in zip(z.tolist(), w.tolist(), alone.tolist(), strict=True):
        equation, places, sound = EQUATIONS[power](row, vertex), list(range(len(row))), not isnan(sum(value))
        blocks = _pooled(equation, places, value)
        for start, (end, block) in blocks.items():
            vertex[start:end] = equation.projected(block, row[start:end])
        longer += len(blocks)
        first.extend(places)
        y.extend(vertex if sound else [nan] * len(row))  # a block of one has the value w, by every law
    if not longer:
        return None
    found = torch.frombuffer(first, dtype=torch.int64), torch.frombuffer(y, dtype=torch.float64)
    return found[0].to(z.device).view(z.shape), found[1].to(z).view(z.shape)


class Equation(Protocol):
    """A block equation for one row; a block is whatever tells enough about it."""

    def __init__(self, z: list[float], w: list[float]) -> None: ...

    def one(self, i: int) -> Any:
        """The block of entry i alone."""
        ...

    def joined(self, a: Any, b: Any) -> Any:
        """The block of a and of b, which follows it."""
        ...

    def value(self, block: Any) -> float:
        """The value of a block of two entries at least."""
        ...

    def projected(self, block: Any, z: list[float]) -> list[float]:
        """The projection at the entries z of such a block."""
        ...


def _pooled(equation: Equation, first: list[int], value: list[float]) -> dict[int, tuple[int, Any]]:
    """The blocks of more than one entry, by the place of their first entry; each with the place behind its last.

    Args:
        equation: that of the row.
        first: at each entry the place of its block's first entry; at the start its own, kept up to date.
        value: at each entry the value of its block, likewise.
    """
    n = len(value)
    blocks: dict[int, tuple[int, Any]] = {}
    for border in [i for i in range(1, n) if value[i - 1] < value[i]]:
        if first[border] < border:
            continue  # inside of a block that has grown
        left, right = first[border - 1], border
        while left < right:
            _, before = blocks.pop(left) if left in blocks else (right, equation.one(left))
            end, behind = blocks.pop(right) if right in blocks else (right + 1, equation.one(right))
            block = equation.joined(before, behind)
            blocks[left], g = (end, block), equation.value(block)
            first[left:end], value[left:end] = [left] * (end - left), [g] * (end - left)
            if left > 0 and value[left - 1] < g:
                left, right = first[left - 1], left
            else:
                right = end if end < n and g < value[end] else left
    return blocks


_Sums = tuple[int, float, float, float]


class _Mean:
    """Blocks are the number of entries, the first z, the sum of what the others are above it, and the sum of w."""

    def __init__(self, z: list[float], w: list[float]) -> None:
        self.z, self.w = z, w

    def one(self, i: int) -> _Sums:
        return 1, self.z[i], 0.0, self.w[i]

    def joined(self, a: _Sums, b: _Sums) -> _Sums:
        return a[0] + b[0], a[1], a[2] + b[2] + b[0] * (b[1] - a[1]), a[3] + b[3]

    def value(self, block: _Sums) -> float:
        n, top, rise, total = block
        return top + (rise - total) / n

    def projected(self, block: _Sums, z: list[float]) -> list[float]:
        n, top, rise, total = block
        shift = (total - rise) / n
        return [x - top + shift for x in z]


_Exponentials = tuple[float, float, float, float]


class _LogSumExp:
    """Blocks are the largest z, the sum of e^z over that of it, and the same of w."""

    def __init__(self, z: list[float], w: list[float]) -> None:
        self.z, self.w = z, w

    def one(self, i: int) -> _Exponentials:
        return self.z[i], 1.0, self.w[i], 1.0

    def joined(self, a: _Exponentials, b: _Exponentials) -> _Exponentials:
        z, z_sum, w, w_sum = a
        return z, z_sum + b[1] * exp(b[0] - z), w, w_sum + b[3] * exp(b[2] - w)

    def value(self, block: _Exponentials) -> float:
        return block[0] - block[2] + log(block[1] / block[3])

    def projected(self, block: _Exponentials, z: list[float]) -> list[float]:
        top, shift = block[0], block[2] + log(block[3] / block[1])
        return [x - top + shift for x in z]


class _Quadratic:
    """Blocks are where they start and end, and the sum of w."""

    def __init__(self, z: list[float], w: list[float]) -> None:
        self.center = sum(z) / len(z)
        self.z, self.w = [x - self.center for x in z], w
        self.first = [0.0, *accumulate(self.z)]
        self.second = [0.0, *accumulate(x * x for x in self.z)]

    def one(self, i: int) -> tuple[int, int, float]:
        return i, i + 1, self.w[i]

    def joined(self, a: tuple[int, int, float], b: tuple[int, int, float]) -> tuple[int, int, float]:
        return a[0], b[1], a[2] + b[2]

    def value(self, block: tuple[int, int, float]) -> float:
        start, end, total = block
        z = self.z
        cut, behind = start, end  # every z before the cut lies above g, none from `behind` on
        while cut < behind:
            middle = (cut + behind) // 2
            if self._sums(start, middle, end, z[middle])[0] < total:
                cut = middle + 1
            else:
                behind = middle
        c = z[min(cut, end - 1)]
        excess, rise = self._sums(start, cut, end, c)
        excess, rise = excess - total, max(rise, 0.0)
        turn = (2 * cut - start - end) * excess
        root = max(rise + sqrt(max(rise * rise - turn, 0.0)), sqrt(abs(turn)))
        g = c + excess / root if root > 0.0 else c
        g = max(g, c) if cut < end else g
        return min(g, z[cut - 1]) if cut > start else g

    def projected(self, block: tuple[int, int, float], z: list[float]) -> list[float]:
        g = self.value(block)
        t = [x - self.center - g for x in z]
        rise = 2.0 * sum(map(abs, t))
        # Newton's step: what running sums of a whole row have rounded off.
        step = (sum(x * abs(x) for x in t) - block[2]) / rise if rise > 0.0 else 0.0
        return [(x - step) * abs(x - step) for x in t]

    def _sums(self, start: int, cut: int, end: int, c: float) -> tuple[float, float]:
        """sum (z - c)^2 before the cut minus the same behind it, and sum |z - c|."""
        n = 2 * cut - start - end
        first = 2.0 * self.first[cut] - self.first[start] - self.first[end]
        second = 2.0 * self.second[cut] - self.second[start] - self.second[end]
        return second - c * (2.0 * first - n * c), first - n * c


_Moments = tuple[int, float, float, float, float]


class _Cubic:
    """Blocks are the number of entries, the mean of z, its second and third central moments, and the sum of w."""

    def __init__(self, z: list[float], w: list[float]) -> None:
        self.center = sum(z) / len(z)
        self.z, self.w = z, w

    def one(self, i: int) -> _Moments:
        return 1, self.z[i] - self.center, 0.0, 0.0, self.w[i]

    def joined(self, a: _Moments, b: _Moments) -> _Moments:
        count, other, d = a[0], b[0], b[1] - a[1]
        n = count + other
        second = d * d * count * other / n
        third = second * d * (count - other) / n + 3.0 * d * (count * b[2] - other * a[2]) / n
        return n, a[1] + d * other / n, a[2] + b[2] + second, a[3] + b[3] + third, a[4] + b[4]

    def value(self, block: _Moments) -> float:
        n, mean, second, third, total = block
        spread, q = second / n, (total - third) / (2.0 * n)  # t^3 + 3 spread t = 2 q for t = mean - g
        a: float = (abs(q) + sqrt(q * q + spread * spread * spread)) ** (1.0 / 3.0)
        if a == 0.0:
            return mean
        b = spread / a
        return mean - 2.0 * q / (a * a + spread + b * b)

    def projected(self, block: _Moments, z: list[float]) -> list[float]:
        g = self.value(block)
        return [t * t * t for t in (x - self.center - g for x in z)]


EQUATIONS: tuple[type[Equation], ...] = (_LogSumExp, _Mean, _Quadratic, _Cubic)
"""By power, as block_laws.LAWS."""
