"""Projection onto the permutahedron by isotonic regression (arXiv 2002.08871), batched, on any device.

Finding the blocks takes a number of steps that depends on the data, so it is one opaque operator without gradient:
torch.compile, torch.export and vmap see a single node. Given the blocks, everything is ordinary differentiable torch.
The block equations are in laws.py, what looks for the blocks in rounds.py, short_rows.py and merging.py; here is which
of them, and the projection's derivative.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.kernels.isotonic import rounds, short_rows
from softtorch.kernels.isotonic.laws import LAWS, BlockLaw
from softtorch.kernels.isotonic.merging import merged
from softtorch.kernels.numeric import host
from softtorch.kernels.numeric.tracing import plain_operators, plain_operators_needed
from softtorch.kernels.sorted_line.scan import together
from softtorch.torch_private import Function


def permutahedron(z: Tensor, w: Tensor, power: int) -> Tensor:
    """Project z onto the permutahedron of w: both (..., n) in falling order, the result (..., n) in the same order.

    Args:
        z: what is projected, already divided by the softness.
        w: the vertex, in falling order.
        power: 0 the entropic projection, 1 the Euclidean one, 2 and 3 those with the links t|t| and t^3.
    """
    z, w = together(z, w)
    if z.numel() == 0:
        return z + w
    if host.readable(z) and host.readable(w):
        found = _found(z.detach(), w.detach(), power)
        return w + 0.0 * z if found is None else _projected(LAWS[power], z, w, found)
    found = _Found(*_blocks(z.detach(), w.detach(), power))
    if plain_operators_needed():
        return LAWS[power].solution(z, w, found.block, LAWS[power].recovered(z.detach(), found.y))
    return _projected(LAWS[power], z, w, found)


def _projected(law: BlockLaw, z: Tensor, w: Tensor, found: "_Found") -> Tensor:
    result: Tensor = _Projection.apply(law, z, w, found.block, found.y)
    return result


class _Found(NamedTuple):
    """Each entry's block, named by the place of its first entry (..., n), and the projection (..., n)."""

    block: Tensor
    y: Tensor


def _found(z: Tensor, w: Tensor, power: int) -> _Found | None:
    """The blocks of z and w, (..., n) both; None where it is seen that all have one entry: then y = w by any law."""
    law, shape = LAWS[power], z.shape
    z, w = z.reshape(-1, shape[-1]), w.reshape(-1, shape[-1])
    if not host.seen(z):
        pooled: tuple[Tensor, Tensor] | None = merged(law, z, w)
    elif z.numel() <= short_rows.FEW:
        known = short_rows.projected(power, z, w, law.alone(z, w))
        return known and _Found(*(x.view(shape) for x in known))
    else:
        pooled = rounds.pooled(law, z, w)
    if pooled is None:
        return None
    block, value = pooled
    return _Found(block.view(shape), law.projected(z, w, block, value).view(shape))


@torch.library.custom_op("softtorch::isotonic_blocks", mutates_args=())
def _blocks(z: Tensor, w: Tensor, power: int) -> tuple[Tensor, Tensor]:
    """`_found` as one operator, for graphs and transforms."""
    found = _found(z, w, power)
    if found is None:
        return torch.arange(z.shape[-1], device=z.device).repeat(*z.shape[:-1], 1), w.clone()
    return found.block, found.y


@_blocks.register_fake
def _(z: Tensor, w: Tensor, power: int) -> tuple[Tensor, Tensor]:
    return torch.empty(z.shape, dtype=torch.int64, device=z.device), torch.empty(
        z.shape, dtype=z.dtype, device=z.device
    )


@_blocks.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], z: Tensor, w: Tensor, power: int
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    return _blocks(*_mapped(info.batch_size, in_dims[:2], z, w), power), (0, 0)


def _mapped(size: int, in_dims: tuple[int | None, ...], *tensors: Tensor) -> list[Tensor]:
    """Tensors, (..., n) beside the mapped dim, with that dim first."""
    return [
        x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0) for x, dim in zip(tensors, in_dims, strict=True)
    ]


class _Projection(Function):
    """A projection that is known, with the derivative that its law gives it."""

    @staticmethod
    def forward(law: BlockLaw, z: Tensor, w: Tensor, block: Tensor, y: Tensor) -> Tensor:
        return y.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.law, z, w, block, _ = inputs
        ctx.save_for_backward(z, w, block, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z, w, block, y = ctx.saved_tensors
        law: BlockLaw = ctx.law
        if not torch.is_grad_enabled():
            return None, *law.pulled_back(grad, w, block, y), None, None

        def value(z: Tensor, w: Tensor) -> Tensor:
            return law.solution(z, w, block, law.recovered(z.detach(), y.detach()))

        with plain_operators():  # a second derivative may be asked for
            return None, *torch.func.vjp(value, z, w)[1](grad), None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], law: BlockLaw, z: Tensor, w: Tensor, block: Tensor, y: Tensor
    ) -> tuple[Tensor, int]:
        every = _mapped(info.batch_size, in_dims[1:], z, w, block, y)
        result: Tensor = _Projection.apply(law, *every)
        return result, 0
