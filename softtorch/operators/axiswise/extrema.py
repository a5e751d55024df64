"""argmax, argmin, max and min: one order statistic along a dim.

What they share is in shapes.py; quantiles and the median are in quantiles.py.
"""

from typing import Any

from torch import Tensor

from softtorch.methods import Method
from softtorch.methods.positions import Largest, Smallest
from softtorch.modes import Mode
from softtorch.operators.axiswise.call import Options
from softtorch.operators.axiswise.results import ValuesAndIndices, index_form
from softtorch.operators.axiswise.shapes import one_index, one_value


def argmax(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> Tensor:
    """Soft torch.argmax: how likely each entry is to be the largest.

    The index is relaxed to a distribution over the entries; it tends to one-hot as softness -> 0.

    Returns:
        A SoftIndex, (..., [n]): torch's shape plus a trailing axis that sums to 1.

    Source: SoftSort, arXiv 2006.16038, equation 3, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.argmax(torch.tensor([0.0, 3.0, 1.0]), softness=0.2)
        tensor([0.0554, 0.8096, 0.1350])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("argmax", return_log_probs, log_prob_eps)
    return one_index("argmax", Largest(), x, dim, keepdim, options, form)


def argmin(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> Tensor:
    """Soft torch.argmin: how likely each entry is to be the smallest.

    The index is relaxed to a distribution over the entries; it tends to one-hot as softness -> 0.

    Returns:
        A SoftIndex, (..., [n]): torch's shape plus a trailing axis that sums to 1.

    Source: SoftSort, arXiv 2006.16038, equation 3, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.argmin(torch.tensor([0.0, 3.0, 1.0]), softness=0.05, mode="c0")
        tensor([1., 0., 0.])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("argmin", return_log_probs, log_prob_eps)
    return one_index("argmin", Smallest(), x, dim, keepdim, options, form)


def max(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
    *,
    return_indices: bool = True,
) -> Tensor | ValuesAndIndices:
    """Soft torch.max along a dim: an average of the entries, weighted towards the largest.

    The choice of the entry is relaxed; the value tends to the maximum as softness -> 0.

    Args:
        dim: the axis of length n; None takes all entries of x as one axis and returns the value alone.

    Returns:
        With dim a pair: values (...) and a SoftIndex (..., [n]), None from methods that pair no index. Without dim the
        value alone, 0-dim.

    Source: SoftSort, arXiv 2006.16038, equation 3, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.max(torch.tensor([0.0, 3.0, 1.0]), softness=0.2)
        tensor(2.5638)
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("max", return_log_probs, log_prob_eps, return_indices)
    return one_value("max", Largest(), x, dim, keepdim, options, gated_grad, form)


def min(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
    *,
    return_indices: bool = True,
) -> Tensor | ValuesAndIndices:
    """Soft torch.min along a dim: an average of the entries, weighted towards the smallest.

    The choice of the entry is relaxed; the value tends to the minimum as softness -> 0.

    Args:
        dim: the axis of length n; None takes all entries of x as one axis and returns the value alone.

    Returns:
        With dim a pair: values (...) and a SoftIndex (..., [n]), None from methods that pair no index. Without dim the
        value alone, 0-dim.

    Source: SoftSort, arXiv 2006.16038, equation 3, for the default method.

    Example:
        >>> import torch, softtorch
        >>> values, index = softtorch.min(torch.tensor([[0.0, 3.0, 1.0]]), dim=1, mode="c0")
        >>> values
        tensor([0.])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("min", return_log_probs, log_prob_eps, return_indices)
    return one_value("min", Smallest(), x, dim, keepdim, options, gated_grad, form)
