"""The method of mode="hard": torch's own values, and one-hot rows at torch's own indices."""

import math

import torch
from torch import Tensor

from softtorch.kernels.numeric.host import agreed, readable
from softtorch.kernels.numeric.precision import computing_dtype
from softtorch.methods.base import Method, Selection
from softtorch.methods.contract import YES, Contract, Cost, Except
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Every, Positions
from softtorch.modes import Mode


class Hard(Method):
    """The exact order statistics."""

    name = "hard"
    has_mask = True
    contract = Contract(
        smoothness="values C^0, the rest steps",
        time=Cost("n log n", (Except("k n", ("indices",)),)),
        memory=Cost("n", (Except("k n", ("indices",)),)),
        source="torch",
        doubly_stochastic=YES,
        keeps_sum=YES,
        keeps_rank_sum=YES,
        monotone=YES,
        sparse=YES,
        ties="fall as in the torch function of each kind of Positions",
    )

    def prepare(self, x: Tensor, softness: Tensor | float, mode: Mode, standardize: bool) -> Keys:
        return Keys(x, x, None, softness, mode)

    def rows(self, keys: Keys, positions: Positions) -> Tensor:
        return one_hot(positions.exact(keys.raw.detach())[1], keys.raw)

    def values(self, keys: Keys, positions: Positions, gated_grad: bool = True) -> Tensor:
        return positions.exact(keys.raw)[0]

    def select(self, keys: Keys, positions: Positions, gated_grad: bool, with_rows: bool) -> Selection:
        values, index = positions.exact(keys.raw)
        return Selection(values, one_hot(index, keys.raw) if with_rows else None)

    def rank(self, keys: Keys, descending: bool) -> Tensor:
        order = Every(descending, stable=True).exact(keys.raw.detach())[1]
        return (order.argsort(dim=-1) + 1).to(computing_dtype(keys.raw.dtype))

    def mask(self, keys: Keys, k: Tensor | float) -> Tensor:
        if isinstance(k, int | float):
            return _counted_mask(keys.raw.detach(), k)
        places = self.rank(keys, descending=True)
        return (k + 1 - places).clamp(0.0, 1.0)


def _counted_mask(x: Tensor, k: float) -> Tensor:
    """1 for the k largest of x, (..., [n]), without sorting them; of equal entries at the border the first ones.

    A NaN is larger than any number, as in torch.sort. What k has after the point goes to the next entry.
    """
    if x.dtype.is_floating_point:
        x = x.masked_fill(x.isnan(), torch.inf)
    count = math.ceil(k)
    if count == 0:
        return torch.zeros_like(x, dtype=computing_dtype(x.dtype))
    border = x.topk(count, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
    reached = x >= border
    if readable(x) and agreed(reached.sum(dim=-1) == k):  # no entry beside the k is as large as the least of them
        return reached.to(computing_dtype(x.dtype))
    above, equal = x > border, x == border
    left = k - above.sum(dim=-1, keepdim=True) - equal.cumsum(dim=-1) + 1
    return above + (left.clamp(0.0, 1.0) * equal).to(computing_dtype(x.dtype))


def one_hot(index: Tensor, like: Tensor) -> Tensor:
    """Indices (..., k) into n entries of `like`, (..., [n]), as one-hot rows (..., k, [n])."""
    places = torch.arange(like.shape[-1], device=like.device)
    return (index.unsqueeze(-1) == places).to(computing_dtype(like.dtype))
