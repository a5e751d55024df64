"""argmedian and median: the lower median, as in torch."""

from typing import Any

from torch import Tensor

from softtorch.methods import Method
from softtorch.methods.positions import Median
from softtorch.modes import Mode
from softtorch.operators.axiswise.call import Options
from softtorch.operators.axiswise.results import ValuesAndIndices, index_form
from softtorch.operators.axiswise.shapes import one_index, one_value


def argmedian(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> Tensor:
    """Soft index of the median: how likely each entry is to be it, the lower one where n is even.

    The index is relaxed to a distribution over the entries; it tends to one-hot as softness -> 0.

    Returns:
        A SoftIndex, (..., [n]).

    Source: NeuralSort, arXiv 1903.08850, equation 5, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.argmedian(torch.tensor([2.0, 0.0, 1.0]), mode="c0")
        tensor([0., 0., 1.])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("argmedian", return_log_probs, log_prob_eps)
    return one_index("argmedian", Median(), x, dim, keepdim, options, form)


def median(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
    *,
    return_indices: bool = True,
) -> Tensor | ValuesAndIndices:
    """Soft torch.median along a dim: the lower median where n is even.

    The choice of the entry is relaxed; the value tends to the median as softness -> 0.

    Args:
        dim: the axis of length n; None takes all entries of x as one axis and returns the value alone.

    Returns:
        With dim a pair: values (...) and a SoftIndex (..., [n]), None from methods that pair no index. Without dim the
        value alone, 0-dim.

    Source: NeuralSort, arXiv 1903.08850, equation 5, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.median(torch.tensor([3.0, 0.0, 1.0]), mode="c0")
        tensor(1.)
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("median", return_log_probs, log_prob_eps, return_indices)
    return one_value("median", Median(), x, dim, keepdim, options, gated_grad, form)
