"""laplace_quantile: the inverse of a smooth distribution function, which is not a weighted mean of the entries."""

import torch
from torch import Tensor

from softtorch.checks import per_row
from softtorch.errors import OptionError, message
from softtorch.methods.lapsum import LapSum
from softtorch.operators.axiswise.call import Options, open_call


def laplace_quantile(
    x: Tensor, q: Tensor | float, dim: int | None = None, keepdim: bool = False, softness: Tensor | float = 0.1
) -> Tensor:
    """The point below which lies a share q of the entries, each blurred by a Laplace distribution.

    The entries' distribution function is smoothed, and inverted; it tends to an order statistic next to torch.quantile
    as softness -> 0, and moves with q all the same. Where softness is large it leaves the range of the entries, unlike
    `quantile(method="lapsum")`.

    Args:
        q: in (0, 1), a number or a tensor that broadcasts to the batch (x's shape without dim); gradients reach it.
        softness: scale of the Laplace distributions, in units of x; a positive number, or a floating tensor, 0-dim or
            broadcastable to the batch (x's shape without dim).

    Returns:
        The quantile, x's shape without dim; infinite entries of x do not count.

    Raises:
        ShapeError: there is nothing along dim, or q does not broadcast.
        DimensionError: no such dim.
        OptionError: q or softness is no such number.

    Source: LapSum, arXiv 2503.06242.

    Example:
        >>> import torch, softtorch
        >>> softtorch.laplace_quantile(torch.tensor([0.0, 3.0, 1.0]), 0.5, softness=0.5)
        tensor(1.0534)
    """
    options = Options(softness, "smooth", "lapsum", standardize=False)
    call = open_call("laplace_quantile", x, dim, "values", options)
    if isinstance(q, Tensor):
        if not q.is_floating_point():
            raise OptionError(message("laplace_quantile", f"q has dtype {q.dtype}", "Use a floating dtype"))
        q = per_row("laplace_quantile", "q", q, tuple(call.keys.raw.shape[:-1]))
    elif not isinstance(q, int | float | torch.SymFloat) or isinstance(q, bool) or not 0 < q < 1:
        remedy = "For the ends use min and max"
        raise OptionError(message("laplace_quantile", f"q={q!r} is not between 0 and 1", "Use 0 < q < 1", remedy))
    return call.reduced(LapSum().crossing(call.keys, q), keepdim)
