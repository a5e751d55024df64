"""Projection onto the simplex with a power link: p_i = (z_i - threshold)_+^r and sum p = 1, for r = 1, 2, 3.

r = 1 is sparsemax (arXiv 1602.02068), r = 2 and r = 3 are the entmax members 3/2 and 4/3 (arXiv 1905.05702) in the
scaling where the sum itself is 1. One sort finds the support, a closed form on its central moments the threshold. The
eager path saves only its output; while compiling or exporting a composite of plain torch operators takes over.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.torch_private import Function


def project(z: Tensor, power: int) -> Tensor:
    """Scores z, (..., [n]), to probabilities (..., [n]).

    Args:
        z: scores (..., [n]); -inf gives exactly 0, NaN makes its row NaN.
        power: r, one of 1, 2, 3.
    """
    if z.shape[-1] == 0:
        return z
    if torch.compiler.is_compiling():
        return _composite(z, power)
    result: Tensor = _Projection.apply(z, power)
    return result


def threshold(z: Tensor, power: int) -> Tensor:
    """The threshold (..., [1]) for scores z, (..., [n]), that lie in [-1, 0] with maximum 0.

    An entry s_k of the sorted scores is in the support exactly when sum_{i <= k} (s_i - s_k)^r < 1.
    """
    ordered = z.sort(dim=-1, descending=True).values
    if power == 1:
        return _newton(z, _flat_threshold(ordered), power)
    size = (_excess(ordered, power) < 1).sum(dim=-1, keepdim=True)
    inside = torch.arange(z.shape[-1], device=z.device) < size
    mean = torch.where(inside, ordered, 0.0).sum(dim=-1, keepdim=True) / size
    centered = torch.where(inside, ordered - mean, 0.0)
    return _newton(z, mean - _ROOTS[power](centered, size.to(z.dtype)), power)


def _flat_threshold(ordered: Tensor) -> Tensor:
    """The threshold (..., [1]) for r = 1, to the rounding of a running sum; scores (..., [n]) in falling order."""
    first = ordered.cumsum(dim=-1)
    count = torch.arange(1, ordered.shape[-1] + 1, device=ordered.device, dtype=ordered.dtype)
    # Rows with a NaN, which all of their running sums are, have no support to count.
    size = (first - count * ordered < 1).sum(dim=-1, keepdim=True).clamp(min=1)
    return (first.gather(-1, size - 1) - 1.0) / size


def _excess(ordered: Tensor, power: int) -> Tensor:
    """sum_{i <= k} (s_i - s_k)^r for every k, from prefix sums of powers; scores (..., [n]) in falling order."""
    count = torch.arange(1, ordered.shape[-1] + 1, device=ordered.device, dtype=ordered.dtype)
    first = ordered.cumsum(dim=-1)
    second = ordered.square().cumsum(dim=-1)
    if power == 2:
        return second + ordered * (count * ordered - 2.0 * first)
    third = ordered.pow(3).cumsum(dim=-1)
    return third + ordered * (ordered * (3.0 * first - count * ordered) - 3.0 * second)


# How far the threshold lies below the mean of a support of k entries: t with sum (d_i + t)^r = 1, where sum
# d_i = 0.
def _quadratic_root(d: Tensor, k: Tensor) -> Tensor:
    return ((1.0 - d.square().sum(dim=-1, keepdim=True)) / k).clamp(min=0.0).sqrt()


def _cubic_root(d: Tensor, k: Tensor) -> Tensor:
    """t^3 + 3 p t = 2 q by Cardano, p >= 0; written as a quotient, which has no cancellation."""
    p = d.square().sum(dim=-1, keepdim=True) / k
    q = (1.0 - d.pow(3).sum(dim=-1, keepdim=True)) / (2.0 * k)
    a = (q + (q.square() + p.pow(3)).sqrt()).clamp(min=torch.finfo(d.dtype).tiny).pow(1.0 / 3.0)
    b = p / a
    return 2.0 * q / (a.square() + p + b.square())


_ROOTS = {2: _quadratic_root, 3: _cubic_root}


def _slope(gap: Tensor, power: int) -> Tensor:
    """d p_i / d z_i at a fixed threshold, where gap = (z - threshold)_+, (..., [n])."""
    return gap.sign() if power == 1 else power * gap.pow(power - 1)


def _newton(z: Tensor, th: Tensor, power: int) -> Tensor:
    """One Newton step for sum (z - th)_+^r = 1: z (..., [n]), th (..., [1])."""
    gap = (z - th).relu()  # clamp would pass a gradient where z = th
    mass = gap if power == 1 else gap.pow(power)
    return th + (mass.sum(dim=-1, keepdim=True) - 1.0) / _slope(gap, power).sum(dim=-1, keepdim=True)


def _shifted(z: Tensor) -> Tensor:
    """z (..., [n]) with its maximum at 0, cut at -1: nothing below that can be in the support."""
    top = z.detach().amax(dim=-1, keepdim=True)
    return (z - torch.where(top == -torch.inf, 0.0, top)).clamp(min=-1.0)


def _forward(z: Tensor, power: int) -> Tensor:
    z = _shifted(z)
    gap = (z - threshold(z, power)).clamp_(min=0.0)
    return gap if power == 1 else gap.pow_(power)


def _composite(z: Tensor, power: int) -> Tensor:
    """The same values by differentiable operators: two Newton steps from the solution carry two derivatives."""
    z = _shifted(z)
    th = threshold(z.detach(), power)
    for _ in range(2):
        th = _newton(z, th, power)
    return (z - th).relu().pow(power)


def _jacobian_times(p: Tensor, v: Tensor, power: int) -> Tensor:
    """J v with the symmetric J = diag(g) - g g^T / sum g, g = r p^((r-1)/r); p and v are (..., [n])."""
    support = p > 0
    if power == 1:
        g = support.to(p.dtype)
    else:
        g = torch.where(support, power * torch.where(support, p, 1.0).pow((power - 1) / power), 0.0)
    return g * (v - (g * v).sum(dim=-1, keepdim=True) / g.sum(dim=-1, keepdim=True))


class _Projection(Function):
    """`project` with a derivative that needs nothing but the output."""

    @staticmethod
    def forward(z: Tensor, power: int) -> Tensor:
        return _forward(z, power)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.power = inputs[1]
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        (p,) = ctx.saved_tensors
        return _jacobian_times(p, grads[0], ctx.power), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (p,) = ctx.saved_tensors
        return _jacobian_times(p, tangents[0], ctx.power)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, None], z: Tensor, power: int) -> tuple[Tensor, int]:
        axis = in_dims[0]
        batched = z.expand(info.batch_size, *z.shape) if axis is None else z.movedim(axis, 0)
        return project(batched, power), 0
