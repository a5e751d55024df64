"""Optimal transport from the entries of a row to ordered anchors, with an exponential or a power link.

Every row of the plan is a projection onto the simplex of (g - cost) / scale, so the column potentials g are the only
unknowns. They are found by damped Newton steps inside one opaque operator (the number of steps depends on the data);
what it returns is then differentiated through the optimality conditions. Costs O(n m) memory and O(m^3) time a step
for n entries and m columns. To add a link: its projection, its objective and its derivative, below.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.kernels import host, simplex
from softtorch.kernels.sizes import doublings

# Column sums are met to this part of an entry's mass; below it the rounding of the sums themselves decides.
TOLERANCE = 1e-12
MAX_STEPS = 200
# How many are made on a device whose numbers are not looked at: beyond what the method was seen to need.
UNSEEN_STEPS = 100
# Where columns share no mass the solutions form an interval, and a step lands on its very end, a kink of the link's
# derivative for p = 1. A step longer by this part ends inside, and costs at most one step more elsewhere.
OVERSHOOT = 1.0 + 1e-6
# Columns that share less of an entry's mass count as sharing none: what they do to each other is of that size, while
# the inverse would have entries of its reciprocal and lose as many digits.
LINKED = 1e-10


class Columns(NamedTuple):
    """Where mass may go, (..., m) each; a column of mass 0 is as good as absent."""

    anchors: Tensor
    """Places in rising order; the cost is the squared distance to them."""
    mass: Tensor
    """How many entries each takes, real numbers that sum to the number of present entries."""


def plan(x: Tensor, present: Tensor, columns: Columns, softness: Tensor, power: int) -> Tensor:
    """The transport plan (..., n, [m]): rows of present entries sum to 1, columns to their mass.

    Args:
        x: entries (..., n), one unit of mass each.
        present: 1 for entries that take part, 0 for others, whose rows are 0; (..., n).
        columns: anchors and masses.
        softness: strength of the regularizer, broadcastable to (..., 1); gradients reach it.
        power: 0 for the exponential link, else the power p of (f + g - C)_+^p, one of 1, 2, 3.
    """
    cost = (x.unsqueeze(-1) - columns.anchors.unsqueeze(-2)).square()
    closed = columns.mass.unsqueeze(-2) <= 0
    scale = (softness * _spread(present, power)).unsqueeze(-1)

    def rows(g: Tensor, apart: Tensor) -> Tensor:
        # Masked behind the division: an infinite numerator would make the derivative by scale inf * 0.
        return present.unsqueeze(-1) * _project(((g - cost) / scale).masked_fill(apart, -torch.inf), power)

    g, inverse = _potentials(x.detach(), present, *(c.detach() for c in columns), scale.detach(), power)
    links = _links(rows(g, closed).detach(), power)
    # A step of Newton's method at the solution moves nothing; each carries one derivative of the implicit function.
    for _ in range(2):
        excess = rows(g, closed | ~links).sum(dim=-2, keepdim=True) - columns.mass.unsqueeze(-2)
        g = g - scale * ((excess - excess.detach()) @ inverse)
    return rows(g, closed | ~links)


def _links(plan: Tensor, power: int) -> Tensor:
    """Which entries of a plan (..., n, m) count as more than 0.

    For p = 1 the derivative counts a share in full however small it is, and so shares that are rounding alone, where
    a solution lies at a kink.
    """
    return ~(plan <= LINKED) if power == 1 else torch.ones_like(plan, dtype=torch.bool)  # true of NaN, which stays


def _spread(present: Tensor, power: int) -> Tensor:
    """What the link turns an entry's mass of 1 / n into, (..., 1): the softness is meant for total mass 1."""
    count = present.sum(dim=-1, keepdim=True).clamp(min=1.0)
    return torch.ones_like(count) if power == 0 else count.pow(-1.0 / power)


def _project(z: Tensor, power: int) -> Tensor:
    return torch.softmax(z, dim=-1) if power == 0 else simplex.project(z, power)


