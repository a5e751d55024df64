"""Averages along a sorted line under weights of compact support, w_ij = (t_i - |y_i - y_j|)_+^r with sum_j w_ij = 1.

This is the projection onto the simplex (simplex.py) of minus the distances from each place, without the pairs: near-
linear time, linear memory. The reaches t_i are found by a search whose length depends on the data, so they come from
one opaque operator; given them, everything is ordinary differentiable torch.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.kernels.numeric import host
from softtorch.kernels.numeric.tracing import plain_operators, plain_operators_needed
from softtorch.kernels.sorted_line.scan import together
from softtorch.kernels.sorted_line.windows import Anchors, Moments, Windows, cells
from softtorch.torch_private import Function

# aten's choice by sign, several times as fast as one by a bool tensor.
_where_positive = torch.ops.aten.threshold_backward

# Far above what a search needs that halves its interval every third step and mostly converges like Newton's method.
MAX_STEPS = 200

# How many are made on a device whose numbers are not looked at: beyond what the search was seen to need.
UNSEEN_STEPS = 40

# How far the mass may be from 1 before the last step of Newton's method, which squares it. An entry at the edge that is
# missed for it has at most that weight, to the power of the link.
CLOSE = {1: 1e-9, 2: 1e-7, 3: 1e-7}

# Every so many places are searched for first, and tell where the others are to be found.
STRIDE = 32


def average(y: Tensor, v: Tensor, index: Tensor | None, power: int) -> Tensor:
    """sum_j w_ij v_j at the places y_i that are asked for, (..., k).

    Args:
        y: places (..., n) in rising order, in float64 where there is such.
        v: what is averaged, (..., n).
        index: which of the n places, (k,); None for all.
        power: r, one of 1, 2, 3.
    """
    y, v = together(y, v)
    batch, n = y.shape[:-1], y.shape[-1]
    y, v = y.reshape(-1, n), v.reshape(-1, n)
    found = _reaches(y.detach(), index, power)
    if plain_operators_needed():
        result = _composite(y, v, index, power, _Found(*found))
    else:
        result = _Average.apply(y, v, index, power, *found)
    return result.reshape(*batch, result.shape[-1])


class _Found(NamedTuple):
    """The result of the search, (rows, k) each: reaches, and the edges of the windows."""

    t: Tensor
    left: Tensor
    right: Tensor


def _sums(y: Tensor, v: Tensor, index: Tensor | None, power: int, found: _Found) -> tuple[Windows, Windows, Tensor]:
    """The windows of v less its mean, (rows, n), those of ones, and the mean, (rows, 1)."""
    place = cells(y)
    anchors = Anchors(y, place, index)
    ones = Windows(anchors, Moments(place, torch.ones_like(y), power), found.left, found.right)
    middle = v.detach().mean(dim=-1, keepdim=True)  # running sums of deviations lose the fewest digits
    return Windows(anchors, Moments(place, v - middle, power), found.left, found.right), ones, middle


def _composite(y: Tensor, v: Tensor, index: Tensor | None, power: int, found: _Found) -> Tensor:
    """The averages, (rows, k), differentiable twice by y and v, (rows, n)."""
    values, ones, middle = _sums(y, v, index, power, found)
    t = found.t
    # A step of Newton's method at the solution moves nothing; each carries one derivative of the implicit function.
    for _ in range(2):
        t = t - (ones.power_sum(t, power) - 1.0) / (power * ones.power_sum(t, power - 1))
    return _averaged(values, ones, middle, t, power) + 0.0 * y[..., -1:]


def _averaged(values: Windows, ones: Windows, middle: Tensor, t: Tensor, power: int) -> Tensor:
    return values.power_sum(t, power) / ones.power_sum(t, power) + middle


def _tangent(y: Tensor, v: Tensor, index: Tensor | None, power: int, found: _Found) -> Tensor:
    """Something with the first derivative of the averages, (rows, k), in which the reaches are constants.

    A reach moves so that the weights go on summing to 1: as if entries were counted from their average under the
    weights' slopes, whose mass then does not matter.
    """
    values, ones, _ = _sums(y, v, index, power, found)
    with torch.no_grad():
        rate = values.power_sum(found.t, power - 1) / ones.power_sum(found.t, power - 1)
    return values.power_sum(found.t, power) - rate * ones.power_sum(found.t, power)


class _Average(Function):
    """`_composite`, whose backward saves its operands and goes through the sums of one reach each."""

    @staticmethod
    def forward(
        y: Tensor, v: Tensor, index: Tensor | None, power: int, t: Tensor, left: Tensor, right: Tensor
    ) -> Tensor:
        sums = _sums(y, v, index, power, _Found(t, left, right))
        # A NaN is sorted last; windows that do not reach it would not know of it.
        return _averaged(*sums, t, power) + 0.0 * y[..., -1:]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        y, v, index, ctx.power, *found = inputs
        ctx.save_for_backward(y, v, index, *found)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, v, index, *found = ctx.saved_tensors
        # A second derivative may be asked for where gradients are recorded.
        form = _composite if torch.is_grad_enabled() else _tangent

        def value(y: Tensor, v: Tensor) -> Tensor:
            return form(y, v, index, ctx.power, _Found(*found))

        with plain_operators():
            return *torch.func.vjp(value, y, v)[1](grad), None, None, None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], y: Tensor, v: Tensor, index: Tensor | None, power: int, *found: Any
    ) -> tuple[Tensor, int]:
        every = []
        for x, dim in zip((y, v, *found), (*in_dims[:2], *in_dims[4:]), strict=True):
            batched = x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            every.append(batched.reshape(-1, batched.shape[-1]))
        result: Tensor = _Average.apply(every[0], every[1], index, power, *every[2:])
        return result.view(info.batch_size, -1, result.shape[-1]), 0


@torch.library.custom_op("softtorch::compact_reaches", mutates_args=())
def _reaches(y: Tensor, index: Tensor | None, power: int) -> tuple[Tensor, Tensor, Tensor]:
    """Reaches t, (rows, k), of the anchors y[:, index], and the edges of their windows, (rows, k) each."""
    place = cells(y)
    moments = Moments(place, torch.ones_like(y), power)
    n = y.shape[-1]
    every = index is None and n > 4 * STRIDE
    coarse = torch.arange(0, n + STRIDE - 1, STRIDE, device=y.device).clamp(max=n - 1) if every else index
    anchors = Anchors(y, place, coarse)
    high = torch.ones_like(anchors.at)  # a place has the weight 1 from itself alone there
    low = torch.full_like(high, n ** (-1.0 / power)).minimum(high)  # and this share with all others beside it
    found = _search(anchors, moments, power, _Range(low, high, high))
    if every:
        where = _between(y, anchors.at, found[0])
        found = _search(Anchors(y, place, None), moments, power, where)
    return found.t, found.left, found.right


class _Range(NamedTuple):
    """Bounds on the reaches, (rows, k) each, and the first guess."""

    low: Tensor
    high: Tensor
    guess: Tensor


def _between(y: Tensor, at: Tensor, t: Tensor) -> _Range:
    """Bounds on the reaches at all y, (rows, n), from the reaches t at every STRIDE-th place, (rows, k).

    The reach of a place differs from that of another by their distance at most.
    """
    block = torch.arange(y.shape[-1], device=y.device) // STRIDE
    block = block.clamp(max=at.shape[-1] - 2)
    t_low, t_high = t.index_select(-1, block), t.index_select(-1, block + 1)
    below, above = y - at.index_select(-1, block), at.index_select(-1, block + 1) - y
    slack = 1e-6  # the known reaches are no more than nearly exact
    low = torch.maximum(t_low - below, t_high - above) - slack
    high = (torch.minimum(t_low + below, t_high + above) + slack).clamp(max=1.0)
    low = low.clamp(min=0.5 / y.shape[-1])
    share = below / (below + above).clamp(min=torch.finfo(y.dtype).tiny)
    return _Range(low, high, torch.lerp(t_low, t_high, share).clamp(min=low, max=high))


def _search(anchors: Anchors, moments: Moments, power: int, where: _Range) -> _Found:
    """The reaches, (rows, k), and the edges of the windows.

    The mass within t is convex and rises. A tangent to it, from whichever side, bounds t from above.
    """
    low, high, t = where
    eps = torch.finfo(t.dtype).eps
    tolerance = max(CLOSE[power], 500.0 * anchors.line.shape[-1] * eps)  # the latter is the rounding of the sums
    for step in range(MAX_STEPS):
        left, right = anchors.edges(t)
        windows = Windows(anchors, moments, left, right)
        mass, slope = windows.power_sum(t, power), power * windows.power_sum(t, power - 1)
        missing = 1.0 - mass
        apart = (missing.abs() > tolerance) & (high - low > 4.0 * eps * high)
        newton = t + missing / slope
        if not host.seen(t):
            if step == UNSEEN_STEPS:
                return _Found(newton, left, right)
        else:
            columns = apart.any(dim=0).nonzero().flatten()
            if len(columns) == 0:
                return _Found(newton, left, right)
            if len(columns) < t.shape[-1] // 2:
                rest = _Range(*(bound.index_select(-1, columns) for bound in (low, high, t)))
                parts = zip((newton, left, right), _search(anchors.chosen(columns), moments, power, rest), strict=True)
                return _Found(*(whole.index_copy_(-1, columns, part) for whole, part in parts))
        low = low + _where_positive(t - low, missing, 0.0)
        high = torch.minimum(high - _where_positive(high - t, -missing, 0.0), newton)
        # As if the mass were a power of t, which it is for entries that are evenly spread.
        guess = t - (power + 1) * (mass - mass.pow(power / (power + 1.0))) / slope
        middle = (low + high) / 2.0
        better = guess.clamp(min=low, max=high) if step % 4 < 3 else middle
        t = torch.where(apart, better, t)
    return _Found(t, left, right)


@_reaches.register_fake
def _(y: Tensor, index: Tensor | None, power: int) -> tuple[Tensor, Tensor, Tensor]:
    shape = (y.shape[0], y.shape[-1] if index is None else index.shape[0])
    place = torch.empty(shape, dtype=torch.int64, device=y.device)
    return y.new_empty(shape), place, torch.empty_like(place)


@_reaches.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], y: Tensor, index: Tensor | None, power: int
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, int]]:
    y = y.expand(info.batch_size, *y.shape) if in_dims[0] is None else y.movedim(in_dims[0], 0)
    shape = (*y.shape[:-1], y.shape[-1] if index is None else index.shape[0])
    found = _reaches(y.reshape(-1, y.shape[-1]).contiguous(), index, power)
    t, left, right = (x.view(shape) for x in found)
    return (t, left, right), (0, 0, 0)
