"""The largest or smallest of each group: scatter_reduce with soft extrema, as graph networks aggregate.

The weights are a softmax within each group, in linear time and without sorting. Sums, means and products of groups are
differentiable in torch as they are.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.errors import MethodError, OptionError, message, nearest
from softtorch.modes import SMOOTH, Mode
from softtorch.operators.relaxed import relaxed

__all__ = ["scatter_reduce"]

_SIGNS = {"amax": 1.0, "amin": -1.0}


def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
) -> Tensor:
    """Soft torch.scatter_reduce for "amax" and "amin": each group gives its soft extremum.

    Every member of a group receives a gradient, by how close it comes to the extremum; that one alone does as softness
    -> 0. A group without members keeps `input`.

    Args:
        input: shape (..., m, ...).
        dim: the axis of the m groups.
        index: the group of each entry of src; integers. Shape (..., k, ...), as src.
        src: shape (..., k, ...).
        reduce: "amax" or "amin".
        include_self: whether `input` is a member of the groups.
        softness: in units of src; a number or a 0-dim tensor.
        mode: "smooth" or "hard".

    Returns:
        Shape (..., m, ...).

    Raises:
        OptionError: another reduce, or a softness that is not positive.
        MethodError: another mode.

    Source: softmax aggregation, Li et al. 2020, arXiv 2006.07739, equation 4.

    Example:
        >>> import torch, softtorch
        >>> src, index = torch.tensor([1.0, 3.0, 2.0]), torch.tensor([0, 0, 1])
        >>> softtorch.scatter_reduce(torch.zeros(3), 0, index, src, "amax", include_self=False, softness=0.2)
        tensor([2.9999, 2.0000, 0.0000])
    """
    if reduce not in _SIGNS:
        legal = f"Reductions: {', '.join(_SIGNS)}"
        raise OptionError(message("scatter_reduce", f"reduce={reduce!r}", legal, nearest(reduce, _SIGNS)))

    def hard(input: Tensor, src: Tensor) -> Tensor:
        return input.scatter_reduce(dim, index, src, reduce, include_self=include_self)

    def soft(curve: Mode, s: Any, input: Tensor, src: Tensor) -> Tensor:
        if curve.tailless is not SMOOTH:
            raise MethodError(message("scatter_reduce", f"it is not defined in {curve!r}", "Modes: smooth, hard"))
        largest, scale = hard(input.detach(), src.detach()), _SIGNS[reduce] / s
        members = _members(index, src)
        return _extremum(_row(largest), scale, _row(input), dim, *members, include_self).reshape(input.shape)

    return relaxed("scatter_reduce", softness, mode, hard, soft, input, src)


def _extremum(
    largest: Tensor, scale: Any, input: Tensor, dim: int, index: Tensor, src: Tensor, include_self: bool
) -> Tensor:
    """The mean of each group by softmax weights; largest: the hard extrema, (..., m, ...)."""
    gap = _gap(src, largest.gather(dim, index))  # (..., k, ...)
    own_gap = _gap(input, largest)  # (..., m, ...)
    near = torch.exp(scale * gap)
    empty = torch.ones_like(input).scatter(dim, index, 0.0)  # 1 for groups without members
    own = torch.exp(scale * own_gap) if include_self else empty
    total = own.scatter_add(dim, index, near)
    return largest + _weighted(own, own_gap).scatter_add(dim, index, _weighted(near, gap)) / total


def _members(index: Tensor, src: Tensor) -> tuple[Tensor, Tensor]:
    """The index, and the leading entries of src that it has one for: torch takes no others.  # (..., k, ...)"""
    index = _row(index)
    return index, _row(src)[tuple(map(slice, index.shape))]


def _row(x: Tensor) -> Tensor:
    """A number without axes as one with one. (...)"""
    return x if x.dim() else x.reshape(1)


def _gap(x: Tensor, largest: Tensor) -> Tensor:
    """The distance of entries from the extremum of their group; 0 for two that are the same infinity. (...)"""
    return (x - largest).nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)


def _weighted(weight: Tensor, gap: Tensor) -> Tensor:
    """weight * gap, 0 where the weight is 0 though the gap be infinite. (...)"""
    return weight * torch.where(weight > 0, gap, 0.0)