@torch.library.custom_op("softtorch::transport_potentials", mutates_args=())
def _potentials(
    x: Tensor, present: Tensor, anchors: Tensor, mass: Tensor, scale: Tensor, power: int
) -> tuple[Tensor, Tensor]:
    """Potentials (..., 1, m) and the inverse of the derivative (..., m, m) of column sums by potentials / scale."""
    batch, n, m = x.shape[:-1], x.shape[-1], anchors.shape[-1]
    rows = x.numel() // n
    x, present = x.reshape(rows, n, 1), present.expand(x.shape).reshape(rows, n, 1)
    anchors, mass = anchors.expand(*batch, m).reshape(rows, 1, m), mass.expand(*batch, m).reshape(rows, 1, m)
    scale = scale.expand(*batch, 1, 1).reshape(rows, 1, 1)
    cost = ((x - anchors).square_() / scale).masked_fill_(mass <= 0, torch.inf)
    problem = _Dual(x, present, anchors, mass, scale, power, host.agreed(present > 0), cost)
    g = _solve(problem, problem.hard_potentials())
    settled = problem.plan(g)
    settled = torch.where(_links(settled, power), settled, 0.0)
    inverse: Tensor = torch.linalg.inv_ex(problem.regular(problem.derivative(settled))).inverse
    # inv_ex may give columns first; what the fake operator promises is rows first.
    return g.reshape(*batch, 1, m).contiguous(), inverse.reshape(*batch, m, m).contiguous()


@_potentials.register_fake
def _(x: Tensor, present: Tensor, anchors: Tensor, mass: Tensor, scale: Tensor, power: int) -> tuple[Tensor, Tensor]:
    batch, m = x.shape[:-1], anchors.shape[-1]
    return x.new_empty(*batch, 1, m), x.new_empty(*batch, m, m)


@_potentials.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    tensors, power = args[:-1], args[-1]
    own = (1, 1, 1, 1, 2)  # axes of each tensor that are not batch axes
    depth = max(t.dim() - (d is not None) - k for t, d, k in zip(tensors, in_dims, own, strict=False))
    moved = []
    for t, d, k in zip(tensors, in_dims, own, strict=False):
        t = t.unsqueeze(0) if d is None else t.movedim(d, 0)
        moved.append(t.reshape(t.shape[0], *[1] * (depth + k + 1 - t.dim()), *t.shape[1:]))
    x = moved[0].expand(info.batch_size, *moved[0].shape[1:])
    return _potentials(x, *moved[1:], power), (0, 0)


