"""Sums over sorted places with the kernel e^-|y_i - y_j|, and averages under it, in linear time and memory.

Places that are equal have the distance 0 and no derivative by each other, as abs has at 0: so everything here equals
the dense form, ties included, in value and in derivatives of every order. What the averages mean is in methods/.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.kernels.sorted_line.scan import Decay
from softtorch.kernels.sorted_line.sweep import sweep
from softtorch.torch_private import Function


class Sides(NamedTuple):
    """The sums over lower, equal and higher places, (..., n) each."""

    lower: Tensor
    equal: Tensor
    higher: Tensor

    @property
    def whole(self) -> Tensor:
        """sum_j e^-|y_i - y_j| v_j."""
        return self.lower + self.equal + self.higher

    @property
    def signed(self) -> Tensor:
        """sum_j sign(y_i - y_j) e^-|y_i - y_j| v_j."""
        return self.lower - self.higher


def average(y: Tensor, v: Tensor) -> Tensor:
    """sum_j e^-|y_i - y_j| v_j / sum_j e^-|y_i - y_j| at every i.

    Args:
        y: places (..., n) in rising order, in units of the kernel's width.
        v: what is averaged, (..., n).
    """
    if plain_operators_needed():
        return _mean_and_mass(y, v)[0]
    result: Tensor = _Average.apply(y, v)[0]
    return result


def sides(y: Tensor, v: Tensor) -> Sides:
    """Sums of v, (..., n), with the kernel, at every place y, (..., n) in rising order."""
    if plain_operators_needed():
        return _plain_sides(y, v)
    return Sides(*_Sides.apply(y, v))


def _mean_and_mass(y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The average and the sum of the weights that it divides by, (..., n) each, differentiable in every order."""
    mass = sides(y, torch.ones_like(v)).whole
    return sides(y, v).whole / mass, mass


def _plain_sides(y: Tensor, v: Tensor) -> Sides:
    """The same by torch's operators alone; equal places are summed without a derivative by y."""
    runs = _Runs(y)
    lower, _, higher = _sides(Decay(y), v, runs)
    equal = _sides(Decay(y.detach()), v, runs).equal
    # The sums of a run are taken at one of its ends, but each of its places has a derivative of its own.
    return Sides(lower * _one(runs.at_first(y) - y), equal, higher * _one(y - runs.at_last(y)))


def _one(distance: Tensor) -> Tensor:
    """e^distance, where the distance is 0 but for rounding."""
    return torch.exp(distance - distance.detach())


class _Runs:
    """The runs of equal places in y, (..., n), which rises but for rounding."""

    def __init__(self, y: Tensor) -> None:
        place = torch.arange(y.numel(), device=y.device).view(y.shape)  # counted through all rows
        rises = torch.diff(y.detach(), dim=-1) > 0
        self.first = (place * pad(rises, (1, 0), value=True)).cummax(dim=-1).values.flatten()
        later = place + y.numel() * ~pad(rises, (0, 1), value=True)
        self.last = later.flip(-1).cummin(dim=-1).values.flip(-1).flatten()

    def at_first(self, x: Tensor) -> Tensor:
        """x, (..., n), at the first place of every place's run."""
        return x.flatten().index_select(0, self.first).view(x.shape)

    def at_last(self, x: Tensor) -> Tensor:
        """x, (..., n), at the last place of every place's run."""
        return x.flatten().index_select(0, self.last).view(x.shape)


def _sides(decay: Decay, v: Tensor, runs: _Runs) -> Sides:
    step, upto, onward = torch.exp(-decay.gap[..., 1:]), decay.before(v), decay.behind(v)
    lower = runs.at_first(pad(upto[..., :-1] * step, (1, 0)))
    higher = runs.at_last(pad(onward[..., 1:] * step, (0, 1)))
    return Sides(lower, runs.at_last(upto) - lower, higher)


class _Sides(Function):
    """`sides`; its derivatives are sums of the same kind, so they exist in every order."""

    @staticmethod
    def forward(y: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        lower, equal, higher = _sides(Decay(y), v, _Runs(y))
        return lower, equal, higher

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*inputs, output[0], output[2])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        y, v, lower, higher = ctx.saved_tensors
        by_lower, by_higher = sides(y, grads[0]).higher, sides(y, grads[2]).lower
        by_y = grads[2] * higher - grads[0] * lower + v * (by_lower - by_higher)
        return by_y, by_lower + sides(y, grads[1]).equal + by_higher

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, int | None], y: Tensor, v: Tensor) -> tuple[Sides, tuple[int, ...]]:
        return sides(*_batched(info, in_dims, y, v)), (0, 0, 0)


class _Average(Function):
    """`average`, and the sum of the weights that it divides by; backward saves the operands and these two."""

    @staticmethod
    def forward(y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        def weights(piece: slice) -> Tensor:
            return torch.stack([torch.ones_like(v[..., piece]), v[..., piece]])

        sums = torch.stack([torch.ones_like(v), v]).neg_()  # each place's own weight is met in both passes
        for backwards in (False, True):
            for piece, upto, _ in sweep(y, weights, backwards, strictly=False):
                sums[..., piece] += upto
        mass, total = sums.unbind(0)
        return total / mass, mass.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, *output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        y, v, mean, mass = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative may be asked for, so all is made of what has one
            mean, mass = _mean_and_mass(y, v)
            share = grad / mass
            by_share = sides(y, share)
            by_y = share * (mean * sides(y, torch.ones_like(v)).signed - sides(y, v).signed)
            return by_y + sides(y, share * mean).signed - v * by_share.signed, by_share.whole
        slopes: tuple[Tensor, Tensor] = _AverageSlopes.apply(y, v, mean, grad / mass)
        return slopes

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], y: Tensor, v: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        rows = _batched(info, in_dims, y, v)
        result: tuple[Tensor, Tensor] = _Average.apply(*rows)
        return result, (0, 0)


class _AverageSlopes(Function):
    """First derivatives of the average by y and v, with few vectors alive at a time; it has none of its own."""

    @staticmethod
    def forward(y: Tensor, v: Tensor, mean: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        def weights(piece: slice) -> Tensor:
            part = share[..., piece]
            return torch.stack([torch.ones_like(part), v[..., piece], part, part * mean[..., piece]])

        by_y, by_v = torch.zeros_like(y), -share
        for backwards in (False, True):
            for piece, upto, passed in sweep(y, weights, backwards):
                ones, values, shares, means = passed.unbind(0)
                part = share[..., piece] * (mean[..., piece] * ones - values) + means - v[..., piece] * shares
                by_y[..., piece].add_(part, alpha=-1.0 if backwards else 1.0)
                by_v[..., piece] += upto[2]
        return by_y, by_v

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        rows = _batched(info, in_dims, *inputs[:-1])
        result: tuple[Tensor, Tensor] = _AverageSlopes.apply(*rows, inputs[-1])
        return result, (0, 0)


def _batched(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> list[Tensor]:
    """The operands of a vmapped function, all of one shape with the mapped dim first."""
    rows = (
        x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip(tensors, in_dims, strict=True)
    )
    return [row.contiguous() for row in rows]
