"""Optimal transport from the entries of a row to ordered anchors, with an exponential or a power link.

Every row of the plan is a projection onto the simplex of (g - cost) / scale, so the column potentials g are the only
unknowns. They are found by damped Newton steps inside one opaque operator (the number of steps depends on the data);
what it returns is then differentiated through the optimality conditions. Costs O(n m) memory and O(m^3) time a step
for n entries and m columns.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels import simplex

# Column sums are met to this part of an entry's mass; below it the rounding of the sums themselves decides.
TOLERANCE = 1e-12
MAX_STEPS = 200


def plan(x: Tensor, anchors: Tensor, mass: Tensor, softness: Tensor, power: int) -> Tensor:
    """The transport plan (..., n, [m]): rows sum to 1, columns to `mass`.

    Args:
        x: entries (..., n), one unit of mass each; the cost to an anchor is the squared distance.
        anchors: places of the columns (m,), in rising order.
        mass: how many entries each column takes (m,), summing to n.
        softness: strength of the regularizer, broadcastable to (..., 1); gradients reach it.
        power: 0 for the exponential link, else the power p of (f + g - C)_+^p, one of 1, 2, 3.
    """
    cost = (x.unsqueeze(-1) - anchors).square()
    scale = softness.unsqueeze(-1) * (1.0 if power == 0 else x.shape[-1] ** (-1.0 / power))
    g, inverse = _potentials(x.detach(), anchors.detach(), mass, scale.detach(), power)
    # A step of Newton's method at the solution moves nothing; each carries one derivative of the implicit function.
    for _ in range(2):
        columns = _project((g - cost) / scale, power).sum(dim=-2, keepdim=True)
        g = g - scale * ((columns - columns.detach()) @ inverse)
    return _project((g - cost) / scale, power)


def _project(z: Tensor, power: int) -> Tensor:
    return torch.softmax(z, dim=-1) if power == 0 else simplex.project(z, power)


@torch.library.custom_op("softtorch::transport_potentials", mutates_args=())
def _potentials(x: Tensor, anchors: Tensor, mass: Tensor, scale: Tensor, power: int) -> tuple[Tensor, Tensor]:
    """Potentials (..., 1, m) and the inverse of the derivative (..., m, m) of column sums by potentials / scale."""
    n, m = x.shape[-1], anchors.shape[-1]
    rows = x.numel() // n
    scale = scale.expand(*x.shape[:-1], 1, 1).reshape(rows, 1, 1)
    problem = _Dual(x.reshape(rows, n, 1), anchors, mass, scale, power)
    g = _solve(problem, problem.hard_potentials())
    # The potentials are free up to a constant, which adding a constant matrix settles; the small multiple of the
    # identity answers for columns that share no mass, which do not move at all.
    derivative = problem.derivative(problem.plan(g))
    derivative = derivative + 1.0 / m + 1e-12 * torch.eye(m, dtype=x.dtype, device=x.device)
    return g.reshape(*x.shape[:-1], 1, m), torch.linalg.inv(derivative).reshape(*x.shape[:-1], m, m)


@_potentials.register_fake
def _(x: Tensor, anchors: Tensor, mass: Tensor, scale: Tensor, power: int) -> tuple[Tensor, Tensor]:
    m = anchors.shape[-1]
    return x.new_empty(*x.shape[:-1], 1, m), x.new_empty(*x.shape[:-1], m, m)


@_potentials.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], x: Tensor, anchors: Tensor, mass: Tensor, scale: Tensor, power: int
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    if in_dims[1] is not None or in_dims[2] is not None:
        raise NotImplementedError("transport: anchors and masses are one set for a whole batch, also under vmap.")
    dims = x.dim() - (in_dims[0] is not None)
    x = x.expand(info.batch_size, *x.shape) if in_dims[0] is None else x.movedim(in_dims[0], 0)
    if in_dims[3] is not None:
        scale = scale.movedim(in_dims[3], 0)
        scale = scale[(slice(None), *[None] * (dims + 2 - scale.dim()))]
    return _potentials(x, anchors, mass, scale, power), (0, 0)


class _Dual:
    """The convex dual problem of every row at once; potentials are (rows, 1, m), plans (rows, n, m)."""

    def __init__(self, x: Tensor, anchors: Tensor, mass: Tensor, scale: Tensor, power: int) -> None:
        self.x, self.anchors, self.mass, self.scale, self.power = x, anchors, mass, scale, power
        self.cost = (x - anchors).square()

    def hard_potentials(self) -> Tensor:
        """Potentials of the unregularized problem: anchors' cells meet halfway between the entries they part."""
        ordered = self.x.squeeze(-1).sort(dim=-1).values
        cut = self.mass.cumsum(dim=0)[:-1].round().long().clamp(1, max(ordered.shape[-1] - 1, 1))
        meeting = (ordered[:, cut - 1] + ordered[:, cut.clamp(max=ordered.shape[-1] - 1)]) / 2.0
        rise = (meeting - self.anchors[1:]).square() - (meeting - self.anchors[:-1]).square()
        return torch.nn.functional.pad(rise.cumsum(dim=-1), (1, 0)).unsqueeze(-2)

    def plan(self, g: Tensor) -> Tensor:
        return _project((g - self.cost) / self.scale, self.power)

    def excess(self, plan: Tensor) -> Tensor:
        """How far the columns are from their masses, (rows, 1, m)."""
        return plan.sum(dim=-2, keepdim=True) - self.mass

    def objective(self, g: Tensor, plan: Tensor) -> Tensor:
        """What the potentials minimize, (rows, 1, 1); its derivative by g / scale is the excess."""
        z = (g - self.cost) / self.scale
        if self.power == 0:
            value = torch.logsumexp(z, dim=-1)
        else:
            bend = self.power / (self.power + 1.0)
            value = (plan * z - bend * plan.pow(1.0 + 1.0 / self.power)).sum(dim=-1)
        return value.sum(dim=-1)[:, None, None] - (g / self.scale * self.mass).sum(dim=-1, keepdim=True)

    def derivative(self, plan: Tensor) -> Tensor:
        """Derivative of the excess by g / scale, (rows, m, m): a graph's Laplacian, summed without cancellation."""
        r = self.power
        weight = plan if r == 0 else torch.where(plan > 0, r * plan.pow((r - 1) / r), 0.0)
        shared = (weight / weight.sum(dim=-1, keepdim=True)).mT @ weight
        shared = shared - torch.diag_embed(shared.diagonal(dim1=-2, dim2=-1))
        return torch.diag_embed(shared.sum(dim=-1)) - shared


