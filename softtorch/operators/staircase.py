"""The soft staircase: sum_k k (sigmoidal(x - k + 1/2) - sigmoidal(x - k - 1/2)) over the 2 R + 1 integers around x.

The sum telescopes to a running sum of 2 R + 2 soft steps, of which those out of reach are constants. It is accumulated
in place, forward and backward, and keeps x alone; its plain form is the sum as autograd records it.
"""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from softtorch.kernels.numeric import host
from softtorch.kernels.numeric.constants import listed
from softtorch.kernels.pointwise.fused import Fused, Outs, run
from softtorch.modes import Mode

Softness = Tensor | float
_FEW = 16  # steps that a compiler is given one by one


def stairs(curve: Mode, s: Softness, x: Tensor, radius: int, from_floor: bool = False) -> Tensor:
    """The staircase with its steps at the half integers: (...) -> (...), inf at inf.

    With from_floor it is counted from floor(x), and the same for all x that are whole numbers apart: NaN at inf.
    """
    curve = curve.summed
    if curve.by_passes(s, x):
        return run(stairs_function(curve, s, radius, from_floor), x)
    return _plain(curve, s, x, radius, from_floor)


def stairs_function(curve: Mode, s: float, radius: int, from_floor: bool = False) -> Fused:
    """The staircase in few passes."""
    curve = curve.summed

    def value(out: Tensor, x: Tensor) -> None:
        whole = x.floor()
        base = _finite(whole)
        torch.sub(whole, base, out=out)  # 0, inf or NaN
        inside = torch.sub(x, whole, out=whole).nan_to_num_(nan=0.0)
        base = base.zero_() if from_floor else base
        reached = _reached(curve, s, radius, x.dtype)
        _begin(out, base, reached.ones, radius)
        steps = curve.curves.steps(inside, s, reached.offsets)
        for count, end, step in zip(reached.counts, reached.ends, steps, strict=True):
            factor = _factor(count, end, base)
            out.add_(step) if factor is None else out.addcmul_(factor, step)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        total = torch.zeros_like(x) if outs[0] is None else outs[0].zero_()
        whole = x.floor()
        base = _finite(whole).zero_() if from_floor else _finite(whole)
        inside = torch.sub(x, whole, out=whole).nan_to_num_(nan=0.0)
        reached = _reached(curve, s, radius, x.dtype)
        densities = curve.curves.densities(inside, s, reached.offsets, grad)
        for count, end, density in zip(reached.counts, reached.ends, densities, strict=True):
            factor = _factor(count, end, base)
            total.add_(density) if factor is None else total.addcmul_(factor, density)
        total.mul_(1.0 / s)

    return Fused(value, pull, lambda x: _plain(curve, s, x, radius, from_floor))


def _plain(curve: Mode, s: Softness, x: Tensor, radius: int, from_floor: bool) -> Tensor:
    """The sum as autograd can differentiate it, in every order and for the softness too. (...)"""
    reached = _reached(curve, s, radius, x.dtype)
    whole = x.detach().floor()
    base = whole if host.finite(x) else _finite(whole)
    inside = x - whole  # in [0, 1); inf and NaN are put in by `total`
    inside = inside if base is whole else inside.nan_to_num(nan=0.0)
    unbounded = whole - base
    base = torch.zeros_like(base) if from_floor else base
    total = _begin(unbounded, base, reached.ones, radius)
    if torch.compiler.is_compiling() and len(reached.offsets) <= _FEW:
        return total + _one_by_one(curve, s, inside, base, reached)
    offsets = listed(reached.offsets, x.dtype, x.device)
    s = s.unsqueeze(-1) if isinstance(s, Tensor) else s
    steps = curve.sigmoidal((inside.unsqueeze(-1) + offsets) / s)  # (..., places)
    if not any(reached.ends):  # all steps count alike
        return total + steps.sum(dim=-1)
    counts, ends = (listed(numbers, x.dtype, x.device) for numbers in (reached.counts, reached.ends))
    return total + (steps * torch.addcmul(counts, base.unsqueeze(-1), ends)).sum(dim=-1)


def _one_by_one(curve: Mode, s: Softness, inside: Tensor, base: Tensor, reached: "_Reached") -> Tensor:
    """The sum of the steps, (...), of which a compiler makes one loop: along an axis of their own it keeps them all."""
    total = torch.zeros_like(inside)
    for count, end, offset in zip(reached.counts, reached.ends, reached.offsets, strict=True):
        step, factor = curve.sigmoidal((inside + offset) / s), _factor(count, end, base)
        total = total + (step if factor is None else factor * step)
    return total


class _Reached(NamedTuple):
    """The steps that are not constants on the way from floor(x) to the next integer.

    ones: how many steps before them are 1.
    offsets: how far floor(x) is beyond each.
    counts, ends: the factor of each is its count, and floor(x) times its end: 1 at the first step of all, -1 at the
        last one, and 0 between.
    """

    ones: int
    offsets: tuple[float, ...]
    counts: tuple[float, ...]
    ends: tuple[float, ...]


def _reached(curve: Mode, s: Softness, radius: int, dtype: torch.dtype) -> _Reached:
    """The steps that a softness reaches; all, for one that is a tensor."""
    reach = math.inf if isinstance(s, Tensor) else curve.curves.reach(dtype) * s
    return (_within if torch.compiler.is_compiling() else _known_within)(reach, radius)


def _within(reach: float, radius: int) -> _Reached:
    """The steps of which some part is closer than `reach`."""
    every = range(-radius, radius + 2)
    places = [place for place in every if 0.5 - place < reach and place - 1.5 < reach]
    ends = tuple({-radius: 1.0, radius + 1: -1.0}.get(place, 0.0) for place in places)
    counts = tuple(-radius if end else 1.0 for end in ends)
    ones = sum(0.5 - place >= reach for place in every)
    return _Reached(ones, tuple(0.5 - place for place in places), counts, ends)


_known_within = functools.lru_cache(maxsize=1024)(_within)  # a softness stays, or goes by a schedule


def _begin(unbounded: Tensor, base: Tensor, ones: int, radius: int) -> Tensor:
    """`unbounded` becomes the sum before the steps: the first integer and the later steps that are 1, if there are."""
    return unbounded.add_(base).add_(ones - 1 - radius) if ones else unbounded


def _factor(count: float, end: float, base: Tensor) -> Tensor | None:
    """The factor of a step: the first and last integer at the ends, 1 (as None) between. (...)"""
    return end * base + count if end else None


def _finite(whole: Tensor) -> Tensor:
    return whole.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
