"""The top-k mask of many entries: the threshold by Newton's method instead of a sort, derivatives in two passes.

A mask needs one number a row, b with sum_i F(y_i - b) = k, F as in laplace.py. From a good start, the threshold of a
part of the entries, few passes find it, where sorting alone costs as much as fifty. The passes go over a part of the
rows at a time, which stays in the processor's cache.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.numeric.host import readable
from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.torch_private import PlainFunction

__all__ = ["FEWEST", "TopMask", "is_large", "threshold"]

FEWEST = 1 << 14
"""From so many entries on, and as many as `_SHORTEST` a row, passes are cheaper than a sort."""
_SHORTEST = 1 << 10
_SAMPLE = 1 << 9  # entries of a row by which the search starts
_PART = 1 << 17  # entries that are passed over at a time
_STEPS = 16


def is_large(y: Tensor) -> bool:
    """Return True if the mask of y, (..., n), is found by passes: there are many entries, and they may be read."""
    return y.numel() >= FEWEST and y.shape[-1] >= _SHORTEST and not plain_operators_needed() and readable(y)


def threshold(y: Tensor, k: Tensor, start: Tensor) -> Tensor | None:
    """b, (..., 1), with sum_i F(y_i - b) = k; None where the search does not end, as at k = 0 and k = n.

    Args:
        y: entries (..., n) in units of the softness.
        k: the sums, (..., 1).
        start: where to begin, (..., 1).
    """
    n = y.shape[-1]
    rows, sums, b = y.reshape(-1, n), k.reshape(-1, 1), start.reshape(-1, 1).to(y.dtype)
    parts = max(1, _PART // n)
    cut = (torch.split(whole, parts) for whole in (rows, sums, b))
    found = [_searched(*part) for part in zip(*cut, strict=True)]
    if any(part is None for part in found):
        return None
    return torch.cat([part for part in found if part is not None]).reshape(k.shape)


def sample(y: Tensor) -> Tensor:
    """A part of the entries of y, (..., n), spread over each row."""
    return y[..., :: max(1, y.shape[-1] // _SAMPLE)]


def _searched(y: Tensor, k: Tensor, b: Tensor) -> Tensor | None:
    """The threshold (rows, 1) of y, (rows, n): Newton's method between bounds that close in."""
    low, high = y.amin(dim=-1, keepdim=True) - 50.0, y.amax(dim=-1, keepdim=True) + 50.0
    enough = (4.0 if y.dtype == torch.float64 else 1.0) * torch.finfo(y.dtype).eps * y.shape[-1] ** 0.5 * k.clamp(min=1)
    apart, decay = torch.empty_like(y), torch.empty_like(y)
    for _ in range(_STEPS):
        torch.sub(y, b, out=apart)
        torch.abs(apart, out=decay).neg_().exp_()
        density = decay.sum(dim=-1, keepdim=True)
        sides = apart.sign_()
        within = sides.sum(dim=-1, keepdim=True) - torch.linalg.vecdot(sides, decay).unsqueeze(-1)
        excess = (y.shape[-1] + within) / 2.0 - k
        step: Tensor = b + 2.0 * excess / density.clamp(min=torch.finfo(y.dtype).tiny)
        if bool((excess.abs() <= enough).all()):  # one step more squares what is left
            return step
        low, high = torch.where(excess > 0, b, low), torch.where(excess > 0, high, b)
        b = torch.where((step > low) & (step < high), step, (low + high) / 2.0)
    return None


class TopMask(PlainFunction):
    """F(y - b) for y (..., n), b (..., 1) the threshold that belongs to k, (..., 1); derivatives by y and k."""

    @staticmethod
    def forward(y: Tensor, k: Tensor, b: Tensor) -> Tensor:
        n = y.shape[-1]
        result = torch.empty(y.shape, dtype=y.dtype, device=y.device)
        rows, parts = result.view(-1, n), max(1, _PART // n)
        cut = (torch.split(whole, parts) for whole in (rows, y.reshape(-1, n), b.reshape(-1, 1)))
        for out, part, own in zip(*cut, strict=True):
            apart = part - own
            half = apart.abs().neg_().exp_().mul_(0.5)
            out.copy_(torch.where(apart > 0, 1.0 - half, half))
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        y, k, b = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative may be asked for, so all is made of what has one
            from softtorch.kernels.laplace import plain_top_mask

            wanted = [operand for operand in (y, k) if operand.requires_grad]
            slopes = iter(torch.autograd.grad(plain_top_mask(y, k), wanted, grad, create_graph=True))
            by_y, by_k = (next(slopes) if operand.requires_grad else None for operand in (y, k))
            return by_y, by_k, None
        apart = (y - b).abs_().neg_()
        by_k = torch.softmax(apart, dim=-1).mul_(grad).sum(dim=-1, keepdim=True)  # no quotient that underflows
        return apart.exp_().mul_(0.5).mul_(grad - by_k), by_k, None