class _Dual(NamedTuple):
    """The convex dual problem of every row at once; potentials are (rows, 1, m), plans (rows, n, m)."""

    x: Tensor
    """(rows, n, 1)"""
    present: Tensor
    """(rows, n, 1)"""
    anchors: Tensor
    """(rows, 1, m)"""
    mass: Tensor
    """(rows, 1, m)"""
    scale: Tensor
    """(rows, 1, 1)"""
    power: int
    whole: bool
    """whether all entries are known to be present"""

    cost: Tensor
    """(rows, n, m) squared distances over the scale, infinite for closed columns"""

    def scores(self, g: Tensor) -> Tensor:
        return g / self.scale - self.cost

    def hard_potentials(self) -> Tensor:
        """Potentials of the unregularized problem: anchors' cells meet halfway between the entries they part."""
        absent_last = torch.where(self.present > 0, self.x, torch.inf).squeeze(-1)
        ordered = absent_last.sort(dim=-1).values
        last = (self.present.sum(dim=-2) - 1.0).clamp(min=0.0).long()  # (rows, 1)
        cut = self.mass.squeeze(-2).cumsum(dim=-1)[:, :-1].round().long()
        below, above = ordered.gather(-1, (cut - 1).clamp(min=0).minimum(last)), ordered.gather(-1, cut.minimum(last))
        meeting = (below + above) / 2.0
        left, right = self.anchors[:, 0, :-1], self.anchors[:, 0, 1:]
        rise = (meeting - right).square() - (meeting - left).square()
        return torch.nn.functional.pad(rise.cumsum(dim=-1), (1, 0)).unsqueeze(-2)

    def plan(self, g: Tensor) -> Tensor:
        plan = _project(self.scores(g), self.power)
        return plan if self.whole else plan.mul_(self.present)

    def excess(self, plan: Tensor) -> Tensor:
        """How far the columns are from their masses, (rows, 1, m)."""
        return plan.sum(dim=-2, keepdim=True) - self.mass

    def objective(self, g: Tensor, plan: Tensor) -> Tensor:
        """What the potentials minimize, (rows, 1, 1); its derivative by g / scale is the excess."""
        z = self.scores(g)
        if self.power == 0:
            value = self.present * torch.logsumexp(z, dim=-1, keepdim=True)
        else:
            bend = self.power / (self.power + 1.0)
            linear = plan * torch.where(plan > 0, z, 0.0)
            value = linear - bend * plan.pow(1.0 + 1.0 / self.power)
        return value.sum(dim=(-2, -1), keepdim=True) - (g / self.scale * self.mass).sum(dim=-1, keepdim=True)

    def derivative(self, plan: Tensor) -> Tensor:
        """Derivative of the excess by g / scale, (rows, m, m): a graph's Laplacian, summed without cancellation."""
        r = self.power
        if r == 0:
            shared = plan.mT @ plan  # rows of the plan sum to 1, or are 0
        else:
            weight = plan.sign() if r == 1 else plan.pow((r - 1) / r).mul_(r)
            whole = weight.sum(dim=-1, keepdim=True)
            shared = (weight / whole.clamp(min=torch.finfo(plan.dtype).tiny)).mT @ weight
        shared = shared - torch.diag_embed(shared.diagonal(dim1=-2, dim2=-1))
        return torch.diag_embed(shared.sum(dim=-1)) - shared

    def regular(self, derivative: Tensor) -> Tensor:
        """The derivative, (rows, m, m), made invertible.

        It has one null vector for every group of columns that share mass, a constant on the group, which changes
        nothing: adding the projection onto them settles it. A closed column is a group of its own.
        """
        m = derivative.shape[-1]
        apart = torch.eye(m, dtype=derivative.dtype, device=derivative.device)
        together = (-derivative > LINKED).to(derivative.dtype) + apart
        if host.agreed(together > 0):
            return derivative + 1.0 / m
        for _ in range(doublings(m)):  # paths of length 1, 2, 4, ... until none can be longer
            together = (together @ together).clamp(max=1.0)
        return derivative + together / together.sum(dim=-1, keepdim=True)


def _solve(problem: _Dual, g: Tensor) -> Tensor:
    """Newton's method with a damping that follows the excess, so that it is quadratic near the solution."""
    plan = problem.plan(g)
    excess = problem.excess(plan)
    damping = torch.ones_like(excess[..., :1])
    identity = torch.eye(g.shape[-1], dtype=g.dtype, device=g.device)
    for _ in range(MAX_STEPS if host.seen(g) else UNSEEN_STEPS):
        size = excess.abs().amax(dim=-1, keepdim=True)
        active = (size > TOLERANCE) & (damping < 1e10)
        if host.agreed(~active):
            break
        # The least damping keeps columns that share no mass from being thrown far away by rounding.
        matrix = problem.derivative(plan) + (damping * size + 1e-14) * identity
        trial = g - OVERSHOOT * problem.scale * torch.linalg.solve_ex(matrix, excess.mT).result.mT
        trial_plan = problem.plan(trial)
        trial_excess = problem.excess(trial_plan)
        # Near the solution the objective is flat to its rounding and the excess alone can tell; where it does the
        # objective need not be known.
        taken = active & (trial_excess.abs().amax(dim=-1, keepdim=True) < 0.5 * size)
        if not host.agreed(taken == active):
            taken |= active & (problem.objective(trial, trial_plan) < problem.objective(g, plan))
        if host.agreed(taken):
            g, plan, excess = trial, trial_plan, trial_excess
        else:
            g, plan = torch.where(taken, trial, g), torch.where(taken, trial_plan, plan)
            excess = torch.where(taken, trial_excess, excess)
        damping = torch.where(taken, damping / 4.0, damping * 4.0)
    return g
