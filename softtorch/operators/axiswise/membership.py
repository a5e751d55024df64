"""topk_mask: soft membership in the k largest. The relaxations are methods with `has_mask`."""

from typing import Any

import torch
from torch import Tensor

from softtorch.checks import per_row
from softtorch.errors import OptionError, ShapeError, message, of_type
from softtorch.methods import Method
from softtorch.modes import Mode
from softtorch.operators.axiswise.call import Options, open_call


def topk_mask(
    x: Tensor,
    k: Tensor | float,
    dim: int = -1,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "lapsum",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
) -> Tensor:
    """Soft membership of each entry in the k largest, with sum exactly k.

    Membership is relaxed to [0, 1]; it tends to the mask of torch.topk as softness -> 0. k itself may be a real number,
    and learnable.

    Args:
        k: how many, between 0 and n: a number, or a tensor that broadcasts to the batch (x's shape without dim).
        dim: the axis of length n, or None for all entries of x as one axis.
        method: "lapsum" in mode "smooth", "sparse_topk" (exact zeros and ones) in the others, "ot" in any.

    Returns:
        A SoftBool in [0, 1], shaped like x, that sums to k along dim.

    Raises:
        ShapeError: k is not within 0 .. n, or does not broadcast.

    Source: LapSum, arXiv 2503.06242; sparse top-k, arXiv 2302.01425.

    Example:
        >>> import torch, softtorch
        >>> softtorch.topk_mask(torch.tensor([2.0, 0.0, 1.0]), 1, mode="hard")
        tensor([1., 0., 0.])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    call = open_call("topk_mask", x, dim, "mask", options, reduces=False)
    k = _checked_k(k, call.keys.n, tuple(call.keys.raw.shape[:-1]), f"dim={dim} of input {tuple(x.shape)}")
    return call.spread(call.method.mask(call.keys, k))


def _checked_k(k: Tensor | float, n: int, batch: tuple[int, ...], along: str) -> Tensor | float:
    """k as a number, a 0-dim tensor or a tensor (..., [1])."""
    if isinstance(k, Tensor):
        return per_row("topk_mask", "k", k, batch)
    if not isinstance(k, int | float | torch.SymInt | torch.SymFloat) or isinstance(k, bool):
        raise OptionError(message("topk_mask", of_type("k", k), "Use a number or a tensor"))
    if not 0 <= k <= n:
        wrong = f"larger than the {n} elements along {along}" if k > n else "not a number from 0 up"
        raise ShapeError(message("topk_mask", f"k={k} is {wrong}", f"Use 0 <= k <= {n}"))
    return k
