"""Selection by soft conditions: where, and fills and reductions under a soft mask.

Selection by soft indices is in indexing.py, what writes by them in scatter.py. Entries that are not chosen may be
infinite or NaN and reach neither value nor gradient. To add one: check the condition, then use
kernels/numeric/weighted.py.
"""

import torch
from torch import Tensor

from softtorch.errors import ShapeError, message
from softtorch.kernels.numeric.precision import computing_dtype
from softtorch.kernels.numeric.promotion import as_tensor, promoted
from softtorch.kernels.numeric.weighted import mix, scale

__all__ = ["masked_fill", "masked_mean", "masked_sum", "where"]

Dims = int | tuple[int, ...] | None


def where(condition: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
    """`x` with probability `condition`, else `y`: their expected value.

    Relaxes `torch.where`; a condition of exactly 0 and 1, or of dtype bool, selects as torch does. An infinity or NaN
    of a branch that is not chosen reaches neither value nor gradient.

    Args:
        condition: SoftBool, or bool. Shape (...).
        x: taken at 1. A number, or shape (...), real or complex.
        y: taken at 0. A number, or shape (...), real or complex.

    Returns:
        condition * x + (1 - condition) * y, broadcast. Shape (...).

    Raises:
        ShapeError: `condition` is neither of a floating type nor bool.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, selection operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.where(torch.tensor([1.0, 0.25]), torch.tensor(4.0), torch.tensor([-torch.inf, 0.0]))
        tensor([4., 1.])
    """
    if condition.dtype == torch.bool:
        return torch.where(condition, x, y)
    check_floating("where", "condition", condition)
    tensors = [branch for branch in (x, y) if isinstance(branch, Tensor)]
    dtype = promoted(x, y) if tensors else condition.dtype
    if dtype.is_complex:
        return _complex_where(condition, *(as_tensor(branch, dtype, condition.device) for branch in (x, y)))
    computed, dtype = dtypes(dtype, condition.dtype)
    one, other = (as_tensor(branch, computed, condition.device) for branch in (x, y))
    return mix(condition.to(computed), one, other).to(dtype)


def _complex_where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`where` of complex numbers, in each part.  # (...) each, broadcast"""
    parts = where(condition.unsqueeze(-1), torch.view_as_real(x.resolve_conj()), torch.view_as_real(y.resolve_conj()))
    return torch.view_as_complex(parts.contiguous())


def masked_fill(x: Tensor, mask: Tensor, value: Tensor | float) -> Tensor:
    """`value` with probability `mask`, else `x`: their expected value.

    Relaxes `torch.masked_fill`, to which it is equal where `mask` is exactly 0 or 1.

    Args:
        mask: SoftBool, or bool, broadcastable to x. Shape (...).
        value: a number or a 0-dim tensor.

    Returns:
        mask * value + (1 - mask) * x. Shape (...).

    Raises:
        ShapeError: `mask` is neither of a floating type nor bool.

    Source: `where`, of which it is a case.

    Example:
        >>> import torch, softtorch
        >>> softtorch.masked_fill(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.5]), -2.0)
        tensor([1., 0.])
    """
    if mask.dtype == torch.bool:
        return torch.masked_fill(x, mask, value)
    return where(mask, as_tensor(value, x.dtype, x.device), x)


def masked_sum(x: Tensor, mask: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The sum of the elements that `mask` selects, each weighted by its probability.

    Relaxes `x[mask].sum()`, and along `dim` the sum of each slice's selection.

    Args:
        mask: SoftBool, or bool, broadcastable with x. Shape (...).
        dim: the dims to sum over; all of them by default.
        keepdim: keep them with size 1.

    Returns:
        sum of mask * x. Shape (...) without `dim`.

    Raises:
        ShapeError: `mask` is neither of a floating type nor bool.

    Source: linearity of the expected value.

    Example:
        >>> import torch, softtorch
        >>> softtorch.masked_sum(torch.tensor([1.0, 2.0, torch.inf]), torch.tensor([1.0, 0.5, 0.0]))
        tensor(2.)
    """
    dtype, total, _ = _masked("masked_sum", x, mask, dim, keepdim)
    return total.to(dtype)


def masked_mean(x: Tensor, mask: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The mean of the elements that `mask` selects, each weighted by its probability.

    Relaxes `x[mask].mean()`, and along `dim` the mean of each slice's selection; NaN, without a gradient, where nothing
    is selected.

    Args:
        mask: SoftBool, or bool, broadcastable with x. Shape (...).
        dim: the dims to average over; all of them by default.
        keepdim: keep them with size 1.

    Returns:
        sum of mask * x over sum of mask. Shape (...) without `dim`.

    Raises:
        ShapeError: `mask` is neither of a floating type nor bool.

    Source: the ratio of two expected values.

    Example:
        >>> import torch, softtorch
        >>> softtorch.masked_mean(torch.tensor([1.0, 4.0, torch.inf]), torch.tensor([1.0, 0.5, 0.0]))
        tensor(2.)
    """
    dtype, total, weight = _masked("masked_mean", x, mask, dim, keepdim)
    empty = weight == 0
    mean = total / torch.where(empty, 1.0, weight)
    return torch.where(empty, torch.nan, mean).to(dtype)


def dtypes(values: torch.dtype, weights: torch.dtype) -> tuple[torch.dtype, torch.dtype]:
    """The dtype in which weights * values is computed, and that of the result: values' own if floating."""
    result = values if values.is_floating_point else weights
    return computing_dtype(torch.promote_types(result, weights)), result


def check_floating(where: str, name: str, weights: Tensor) -> None:
    """Raise unless `weights`, a soft condition or index, is of a floating type."""
    if not weights.is_floating_point():
        wrong = f"{name} has dtype {weights.dtype}"
        remedy = "For conditions and indices that are not soft use torch's own function"
        raise ShapeError(message(where, wrong, "It holds probabilities, of a floating type", remedy))


def _masked(where: str, x: Tensor, mask: Tensor, dim: Dims, keepdim: bool) -> tuple[torch.dtype, Tensor, Tensor]:
    """The dtype of the result, the weighted sum of x and the sum of the weights, both (...) without `dim`."""
    if mask.dtype == torch.bool:
        mask = mask.to(x.dtype if x.is_floating_point() else torch.get_default_dtype())
    check_floating(where, "mask", mask)
    computed, dtype = dtypes(x.dtype, mask.dtype)
    weights = mask.to(computed)
    weighted = scale(weights, x.to(computed))
    total = weighted.sum(dim=dim, keepdim=keepdim)
    return dtype, total, weights.expand_as(weighted).sum(dim=dim, keepdim=keepdim)