def _solve(problem: _Dual, g: Tensor) -> Tensor:
    """Newton's method with a damping that follows the excess, so that it is quadratic near the solution."""
    plan = problem.plan(g)
    excess, objective = problem.excess(plan), problem.objective(g, plan)
    damping = torch.ones_like(objective)
    identity = torch.eye(g.shape[-1], dtype=g.dtype, device=g.device)
    for _ in range(MAX_STEPS):
        size = excess.abs().amax(dim=-1, keepdim=True)
        active = (size > TOLERANCE) & (damping < 1e10)
        if not bool(active.any()):
            break
        # The least damping keeps columns that share no mass from being thrown far away by rounding.
        matrix = problem.derivative(plan) + (damping * size + 1e-14) * identity
        trial = g - problem.scale * torch.linalg.solve(matrix, excess.mT).mT
        trial_plan = problem.plan(trial)
        trial_excess, trial_objective = problem.excess(trial_plan), problem.objective(trial, trial_plan)
        # Near the solution the objective is flat to its rounding and the excess alone can tell.
        better = trial_excess.abs().amax(dim=-1, keepdim=True) < 0.5 * size
        taken = active & (better | (trial_objective < objective))
        g, plan = torch.where(taken, trial, g), torch.where(taken, trial_plan, plan)
        excess, objective = torch.where(taken, trial_excess, excess), torch.where(taken, trial_objective, objective)
        damping = torch.where(taken, damping / 4.0, damping * 4.0)
    return g
