"""Axes along which a tensor holds the same numbers again, as `expand` makes them: what is made of one serves all.

`distinct` gives such a tensor without its copies. Of its derivative each copy gets an even share, as a view again,
where that of a slice would be a tensor of zeros as large as all copies.
"""

from typing import Any

from torch import Tensor

from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.torch_private import Function


def copied(x: Tensor) -> tuple[int, ...]:
    """The axes of x, (...), along which it is expanded; none where plain operators are needed."""
    if plain_operators_needed():
        return ()
    return tuple(axis for axis, size in enumerate(x.shape) if size > 1 and x.stride(axis) == 0)


def distinct(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """x, (...), of size 1 along `axes`, of `copied`."""
    result: Tensor = _Distinct.apply(x, axes) if axes else x
    return result


class _Distinct(Function):
    @staticmethod
    def forward(x: Tensor, axes: tuple[int, ...]) -> Tensor:
        for axis in axes:
            x = x.narrow(axis, 0, 1)
        return x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, tuple[int, ...]], output: Tensor) -> None:
        ctx.shape = inputs[0].shape

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        copies = ctx.shape.numel() // max(grad.numel(), 1)
        return (grad / max(copies, 1)).expand(ctx.shape), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, int]:
        batch = in_dims[0]
        result: Tensor = _Distinct.apply(x, tuple(axis + (axis >= batch) for axis in axes))
        return result, batch
