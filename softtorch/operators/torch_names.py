"""Operators under torch's further names: clip, absolute, amax, amin, msort, nan_to_num.

Each is another operator with torch's arguments. To add one: a function here, and its name in __all__.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, cast

import torch
from torch import Tensor

from softtorch.checks import resolve_dim
from softtorch.methods import Method
from softtorch.modes import Mode
from softtorch.operators import axiswise, elementwise

__all__ = ["absolute", "amax", "amin", "clip", "msort", "nan_to_num"]

Softness = Tensor | float
P = ParamSpec("P")


def _with_arguments_of(other: Callable[P, Tensor]) -> Callable[[Callable[..., Tensor]], Callable[P, Tensor]]:
    """Give a function the signature of the one that it hands its arguments to."""
    takes = functools.wraps(other, assigned=("__annotations__",))
    return lambda function: cast("Callable[P, Tensor]", takes(function))


@_with_arguments_of(elementwise.abs)
def absolute(*args: Any, **kwargs: Any) -> Tensor:
    """x times its soft sign, as `abs`: torch's longer name of it.

    Relaxes `torch.absolute`, which it tends to as softness -> 0.

    Returns:
        Shape (...).

    Source: `abs`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.absolute(torch.tensor([-3.0, 2.0]), softness=0.01)
        tensor([3., 2.])
    """
    return elementwise.abs(*args, **kwargs)


@_with_arguments_of(elementwise.clamp)
def clip(*args: Any, **kwargs: Any) -> Tensor:
    """x softly bounded from below by `a` and from above by `b`, as `clamp`: NumPy's name of it.

    Relaxes `torch.clip`, which it tends to as softness -> 0.

    Args:
        a: lower bound; a number, a tensor that broadcasts against x, or None for none. `min=` names it, too.
        b: upper bound; likewise, `max=`.

    Returns:
        Shape (...).

    Source: `clamp`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.clip(torch.tensor([-10.0, 0.5, 10.0]), min=0.0, max=1.0, softness=0.01)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return elementwise.clamp(*args, **kwargs)


def amax(
    x: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
) -> Tensor:
    """Soft torch.amax: the values of `max` along one axis or several, taken as one.

    Relaxes `torch.amax`, which it tends to as softness -> 0.

    Args:
        dim: an axis, or several, of which the entries are compared; None or none for all.

    Returns:
        Values. Shape (...).

    Source: `max`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.amax(torch.tensor([[0.0, 3.0], [1.0, 2.0]]), dim=1, softness=0.01)
        tensor([3., 2.])
    """
    return _along("amax", axiswise.max, x, dim, keepdim, softness, mode, method, standardize, ot_kwargs, gated_grad)


@_with_arguments_of(amax)
def amin(*args: Any, **kwargs: Any) -> Tensor:
    """Soft torch.amin: the values of `min` along one axis or several, taken as one.

    Relaxes `torch.amin`, which it tends to as softness -> 0.

    Args:
        dim: an axis, or several, of which the entries are compared; None or none for all.

    Returns:
        Values. Shape (...).

    Source: `min`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.amin(torch.tensor([[5.0, 3.0], [1.0, 2.0]]), dim=1, softness=0.01)
        tensor([3., 1.])
    """
    return _along("amin", axiswise.min, *args, **kwargs)


def msort(
    x: Tensor,
    softness: Softness = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
) -> Tensor:
    """Soft torch.msort: the values of `sort` along the first axis.

    Relaxes `torch.msort`, which it tends to as softness -> 0.

    Returns:
        Values in rising order. Shape (n, ...).

    Source: `sort`.

    Example:
        >>> import torch, softtorch
        >>> softtorch.msort(torch.tensor([3.0, 1.0, 2.0]), softness=0.001)
        tensor([1., 2., 3.])
    """
    options = (softness, mode, method, standardize, ot_kwargs, gated_grad)
    return axiswise.sort(x, 0, False, *options, return_indices=False).values


def nan_to_num(x: Tensor, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """torch.nan_to_num, which has nothing to relax: its derivative is 1 where x is finite and 0 elsewhere.

    Args:
        x: shape (...).
        nan: what a NaN becomes.
        posinf: what infinity becomes; the largest number of the dtype by default.
        neginf: what minus infinity becomes; the least number by default.

    Returns:
        Shape (...).

    Source: torch's documentation.

    Example:
        >>> import torch, softtorch
        >>> softtorch.nan_to_num(torch.tensor([float("nan"), 2.0]))
        tensor([0., 2.])
    """
    return torch.nan_to_num(x, nan, posinf, neginf)


def _along(
    where: str,
    extremum: Any,
    x: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """The values of an extremum along axes that are taken as one."""
    dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
    places = sorted({resolve_dim(where, each, x) for each in dims})
    if not places or x.dim() < 2:
        return cast(Tensor, extremum(x, None, keepdim and x.dim() > 0, *args, **kwargs))
    joined = x.movedim(tuple(places), tuple(range(-len(places), 0))).flatten(-len(places))  # (..., [n])
    values = cast(Tensor, extremum(joined, -1, False, *args, **kwargs, return_indices=False).values)
    for place in places if keepdim else ():
        values = values.unsqueeze(place)
    return values
