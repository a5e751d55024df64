"""argsort, sort, topk, kthvalue and rank: the order along a dim.

What they share is in shapes.py; the soft top-k mask is in membership.py.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.checks import resolve_dim
from softtorch.errors import OptionError, ShapeError, message, of_type
from softtorch.methods import Method
from softtorch.methods.positions import Every, Highest, Kth, Lowest
from softtorch.modes import Mode
from softtorch.operators.axiswise.call import Options, open_call
from softtorch.operators.axiswise.results import ValuesAndIndices, index_form
from softtorch.operators.axiswise.shapes import many_indices, many_values, one_value


def argsort(
    x: Tensor,
    dim: int = -1,
    descending: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
    *,
    stable: bool = False,
) -> Tensor:
    """Soft torch.argsort: for each place of the sorted order, how likely each entry is to be there.

    The permutation is relaxed to a row-stochastic matrix; it tends to the permutation matrix as softness -> 0.

    Returns:
        A SoftIndex, (..., n, ..., [n]): torch's shape plus a trailing axis that sums to 1.

    Source: NeuralSort, arXiv 1903.08850, equation 5, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.argsort(torch.tensor([2.0, 0.0]), mode="c0")
        tensor([[0., 1.],
                [1., 0.]])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("argsort", return_log_probs, log_prob_eps)
    return many_indices("argsort", Every(descending, stable), x, dim, options, form)


def sort(
    x: Tensor,
    dim: int = -1,
    descending: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_indices: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
    *,
    stable: bool = False,
) -> ValuesAndIndices:
    """Soft torch.sort: sorted values as averages of the entries, and the weights of each average.

    The permutation is relaxed; values and index tend to torch's as softness -> 0.

    Returns:
        A pair: values (..., n, ...) and a SoftIndex (..., n, ..., [n]), None from methods that pair no index.

    Source: NeuralSort, arXiv 1903.08850, equation 5, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.sort(torch.tensor([2.0, 0.0, 1.0]), softness=0.05).values
        tensor([0.0044, 1.0000, 1.9956])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("sort", return_log_probs, log_prob_eps, return_indices)
    return many_values("sort", Every(descending, stable), x, dim, options, gated_grad, form)


def topk(
    x: Tensor,
    k: int,
    dim: int | None = None,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_indices: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
    *,
    largest: bool = True,
) -> ValuesAndIndices:
    """Soft torch.topk: the k largest values in falling order, and where each of them came from.

    The choice of the entries is relaxed; values and index tend to torch's as softness -> 0.

    Args:
        k: how many, at most n.
        dim: the axis of length n; None means the last, as in torch.
        largest: False takes the k smallest, in rising order.

    Returns:
        A pair: values (..., k, ...) and a SoftIndex (..., k, ..., [n]), None from methods that pair no index.

    Raises:
        ShapeError: k is not within 1 .. n.

    Source: NeuralSort, arXiv 1903.08850, section 4, for the default method.

    Example:
        >>> import torch, softtorch
        >>> values, index = softtorch.topk(torch.tensor([[2.0, 0.0, 1.0]]), 2, dim=1, mode="c0")
        >>> values.shape, index.shape
        (torch.Size([1, 2]), torch.Size([1, 2, 3]))
    """
    dim = -1 if dim is None else dim
    check_k("topk", k, dim, x)
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("topk", return_log_probs, log_prob_eps, return_indices)
    positions = Highest(k) if largest else Lowest(k)
    return many_values("topk", positions, x, dim, options, gated_grad, form)


def kthvalue(
    x: Tensor,
    k: int,
    dim: int = -1,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_indices: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> ValuesAndIndices:
    """Soft torch.kthvalue: the k-th smallest value along a dim, and where it came from.

    The choice of the entry is relaxed; value and index tend to torch's as softness -> 0.

    Args:
        k: which one, 1 for the smallest, n for the largest.

    Returns:
        A pair: values (...) and a SoftIndex (..., [n]), None from methods that pair no index.

    Raises:
        ShapeError: k is not within 1 .. n.

    Source: NeuralSort, arXiv 1903.08850, equation 5, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.kthvalue(torch.tensor([2.0, 0.0, 1.0]), 2, softness=0.05).values
        tensor(1.)
    """
    check_k("kthvalue", k, dim, x)
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("kthvalue", return_log_probs, log_prob_eps, return_indices)
    pair = one_value("kthvalue", Kth(k), x, dim, keepdim, options, gated_grad, form)
    assert isinstance(pair, ValuesAndIndices)  # dim is given, so it is a pair
    return pair


def rank(
    x: Tensor,
    dim: int | None = None,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    descending: bool = True,
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
) -> Tensor:
    """Soft ranks, 1 .. n: the place that each entry has in the sorted order.

    The place is relaxed to the mean of a distribution over places; it tends to the exact rank as softness -> 0.

    Args:
        dim: the axis of length n; None ranks all entries of x together, as one axis.
        descending: the largest entry has rank 1; otherwise the smallest.

    Returns:
        Ranks, shaped like x; where dim is None, like x.reshape(-1).

    Source: NeuralSort, arXiv 1903.08850, section 6.1 (the mean place), for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.rank(torch.tensor([2.0, 0.0, 1.0]), softness=0.01)
        tensor([1., 3., 2.])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    call = open_call("rank", x, dim, "rank", options, reduces=False)
    return call.spread(call.method.rank(call.keys, descending))


def check_k(where: str, k: int, dim: int, x: Tensor) -> None:
    """k entries are to be found along dim of x, any shape. k=0 is legal where torch takes it: nothing is chosen."""
    if not isinstance(k, int | torch.SymInt) or isinstance(k, bool):
        raise OptionError(message(where, of_type("k", k), "Use an integer"))
    n = x.shape[resolve_dim(where, dim, x)] if x.ndim else 1
    if 1 <= k <= n or (k == 0 and where == "topk"):
        return
    size = f"larger than the {n} elements along dim={dim} of input {tuple(x.shape)}"
    wrong = f"k={k} is {size if k > n else 'not positive'}"
    raise ShapeError(message(where, wrong, f"Use 1 <= k <= {n}"))
