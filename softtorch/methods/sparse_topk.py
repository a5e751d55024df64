"""Sparse top-k masks (Sander et al., arXiv 2302.01425): the projection onto {0 <= y <= 1, sum y = k}.

y_i = min(1, ((x_i - threshold)_+ / softness)^r), r = 1, 2, 3 in the modes c0, c1, c2: exact zeros and ones. The
projection itself is in kernels/capped_simplex.py.
"""

from torch import Tensor

from softtorch.kernels.capped_simplex import capped_project
from softtorch.methods.base import Method
from softtorch.methods.contract import YES, Contract, Cost
from softtorch.methods.keys import Keys
from softtorch.methods.scaled import count_like, scaled


class SparseTopK(Method):
    """Top-k membership with exact zeros and ones; it has no order statistics.

    The derivative jumps where an entry reaches 1, and in mode c0 where it reaches 0. Infinite entries are in or out
    before any finite one.
    """

    name = "sparse_topk"
    modes = ("c0", "c1", "c2")
    has_values = False
    has_rows = False
    has_rank = False
    has_mask = True
    contract = Contract(
        smoothness="C^0",
        time=Cost("n log n"),
        memory=Cost("n"),
        source="arXiv 2302.01425",
        sparse=YES,
    )

    def mask(self, keys: Keys, k: Tensor | float) -> Tensor:
        y = scaled(keys)
        return capped_project(y, count_like(k, y), keys.mode.power).to(keys.raw.dtype)
