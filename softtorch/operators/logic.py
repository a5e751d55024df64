"""Soft logic on SoftBools, as probabilities of independent events: not, and, or, xor, all, any.

Exact for 0 and 1. The gates of logic networks are in gates.py, comparisons that give SoftBools in comparison.py. To add
one: compose it of logical_not and logical_and, so that De Morgan's laws hold.
"""

from collections.abc import Callable

from torch import Tensor

from softtorch.checks import resolve_dim
from softtorch.kernels.numeric.precision import computing_dtype, narrowed
from softtorch.kernels.numeric.promotion import promoted

__all__ = ["all", "any", "logical_and", "logical_not", "logical_or", "logical_xor"]

# The least probability a logarithm is taken of: the geometric mean has a finite derivative at 0.
_FLOOR = 1e-10


def logical_not(x: Tensor) -> Tensor:
    """The probability that an event does not happen.

    Relaxes `torch.logical_not`, to which it is equal at 0 and 1.

    Args:
        x: SoftBool, or bool. Shape (...).

    Returns:
        1 - x. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, logical operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.logical_not(torch.tensor([0.0, 0.25, 1.0]))
        tensor([1.0000, 0.7500, 0.0000])
    """
    return _framed(_not, x)


def logical_and(x: Tensor, y: Tensor, use_geometric_mean: bool = False) -> Tensor:
    """The probability that two independent events both happen.

    Relaxes `torch.logical_and`, to which it is equal at 0 and 1 (within 1e-5 for the geometric mean).

    Args:
        x: SoftBool, or bool. Shape (...).
        y: SoftBool, or bool. Shape (...).
        use_geometric_mean: take the square root, which keeps gradients from vanishing.

    Returns:
        x y, broadcast. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, logical operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.logical_and(torch.tensor([1.0, 0.5]), torch.tensor([1.0, 0.5]))
        tensor([1.0000, 0.2500])
    """
    return _framed(lambda x, y: _and(x, y, use_geometric_mean), x, y)


def logical_or(x: Tensor, y: Tensor, use_geometric_mean: bool = False) -> Tensor:
    """The probability that at least one of two independent events happens.

    Relaxes `torch.logical_or`, to which it is equal at 0 and 1 (within 1e-5 for the geometric mean).

    Args:
        x: SoftBool, or bool. Shape (...).
        y: SoftBool, or bool. Shape (...).
        use_geometric_mean: of the probabilities that neither happens.

    Returns:
        1 - (1 - x) (1 - y), broadcast. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, logical operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.logical_or(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.5]))
        tensor([1.0000, 0.7500])
    """
    return _framed(lambda x, y: _or(x, y, use_geometric_mean), x, y)


def logical_xor(x: Tensor, y: Tensor, use_geometric_mean: bool = False) -> Tensor:
    """The probability that one of two events happens and the other does not, composed of and, or and not.

    Relaxes `torch.logical_xor`, to which it is equal at 0 and 1 (within 1e-5 for the geometric mean).

    Args:
        x: SoftBool, or bool. Shape (...).
        y: SoftBool, or bool. Shape (...).
        use_geometric_mean: in each of the parts.

    Returns:
        or(and(x, not y), and(not x, y)), broadcast. Shape (...).

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, logical operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.logical_xor(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0]))
        tensor([1., 0.])
    """

    def xor(x: Tensor, y: Tensor) -> Tensor:
        only_x, only_y = (_and(p, _not(q), use_geometric_mean) for p, q in ((x, y), (y, x)))
        return _or(only_x, only_y, use_geometric_mean)

    return _framed(xor, x, y)


def all(
    x: Tensor,
    dim: int | None = -1,
    epsilon: float = _FLOOR,
    use_geometric_mean: bool = False,
    keepdim: bool = False,
) -> Tensor:
    """The probability that all of several independent events happen.

    Relaxes `torch.all`, to which it is equal at 0 and 1 (within epsilon^(1/n) for the geometric mean).

    Args:
        x: SoftBool, or bool. Shape (..., n, ...).
        dim: the dim reduced; None for all of them.
        epsilon: the least probability a logarithm is taken of, for the geometric mean.
        use_geometric_mean: take the n-th root, which keeps gradients from vanishing.
        keepdim: keep `dim` with size 1.

    Returns:
        The product along `dim`. Shape (..., ...).

    Raises:
        DimensionError: `dim` is out of range.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, logical operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.all(torch.tensor([[1.0, 1.0], [0.5, 0.5]]))
        tensor([1.0000, 0.2500])
    """
    axis = None if dim is None else resolve_dim("all", dim, x)
    return _framed(lambda x: _all(x, axis, keepdim, use_geometric_mean, epsilon), x)


def any(x: Tensor, dim: int | None = -1, use_geometric_mean: bool = False, keepdim: bool = False) -> Tensor:
    """The probability that at least one of several independent events happens.

    Relaxes `torch.any`, to which it is equal at 0 and 1.

    Args:
        x: SoftBool, or bool. Shape (..., n, ...).
        dim: the dim reduced; None for all of them.
        use_geometric_mean: of the probabilities that none happens.
        keepdim: keep `dim` with size 1.

    Returns:
        1 - the product of 1 - x along `dim`. Shape (..., ...).

    Raises:
        DimensionError: `dim` is out of range.

    Source: Paulus et al. 2026, SoftJAX and SoftTorch, logical operators.

    Example:
        >>> import torch, softtorch
        >>> softtorch.any(torch.tensor([[0.0, 1.0], [0.5, 0.5]]))
        tensor([1.0000, 0.7500])
    """
    axis = None if dim is None else resolve_dim("any", dim, x)
    return _framed(lambda x: _not(_all(_not(x), axis, keepdim, use_geometric_mean, _FLOOR)), x)


def _framed(soft: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    """`soft` computed in a wide dtype and cast back; bools count as 0. and 1. of the default dtype."""
    dtype = promoted(*xs)
    return narrowed(soft(*(x.to(computing_dtype(dtype)) for x in xs)), dtype)


def _not(x: Tensor) -> Tensor:
    return 1.0 - x


def _and(x: Tensor, y: Tensor, use_geometric_mean: bool) -> Tensor:
    if not use_geometric_mean:
        return x * y
    return ((_log(x, _FLOOR) + _log(y, _FLOOR)) / 2.0).exp()


def _or(x: Tensor, y: Tensor, use_geometric_mean: bool) -> Tensor:
    return _not(_and(_not(x), _not(y), use_geometric_mean))


def _all(x: Tensor, dim: int | None, keepdim: bool, use_geometric_mean: bool, epsilon: float) -> Tensor:
    """The product, or the geometric mean, along `dim`: (..., n, ...) -> (..., ...)."""
    if dim is None:
        kept = [1] * x.dim() if keepdim else []
        return _all(x.flatten(), 0, False, use_geometric_mean, epsilon).reshape(kept)
    if use_geometric_mean:
        return _log(x, epsilon).mean(dim, keepdim=keepdim).exp()
    return x.prod(dim, keepdim=keepdim)


def _log(x: Tensor, epsilon: float) -> Tensor:
    return x.clamp(min=epsilon).log()
