"""The dtype that a computation runs in, and the way back.

Half precision is computed in float32 and cast back at the very end; integers and bools are computed in torch's default
dtype. Also the logarithm of a probability, with exact zeros at -inf and a finite gradient.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.torch_private import Function

_NARROW = (torch.float16, torch.bfloat16)


def computing_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype that arithmetic on `dtype` runs in.

    >>> computing_dtype(torch.bfloat16), computing_dtype(torch.float64)
    (torch.float32, torch.float64)
    """
    if not dtype.is_floating_point:
        return torch.get_default_dtype()
    return torch.float32 if dtype in _NARROW or dtype.itemsize < 2 else dtype


def widened(x: Tensor) -> Tensor:
    """`x` (any shape) in the dtype that arithmetic on it runs in.

    A gradient that is too large for the dtype of x becomes the largest one of it, not infinite.
    """
    if x.dtype not in _NARROW or not x.requires_grad or plain_operators_needed():
        return x.to(computing_dtype(x.dtype))
    wide: Tensor = _Widened.apply(x)
    return wide


class _Widened(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.to(computing_dtype(x.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.dtype = inputs[0].dtype

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        most = torch.finfo(ctx.dtype).max
        return grad.clamp(-most, most).to(ctx.dtype)


def narrowed(result: Tensor, dtype: torch.dtype) -> Tensor:
    """`result` (any shape) back in the floating dtype of the input; results for other inputs stay as they are."""
    return result.to(dtype) if dtype.is_floating_point and result.is_floating_point() else result


def floating(result: Tensor) -> Tensor:
    """`result` (any shape) of whole numbers in torch's default dtype, as it has in a soft mode; others as they are."""
    return result if result.is_floating_point() or result.is_complex() else result.to(torch.get_default_dtype())


def log_probability(p: Tensor) -> Tensor:
    """log(p) for probabilities (...): exactly -inf at 0, where the gradient is 0 instead of NaN.

    >>> log_probability(torch.tensor([0.0, 1.0]))
    tensor([-inf, 0.])
    """
    return torch.where(p > 0, torch.where(p > 0, p, 1.0).log(), -torch.inf)


def log_mixture(low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    """log((1 - weight) exp(low) + weight exp(high)), any shapes that broadcast; -inf is exact in and out."""
    low = low + log_probability(1.0 - weight)
    high = high + log_probability(weight)
    # logaddexp of two -inf is right in value and NaN in derivative.
    empty = (low == -torch.inf) & (high == -torch.inf)
    sums = torch.logaddexp(low.masked_fill(empty, 0.0), high.masked_fill(empty, 0.0))
    return sums.masked_fill(empty, -torch.inf)


def mixture(low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    """(1 - weight) low + weight high, any shapes that broadcast, where an infinity of weight 0 adds nothing."""
    lower = high.isinf() & ((low == high) | (weight == 0))
    upper = low.isinf() & (weight == 1) & ~lower
    mixed = ~(lower | upper)
    inner = torch.lerp(torch.where(mixed, low, 0.0), torch.where(mixed, high, 0.0), weight)
    return torch.where(mixed, inner, torch.where(lower, low, high))
