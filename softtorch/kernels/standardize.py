"""Standardizing for entries that are all finite and of moderate size: u = sigmoid((x - mean) / sqrt(var + 1e-6)).

One step for autograd, which keeps two vectors; its plain form takes over where a graph is recorded, in forward mode
and for second derivatives. Infinite and huge entries are the business of methods/keys.py.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.pointwise import described, plain_operators, plain_operators_needed

VARIANCE_FLOOR = 1e-6  # of SoftTorch 0.1.1


def standardized(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u in (0, 1), (..., [n]), the mean and sqrt(var + 1e-6), (..., [1]) each, of x, (..., [n])."""
    if plain_operators_needed():
        return _plain(x)
    if not (torch.is_grad_enabled() and x.requires_grad):
        z, center, spread = _moments(x)
        return z.div_(spread).sigmoid_(), center, spread
    result: tuple[Tensor, ...] = _Standardized.apply(x)  # type: ignore[no-untyped-call]  # untyped in torch
    return result[0], result[1], result[2]


def _plain(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    away, center, spread = _moments(x)
    return (away / spread).sigmoid(), center, spread


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x - mean, (..., [n]), the mean, and sqrt(var + 1e-6)."""
    center = x.mean(dim=-1, keepdim=True)
    away = x - center
    variance = (away * away).sum(dim=-1, keepdim=True) / x.shape[-1]
    spread = (variance + VARIANCE_FLOOR).sqrt()
    return away, center, spread


def _pulled(
    n: int,
    unit: Tensor,
    spread: Tensor,
    z: Tensor,
    by_unit: Tensor | None,
    by_center: Tensor | None,
    by_spread: Tensor | None,
) -> Tensor:
    """The derivative by x, (..., [n]), of which the mean and the spread see the parts along 1 and along z."""
    by_z = torch.zeros_like(z) if by_unit is None else torch.ops.aten.sigmoid_backward(by_unit, unit)
    along = (by_z * z).sum(dim=-1, keepdim=True)
    if by_spread is not None:
        along = along - by_spread * spread
    level = by_z.sum(dim=-1, keepdim=True)
    if by_center is not None:
        level = level - by_center * spread
    return by_z.addcmul_(z, along, value=-1.0 / n).sub_(level, alpha=1.0 / n).div_(spread)


class _Standardized(torch.autograd.Function):
    @staticmethod
    @described
    def forward(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        away, center, spread = _moments(x)
        z = away.div_(spread)
        return z.sigmoid(), center, spread, z

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        unit, _, spread, z = output
        ctx.mark_non_differentiable(z)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(inputs[0], unit, spread, z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Tensor | None:
        x, unit, spread, z = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative may be asked for
            with plain_operators():
                given = [
                    torch.zeros_like(out) if g is None else g
                    for g, out in zip(grads, (unit, spread, spread), strict=False)
                ]
                pulled: Tensor = torch.func.vjp(_plain, x)[1](tuple(given))[0]
            return pulled
        return _pulled(x.shape[-1], unit, spread, z, *grads[:3])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None], x: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        assert in_dims[0] is not None  # there is no other operand that could be mapped
        result: tuple[Tensor, ...] = _Standardized.apply(x.movedim(in_dims[0], 0))  # type: ignore[no-untyped-call]
        return result, (0, 0, 0, 0)
