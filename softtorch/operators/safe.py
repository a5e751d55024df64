"""Functions with no finite derivative at the edge of their domain, made safe: sqrt, log, div, norm, arcsin, arccos.

Values are torch's own wherever those are finite; at the edge and beyond it they are the limit, or 0 where that is
infinite, with derivative 0. No mode and no softness: nothing is relaxed. The straight-through forms in operators_st.py
have torch's value everywhere. To add one: where its derivative is finite, and its value elsewhere, given to `_guarded`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from softtorch.kernels.numeric.host import finite
from softtorch.kernels.numeric.promotion import as_tensor, promoted

__all__ = ["arccos", "arcsin", "div", "log", "norm", "sqrt"]

Dims = int | tuple[int, ...] | None


def sqrt(x: Tensor) -> Tensor:
    """The square root, with derivative 0 at 0 instead of infinity.

    Nothing is relaxed: the value is `torch.sqrt`'s for x >= 0, and 0 below; that of complex x in any case.

    Returns:
        Shape (...).

    Source: both branches of `where` guarded, so that no infinity meets a 0 in the backward pass.

    Example:
        >>> import torch, softtorch
        >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
        >>> torch.autograd.grad(softtorch.sqrt(x).sum(), x)[0]
        tensor([0.0000, 0.2500])
    """
    x = _floating(x)
    if finite(x.detach().rsqrt()):
        return torch.sqrt(x)
    if x.is_complex():
        return _guarded(torch.sqrt, x, x != 0, torch.zeros_like(x))
    return _guarded(torch.sqrt, x, x > 0, torch.where(x == 0, x, 0.0))  # the root of -0.0 is -0.0


def log(x: Tensor) -> Tensor:
    """The natural logarithm, 0 with derivative 0 at 0 and below.

    Nothing is relaxed: the value is `torch.log`'s for x > 0, and for complex x but 0.

    Returns:
        Shape (...).

    Source: both branches of `where` guarded, so that no infinity meets a 0 in the backward pass.

    Example:
        >>> import torch, softtorch
        >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
        >>> torch.autograd.grad(softtorch.log(x).sum(), x)[0]
        tensor([0.0000, 0.2500])
    """
    x = _floating(x)
    if finite(x.detach().log()) and finite(x.detach().reciprocal()):
        return torch.log(x)
    positive = x != 0 if x.is_complex() else x > 0
    # The reciprocal of a subnormal number may overflow: there the value is kept and the derivative is 0.
    edge = torch.where(positive, torch.where(positive, x, 1.0).log(), 0.0)
    return _guarded(torch.log, x, positive & x.reciprocal().isfinite(), edge)


def div(x: Tensor, y: Tensor | float) -> Tensor:
    """The quotient, 0 with derivatives 0 where the divisor is 0.

    Nothing is relaxed: the value is `torch.div`'s for y != 0. Where a derivative would overflow it is 0.

    Returns:
        Shape (...), broadcast.

    Source: both branches of `where` guarded, so that no infinity meets a 0 in the backward pass.

    Example:
        >>> import torch, softtorch
        >>> softtorch.div(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 4.0]))
        tensor([0.0000, 0.2500])
    """
    dtype = promoted(x, y)
    dtype = dtype if dtype.is_floating_point or dtype.is_complex else torch.get_default_dtype()
    x, y = as_tensor(x, dtype, x.device), as_tensor(y, dtype, x.device)
    divisor = torch.where(y == 0, 1.0, y)
    quotient = (x / divisor).detach()
    regular = (y != 0) & divisor.reciprocal().isfinite() & (quotient / divisor).isfinite()
    inner = torch.where(regular, x, 0.0) / torch.where(regular, divisor, 1.0)
    return torch.where(regular, inner, torch.where(y == 0, 0.0 * quotient.nan_to_num(), quotient))


def norm(x: Tensor, p: float = 2.0, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The norm of vectors, with derivative 0 at the zero vector, and a finite second one.

    Nothing is relaxed: the value is that of `torch.linalg.vector_norm`.

    Args:
        x: shape (..., n, ...).
        p: the order of the norm.
        dim: the dims of the vectors; all of them by default.
        keepdim: keep them with size 1.

    Returns:
        Shape (..., ...).

    Source: both branches of `where` guarded, so that no infinity meets a 0 in the backward pass.

    Example:
        >>> import torch, softtorch
        >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
        >>> torch.autograd.grad(softtorch.norm(x, dim=-1).sum(), x)[0]
        tensor([[0.0000, 0.0000],
                [0.6000, 0.8000]])
    """
    x = _floating(x)
    finite = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
    size = torch.linalg.vector_norm(finite.detach(), math.inf, dim, keepdim=True) if x.numel() else finite
    inner = torch.where(size == 0, 1.0, finite)  # (..., n, ...), no zero vector among them
    value = torch.linalg.vector_norm(inner, p, dim, keepdim=True)
    value = torch.where(size == 0, 0.0, value) if x.numel() else value
    beyond = (x - finite).detach().abs().sum(dim, keepdim=True)  # inf and NaN go into the value alone
    total = value + beyond
    if keepdim:
        return total
    return total.reshape(()) if dim is None else total.squeeze(dim)


def arcsin(x: Tensor) -> Tensor:
    """The inverse sine, with derivative 0 at -1 and 1 instead of infinity, and constant beyond.

    Nothing is relaxed: the value is `torch.arcsin`'s on [-1, 1], and -pi/2 or pi/2 outside.

    Returns:
        Shape (...).

    Source: both branches of `where` guarded, so that no infinity meets a 0 in the backward pass.

    Example:
        >>> import torch, softtorch
        >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
        >>> torch.autograd.grad(softtorch.arcsin(x).sum(), x)[0]
        tensor([1., 0.])
    """
    x = _floating(x)
    return _guarded(torch.arcsin, x, x.abs() < 1, x.clamp(-1, 1).arcsin())


def arccos(x: Tensor) -> Tensor:
    """The inverse cosine, with derivative 0 at -1 and 1 instead of infinity, and constant beyond.

    Nothing is relaxed: the value is `torch.arccos`'s on [-1, 1], and pi or 0 outside.

    Returns:
        Shape (...).

    Source: both branches of `where` guarded, so that no infinity meets a 0 in the backward pass.

    Example:
        >>> import torch, softtorch
        >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
        >>> torch.autograd.grad(softtorch.arccos(x).sum(), x)[0]
        tensor([-1.,  0.])
    """
    x = _floating(x)
    return _guarded(torch.arccos, x, x.abs() < 1, x.clamp(-1, 1).arccos())


def _floating(x: Tensor) -> Tensor:
    return x if x.is_floating_point() or x.is_complex() else x.to(torch.get_default_dtype())


def _guarded(function: Callable[[Tensor], Tensor], x: Tensor, regular: Tensor, edge: Tensor) -> Tensor:
    """function(x) where `regular`, elsewhere `edge` without a derivative, and NaN where x is: all (...).

    The function never sees what is not regular, so it has no infinite derivative that a 0 could meet.
    """
    inner = function(torch.where(regular, x, 0.5))  # 0.5 is regular for all of them
    return torch.where(regular, inner, torch.where(x.isnan(), x, edge).detach())
