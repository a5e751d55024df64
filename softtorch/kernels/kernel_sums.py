"""Sums over sorted places with the kernel e^-|y_i - y_j|, and averages under it, in linear time and memory.

Places that are equal have the distance 0 and no derivative by each other, as abs has at 0: so everything here equals
the dense form, ties included, in value and in derivatives of every order. What the averages mean is in methods/.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from softtorch.kernels.pointwise import plain_operators_needed
from softtorch.kernels.scan import Decay


class Sides(NamedTuple):
    """The sums over lower, equal and higher places, one after another, (m, ..., n) each for m weights."""

    lower: Tensor
    equal: Tensor
    higher: Tensor


def average(y: Tensor, v: Tensor, present: Tensor) -> Tensor:
    """sum_j e^-|y_i - y_j| v_j / sum_j e^-|y_i - y_j|, over the places that are present, at every i.

    Args:
        y: places (..., n) in rising order, in units of the kernel's width.
        v: what is averaged, (..., n).
        present: 1 for entries that count, 0 for others; (..., n). Where nothing is in reach the average is 0.
    """
    if plain_operators_needed():
        return _mean_and_mass(y, v, present)[0]
    result: Tensor = _Average.apply(y, v, present)[0]  # type: ignore[no-untyped-call]  # untyped in torch
    return result


def sides(y: Tensor, v: Tensor) -> Sides:
    """sum_j e^-|y_i - y_j| v_j for y (..., n) in rising order and m weights v, (m, ..., n)."""
    if plain_operators_needed():
        return _plain_sides(y, v)
    return Sides(*_Sides.apply(y, v))  # type: ignore[no-untyped-call]


def _mean_and_mass(y: Tensor, v: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """The average and the sum of the weights that it divides by, (..., n) each, differentiable in every order."""
    sums = sides(y, torch.stack([v * present, present.expand(v.shape)]))
    above, mass = (sums.lower + sums.equal + sums.higher).unbind(0)
    mass = torch.where(mass > 0, mass, 1.0)
    return above / mass, mass


def _plain_sides(y: Tensor, v: Tensor) -> Sides:
    """The same by torch's operators alone; equal places are summed without a derivative by y."""
    first, last = _ties(y)
    lower, _, higher = _sides(Decay(y), v, first, last)
    fixed = _sides(Decay(y.detach()), v, first, last)
    # The sums of a run are taken at one of its ends, but each of its places has a derivative of its own.
    return Sides(lower * _one(y.gather(-1, first) - y), fixed.equal, higher * _one(y - y.gather(-1, last)))


def _one(distance: Tensor) -> Tensor:
    """e^distance, where the distance is 0 but for rounding."""
    return torch.exp(distance - distance.detach())


def _ties(y: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last place of every run of equal ones, (..., n); y rises, but for rounding."""
    n = y.shape[-1]
    place = torch.arange(n, device=y.device).expand(y.shape)
    rises = torch.diff(y.detach(), dim=-1) > 0
    first = torch.where(pad(rises, (1, 0), value=True), place, 0).cummax(dim=-1).values
    last = torch.where(pad(rises, (0, 1), value=True), place, n - 1).flip(-1).cummin(dim=-1).values.flip(-1)
    return first, last


def _sides(decay: Decay, v: Tensor, first: Tensor, last: Tensor) -> Sides:
    """Sums of one or more weights v, (..., n), by runs of equal places."""
    step = torch.exp(-decay.gap)

    def strictly(sums: Tensor, gap: Tensor, edge: Tensor) -> Tensor:
        return (sums * gap).gather(-1, edge.expand(v.shape))

    upto, onward = decay.before(v), decay.behind(v)
    lower = strictly(pad(upto[..., :-1], (1, 0)), step, first)
    higher = strictly(pad(onward[..., 1:], (0, 1)), pad(step[..., 1:], (0, 1)), last)
    return Sides(lower, upto.gather(-1, last.expand(v.shape)) - lower, higher)


class _Sides(torch.autograd.Function):
    """`sides`; its derivatives are sums of the same kind, so they exist in every order."""

    @staticmethod
    def forward(y: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decay, (first, last) = Decay(y), _ties(y)
        # One weight after another: what is made on the way stays of the size of one.
        parts = [_sides(decay, weight, first, last) for weight in v.unbind(0)]
        lower, equal, higher = (torch.stack(part) for part in zip(*parts, strict=True))
        return lower, equal, higher

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*inputs, output[0], output[2])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        y, v, lower, higher = ctx.saved_tensors
        m = v.shape[0]
        sums = sides(y, torch.cat(grads))
        by_lower, by_higher = sums.higher[:m], sums.lower[2 * m :]
        by_y = grads[2] * higher - grads[0] * lower + v * (by_lower - by_higher)
        return by_y.sum(dim=0).sum_to_size(y.shape), by_lower + sums.equal[m : 2 * m] + by_higher

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, int | None], y: Tensor, v: Tensor) -> tuple[Sides, tuple[int, ...]]:
        y = y.unsqueeze(0) if in_dims[0] is None else y.movedim(in_dims[0], 0)
        v = v.unsqueeze(1) if in_dims[1] is None else v.movedim(in_dims[1], 1)
        rows = torch.broadcast_shapes(y.shape, v.shape[1:])  # type: ignore[no-untyped-call]
        return sides(y.expand(rows), v.expand(v.shape[0], *rows)), (1, 1, 1)


class _Average(torch.autograd.Function):
    """`average`, and the sum of the weights that it divides by; backward saves the operands and these two."""

    @staticmethod
    def forward(y: Tensor, v: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        decay = Decay(y)

        def whole(weight: Tensor) -> Tensor:
            return decay.before(weight).add_(decay.behind(weight)).sub_(weight)

        mass = whole(present)
        mass = torch.where(mass > 0, mass, 1.0)
        return whole(v * present) / mass, mass

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, *output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None]:
        y, v, present, mean, mass = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative may be asked for, so all is made of what has one
            mean, mass = _mean_and_mass(y, v, present)
            share = grad / mass
            sums = sides(y, torch.stack([share, share * mean, v * present, present.expand(v.shape)]))
            by_share, by_mean, by_value, by_mass = (sums.lower - sums.higher).unbind(0)
            whole = (sums.lower + sums.equal + sums.higher)[0]
            by_y = share * (mean * by_mass - by_value) + present * (by_mean - v * by_share)
            return by_y, present * whole, None
        return *_average_slopes(y, v, present, mean, grad / mass), None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        rows = [x.unsqueeze(0) if dim is None else x.movedim(dim, 0) for x, dim in zip(tensors, in_dims, strict=True)]
        shape = torch.broadcast_shapes(*(x.shape for x in rows))  # type: ignore[no-untyped-call]
        result: tuple[Tensor, Tensor] = _Average.apply(*(x.expand(shape) for x in rows))  # type: ignore[no-untyped-call]
        return result, (0, 0)


def _average_slopes(y: Tensor, v: Tensor, present: Tensor, mean: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives by y and v, (..., n) each, for the gradient divided by the mass; few vectors live at a time."""
    decay, (first, last) = Decay(y), _ties(y)

    def signed(weight: Tensor) -> Tensor:
        lower, _, higher = _sides(decay, weight, first, last)
        return lower.sub_(higher)

    by_y = share * mean * signed(present)
    by_y.addcmul_(share, signed(v * present), value=-1.0)
    by_y.addcmul_(present, signed(share * mean))
    lower, equal, higher = _sides(decay, share, first, last)
    by_v = present * (equal.add_(lower).add_(higher))
    return by_y.addcmul_(v * present, lower.sub_(higher), value=-1.0), by_v
