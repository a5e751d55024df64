"""The soft staircase: sum_k k (sigmoidal(x - k + 1/2) - sigmoidal(x - k - 1/2)) over the 2 R + 1 integers around x.

The sum telescopes to a running sum of 2 R + 2 soft steps, of which those out of reach are constants. It is accumulated
in place, forward and backward, and keeps x alone; its plain form is the sum as autograd records it.
"""

import torch
from torch import Tensor

from softtorch.kernels.numeric import host
from softtorch.kernels.numeric.constants import listed
from softtorch.kernels.pointwise.fused import Fused, Outs, run
from softtorch.modes import Mode

Softness = Tensor | float


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
        places, ones = _reached(curve, s, radius, x.dtype)
        _begin(out, base, ones, radius)
        steps = curve.curves.steps(inside, s, [0.5 - place for place in places])
        for place, step in zip(places, steps, strict=True):
            factor = _factor(place, base, radius)
            out.add_(step) if factor is None else out.addcmul_(factor, step)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        total = torch.zeros_like(x) if outs[0] is None else outs[0].zero_()
        whole = x.floor()
        base = _finite(whole).zero_() if from_floor else _finite(whole)
        inside = torch.sub(x, whole, out=whole).nan_to_num_(nan=0.0)
        places = _reached(curve, s, radius, x.dtype)[0]
        densities = curve.curves.densities(inside, s, [0.5 - place for place in places], grad)
        for place, density in zip(places, densities, strict=True):
            factor = _factor(place, base, radius)
            total.add_(density) if factor is None else total.addcmul_(factor, density)
        total.mul_(1.0 / s)

    return Fused(value, pull, lambda x: _plain(curve, s, x, radius, from_floor))


def _plain(curve: Mode, s: Softness, x: Tensor, radius: int, from_floor: bool) -> Tensor:
    """The sum as autograd can differentiate it, in every order and for the softness too. (...)"""
    places, ones = _reached(curve, s, radius, x.dtype)
    whole = x.detach().floor()
    base = whole if host.finite(x) else _finite(whole)
    inside = x - whole  # in [0, 1); inf and NaN are put in by `total`
    inside = inside if base is whole else inside.nan_to_num(nan=0.0)
    unbounded = whole - base
    base = torch.zeros_like(base) if from_floor else base
    total = _begin(unbounded, base, ones, radius)
    offsets = listed([0.5 - place for place in places], x.dtype, x.device)
    s = s.unsqueeze(-1) if isinstance(s, Tensor) else s
    steps = curve.sigmoidal((inside.unsqueeze(-1) + offsets) / s)  # (..., places)
    if {-radius, radius + 1}.isdisjoint(places):  # all steps count alike
        return total + steps.sum(dim=-1)
    counts = listed([_count(place, radius) for place in places], x.dtype, x.device)
    ends = listed([_end(place, radius) for place in places], x.dtype, x.device)
    return total + (steps * torch.addcmul(counts, base.unsqueeze(-1), ends)).sum(dim=-1)


def _reached(curve: Mode, s: Softness, radius: int, dtype: torch.dtype) -> tuple[list[int], int]:
    """The places whose steps are not constants on the way from floor(x) to the next integer; how many are 1."""
    places = list(range(-radius, radius + 2))
    if isinstance(s, Tensor):
        return places, 0
    reach = curve.curves.reach(dtype) * s
    ones = sum(0.5 - place >= reach for place in places)
    return [place for place in places if 0.5 - place < reach and place - 1.5 < reach], ones


def _begin(unbounded: Tensor, base: Tensor, ones: int, radius: int) -> Tensor:
    """`unbounded` becomes the sum before the steps: the first integer and the later steps that are 1, if there are."""
    return unbounded.add_(base).add_(ones - 1 - radius) if ones else unbounded


def _factor(place: int, base: Tensor, radius: int) -> Tensor | None:
    """The factor of the step at a place: the first and last integer at the ends, 1 (as None) between. (...)"""
    end = _end(place, radius)
    return end * base + _count(place, radius) if end else None


def _count(place: int, radius: int) -> float:
    """The factor of the step at a place without the integer that is counted from."""
    return -radius if _end(place, radius) else 1.0


def _end(place: int, radius: int) -> float:
    """1 at the first place, -1 at the last one, and 0 between."""
    return {-radius: 1.0, radius + 1: -1.0}.get(place, 0.0)


def _finite(whole: Tensor) -> Tensor:
    return whole.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
