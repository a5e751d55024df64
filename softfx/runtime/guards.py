"""torch's functions with infinite derivatives: the same values bit for bit, and derivatives that are always finite.

An operand is detached, element by element, where the derivative is infinite or NaN or the value is NaN; the derivative
there is 0. So no infinity meets the 0 that comes back from the other branch of a `where`. To add a function, give the
elements at which it is irregular.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["acosh", "atanh", "div", "hypot", "log1p", "log2", "log10", "norm", "pow", "reciprocal", "rsqrt"]


def _held(x: Any, irregular: Tensor) -> Any:
    """x, detached where it is irregular: (...) both, broadcast."""
    return torch.where(irregular, x.detach(), x) if isinstance(x, Tensor) and x.is_floating_point() else x


def _held_both(x: Any, y: Any, irregular: Tensor) -> tuple[Any, Any]:
    """Two operands, detached where they are irregular; an operand of another shape is expanded."""
    shape = irregular.shape
    return tuple(_held(v if _fits(v, shape) else v.expand(shape), irregular) for v in (x, y))


def _fits(value: Any, shape: torch.Size) -> bool:
    return not isinstance(value, Tensor) or value.shape == shape


def div(x: Any, y: Any) -> Tensor:
    """x / y.  # (...) each, broadcast

    >>> x, y = torch.ones(2, requires_grad=True), torch.tensor([0.0, 4.0], requires_grad=True)
    >>> torch.autograd.grad(div(x, y)[1], (x, y))
    (tensor([0.0000, 0.2500]), tensor([ 0.0000, -0.0625]))
    """
    if not isinstance(y, Tensor):
        return torch.div(x, y)
    irregular = y == 0
    if isinstance(x, Tensor) and x.shape != y.shape:
        irregular, y = irregular.expand(_joint(x, y)), y.expand(_joint(x, y))
    return torch.div(*_held_both(x, y, irregular)) if isinstance(x, Tensor) else x / _held(y, irregular)


def _joint(x: Tensor, y: Tensor) -> torch.Size:
    shape: torch.Size = torch.broadcast_shapes(x.shape, y.shape)  # type: ignore[no-untyped-call]
    return shape


def pow(x: Tensor | float, exponent: Tensor | float) -> Tensor:
    """x ** exponent.  # (...) each, broadcast

    >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
    >>> torch.autograd.grad(pow(x, 0.5).sum(), x)[0]
    tensor([0.0000, 0.2500])
    """
    if not isinstance(x, Tensor):
        return x**exponent
    fraction = exponent != (exponent.floor() if isinstance(exponent, Tensor) else int(exponent))
    below = (x < 0) & fraction
    if isinstance(exponent, Tensor):
        exponent = _held(exponent.expand(below.shape), below)
    return torch.pow(_held(x.expand(below.shape), below | ((x == 0) & (exponent < 1))), exponent)


def rsqrt(x: Tensor) -> Tensor:
    """1 / sqrt(x).  # (...)"""
    return torch.rsqrt(_held(x, x <= 0))


def reciprocal(x: Tensor) -> Tensor:
    """1 / x.  # (...)"""
    return torch.reciprocal(_held(x, x == 0))


def log2(x: Tensor) -> Tensor:
    """The logarithm to the base 2.  # (...)"""
    return torch.log2(_held(x, x <= 0))


def log10(x: Tensor) -> Tensor:
    """The logarithm to the base 10.  # (...)"""
    return torch.log10(_held(x, x <= 0))


def log1p(x: Tensor) -> Tensor:
    """log(1 + x).  # (...)"""
    return torch.log1p(_held(x, x <= -1))


def acosh(x: Tensor) -> Tensor:
    """The inverse hyperbolic cosine.  # (...)"""
    return torch.acosh(_held(x, x <= 1))


def atanh(x: Tensor) -> Tensor:
    """The inverse hyperbolic tangent.  # (...)"""
    return torch.atanh(_held(x, x.abs() >= 1))


def hypot(x: Tensor, y: Tensor) -> Tensor:
    """sqrt(x * x + y * y).  # (...) each, broadcast"""
    shape = _joint(x, y)
    irregular = ((x == 0) & (y == 0)).expand(shape)
    return torch.hypot(_held(x.expand(shape), irregular), _held(y.expand(shape), irregular))


def norm(x: Tensor, ord: Any = 2, dim: Any = None, **options: Any) -> Tensor:
    """The norm of the vectors along `dim`, with derivatives of 0 of any order at the zero vector.  # (..., n, ...)

    >>> x = torch.zeros(2, requires_grad=True)
    >>> torch.autograd.grad(norm(x), x)[0]
    tensor([0., 0.])
    """
    axes = tuple(range(x.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    zero = (x == 0).all(axes, keepdim=True) if axes else x == 0
    result: Tensor = torch.linalg.vector_norm(_held(x, zero.expand(x.shape)), ord, dim, **options)
    return result
