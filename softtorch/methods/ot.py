"""Sorting by optimal transport (arXiv 1905.11885, 2002.06504 for top-k) with an entropic or a p-norm regularizer.

Entries are carried to evenly spaced anchors, one for each place asked for and one for each gap between such places
(columns.py). The plan and its derivative are in kernels/transport.py.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from softtorch.kernels import transport
from softtorch.kernels.numeric.promotion import as_tensor
from softtorch.kernels.sorted_line.scan import accumulated
from softtorch.methods.base import Method, settled
from softtorch.methods.columns import columns_for
from softtorch.methods.contract import YES, Contract, Cost
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Positions
from softtorch.methods.scaled import count_like, wide_softness

OT_KWARGS = {"sinkhorn_max_iter": "max_steps", "sinkhorn_tol": "tolerance"}
"""SoftTorch's `ot_kwargs`, and the option of OptimalTransport that each is."""


@dataclass(frozen=True)
class OptimalTransport(Method):
    """Soft indices as columns of a transport plan.

    The plan has a column for each place asked for and one for each gap between them; a rank asks for all places.

    Args:
        max_steps: the solver, damped Newton steps in every mode, stops after so many.
        tolerance: it stops before where the columns have their masses to this part of an entry's mass.
    """

    max_steps: int = transport.MAX_STEPS
    tolerance: float = transport.TOLERANCE

    name = "ot"
    has_mask = True
    contract = Contract(
        smoothness="the mode's",
        time=Cost("n k^2 + k^3 a step"),
        memory=Cost("k n"),
        source="arXiv 1905.11885",
        doubly_stochastic=YES,
        keeps_sum=YES,
        keeps_rank_sum=YES,
    )

    def with_ot_kwargs(self, ot_kwargs: dict[str, Any] | None) -> "OptimalTransport":
        return replace(self, **{OT_KWARGS[name]: value for name, value in ot_kwargs.items()}) if ot_kwargs else self

    def rows(self, keys: Keys, positions: Positions) -> Tensor:
        columns = columns_for(positions, keys.n, keys.raw.device).beside(keys.raw)
        first, last = keys.below, keys.n - keys.above  # the places of finite entries, (..., 1) each
        mass = (torch.minimum(columns.end, last) - torch.maximum(columns.start, first)).clamp(min=0)
        plan = self._plan(keys, accumulated(mass), (mass > 0) | columns.stays)
        rows = positions.picked(plan).mT if positions.complete else columns.asked(plan)
        rows = rows.to(keys.raw.dtype)
        return settled(rows, keys, positions)

    def mask(self, keys: Keys, k: Tensor | float) -> Tensor:
        x = accumulated(keys.compared)
        below, finite = keys.below, keys.n - keys.below - keys.above
        chosen = count_like(k, x) - keys.above
        # Infinite entries are in or out before any finite one, and share evenly where there are too many.
        inside = torch.minimum(chosen.clamp(min=0.0), finite.to(x.dtype))
        high = 1.0 + chosen.clamp(max=0.0) / keys.above.clamp(min=1)
        low = (chosen - finite).clamp(min=0.0) / below.clamp(min=1)
        mass = torch.cat([finite - inside, inside], dim=-1)
        member = self._plan(keys, mass, mass > 0)[..., 1]
        member = torch.where(keys.level == 0, member, torch.where(keys.level > 0, high, low))
        return member.to(keys.raw.dtype)

    def _plan(self, keys: Keys, mass: Tensor, there: Tensor) -> Tensor:
        """The plan (..., n, [m]) to columns of masses (..., m), with evenly spaced anchors for those that are there.

        Axes in front of the batch are those of separate plans for the same entries.
        """
        x = accumulated(keys.compared)
        x = x.expand(*mass.shape[:-1], x.shape[-1])
        place = there.cumsum(dim=-1) - 1
        anchors = place.clamp(min=0).to(x.dtype) / (there.sum(dim=-1, keepdim=True) - 1).clamp(min=1)
        softness = as_tensor(wide_softness(keys), x.dtype, x.device)
        present = (keys.level == 0).to(x.dtype).expand(x.shape)
        columns = transport.Columns(anchors, mass)
        return transport.plan(x, present, columns, softness, keys.mode.power, self.max_steps, self.tolerance)
