"""Optimal transport from the entries of a row to ordered anchors, with an exponential or a power link.

Every row of the plan is a projection onto the simplex of (g - cost) / scale, so the column potentials g are the only
unknowns. They are found by damped Newton steps inside one opaque operator (the number of steps depends on the data);
what it returns is then differentiated through the optimality conditions. For n entries and m columns it costs O(n m)
memory and O(n m^2 + m^3) time a step. To add a link: its projection, its objective and its derivative, below.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.kernels import simplex
from softtorch.kernels.numeric import host
from softtorch.kernels.numeric.sizes import doublings
from softtorch.kernels.numeric.tracing import plain_operators, plain_operators_needed
from softtorch.torch_private import Function

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
    """The columns that mass may go to, (..., m) each; a column of mass 0 is as good as absent."""

    anchors: Tensor
    """Places in rising order; the cost is the squared distance to them."""
    mass: Tensor
    """How many entries each takes, real numbers that sum to the number of present entries."""


def plan(
    x: Tensor,
    present: Tensor,
    columns: Columns,
    softness: Tensor,
    power: int,
    max_steps: int | None = None,
    tolerance: float | None = None,
) -> Tensor:
    """The transport plan (..., n, [m]): rows of present entries sum to 1, columns to their mass.

    Args:
        x: entries (..., n), one unit of mass each.
        present: 1 for entries that take part, 0 for others, whose rows are 0; (..., n).
        columns: anchors and masses.
        softness: strength of the regularizer, broadcastable to (..., 1); gradients reach it.
        power: 0 for the exponential link, else the power p of (f + g - C)_+^p, one of 1, 2, 3.
        max_steps: the solver stops after so many steps; MAX_STEPS by default.
        tolerance: it stops where column sums are met to this part of an entry's mass; TOLERANCE by default.
    """
    stop = (MAX_STEPS if max_steps is None else max_steps, TOLERANCE if tolerance is None else tolerance)
    batch = x.shape[:-1]
    scale = (softness * _spread(present, power)).expand(*batch, 1).unsqueeze(-1)
    anchors, mass = (part.expand(*batch, part.shape[-1]) for part in columns)
    present = present.expand(x.shape)
    if plain_operators_needed():
        fixed = (part.detach() for part in (x, anchors, mass, scale, present))
        return _composite(x, anchors, mass, scale, present, power, _Solved(*_potentials(*fixed, power, *stop)))
    result: Tensor = _Plan.apply(x, anchors, mass, scale, present, power, *stop)[0]
    return result  # torch has no types there


class _Solved(NamedTuple):
    """The result of the solver; constants."""

    plan: Tensor
    """(..., n, m)"""
    g: Tensor
    """potentials (..., 1, m)"""
    root: Tensor
    """Cholesky factor (..., m, m) of the derivative of column sums by potentials / scale, made invertible"""


def _composite(
    x: Tensor, anchors: Tensor, mass: Tensor, scale: Tensor, present: Tensor, power: int, solved: _Solved
) -> Tensor:
    """The plan (..., n, m), differentiable twice by the first four: (..., n), (..., m), (..., m), (..., 1, 1)."""
    cost = _cost(x.unsqueeze(-1), anchors.unsqueeze(-2))
    apart = (mass.unsqueeze(-2) <= 0) | ~_links(solved.plan, power)

    def rows(g: Tensor) -> Tensor:
        # Masked behind the division: an infinite numerator would make the derivative by scale inf * 0.
        return present.unsqueeze(-1) * _project(((g - cost) / scale).masked_fill(apart, -torch.inf), power)

    g = solved.g
    # A step of Newton's method at the solution moves nothing; each carries one derivative of the implicit function.
    for _ in range(2):
        excess = rows(g).sum(dim=-2) - mass
        step = torch.cholesky_solve((excess - excess.detach()).unsqueeze(-1), solved.root)
        g = g - scale * step.mT
    return rows(g)


class _Plan(Function):
    """`_composite`, whose backward needs the plan that was found and solves one system for each row of the batch.

    Beside the plan it gives what else was found.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor,
        anchors: Tensor,
        mass: Tensor,
        scale: Tensor,
        present: Tensor,
        power: int,
        max_steps: int,
        tolerance: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        found: tuple[Tensor, Tensor, Tensor] = _potentials(
            x, anchors, mass, scale, present, power, max_steps, tolerance
        )
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *operands, ctx.power, _, _ = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*operands, *output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, anchors, mass, scale, present, *found = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return *_slopes(x, anchors, scale, grad, ctx.power, _Solved(*found)), None, None, None, None

        def value(x: Tensor, anchors: Tensor, mass: Tensor, scale: Tensor) -> Tensor:
            return _composite(x, anchors, mass, scale, present, ctx.power, _Solved(*(part.detach() for part in found)))

        with plain_operators():  # a second derivative may be asked for
            return *torch.func.vjp(value, x, anchors, mass, scale)[1](grad), None, None, None, None


def _slopes(
    x: Tensor, anchors: Tensor, scale: Tensor, grad: Tensor, power: int, solved: _Solved
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derivatives of the sum of grad times the plan, (..., n, m), by x, anchors, mass and scale, in their shapes."""
    x, anchors = x.unsqueeze(-1), anchors.unsqueeze(-1)
    weight = _weights(solved.plan, power)
    whole = weight.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    shared = weight * grad
    mean = shared.sum(dim=-1, keepdim=True) / whole
    by_mass = torch.cholesky_solve(shared.sum(dim=-2).unsqueeze(-1) - weight.mT @ mean, solved.root)  # (..., m, 1)
    # By the scores, potentials following so that columns keep their masses; the sum of every row is 0.
    by_scores = torch.addcmul(shared, weight, by_mass.mT + (mean - weight @ by_mass / whole), value=-1.0)
    met, column = by_scores @ anchors, by_scores.sum(dim=-2).unsqueeze(-1)
    by_anchors = (by_scores.mT @ x - anchors * column) * (2.0 / scale)
    by_scale = ((anchors.square() * column).sum(dim=-2, keepdim=True) - 2.0 * (x.mT @ met)) / scale.square()
    return (met * (2.0 / scale)).squeeze(-1), by_anchors.squeeze(-1), by_mass.squeeze(-1), by_scale


def _cost(x: Tensor, anchors: Tensor) -> Tensor:
    """(x - anchors)^2, broadcast, but for x^2.

    That is the same for a whole row of the plan, which does not depend on it, and would round away what does where
    entries are large.
    """
    return anchors * (anchors - 2.0 * x)


def _weights(plan: Tensor, power: int) -> Tensor:
    """The link's derivative where it gives the plan, (..., n, m), over a row's sum of which it averages."""
    if power == 0:
        return plan
    return plan.sign() if power == 1 else plan.pow((power - 1) / power) * power


def _links(plan: Tensor, power: int) -> Tensor:
    """True for the entries of a plan (..., n, m) that count as more than 0.

    For p = 1 the derivative counts a share in full however small it is, and so shares that are rounding alone, where a
    solution lies at a kink.
    """
    return ~(plan <= LINKED) if power == 1 else torch.ones_like(plan, dtype=torch.bool)  # true of NaN, which stays


def _spread(present: Tensor, power: int) -> Tensor:
    """The factor on the softness, (..., 1), by which entries have mass 1 here and 1 / n in the published problem."""
    count = present.sum(dim=-1, keepdim=True).clamp(min=1.0)
    return torch.ones_like(count) if power == 0 else count.pow(-1.0 / power)


def _project(z: Tensor, power: int) -> Tensor:
    return torch.softmax(z, dim=-1) if power == 0 else simplex.project(z, power)


@torch.library.custom_op("softtorch::transport_potentials", mutates_args=())
def _potentials(
    x: Tensor,
    anchors: Tensor,
    mass: Tensor,
    scale: Tensor,
    present: Tensor,
    power: int,
    max_steps: int,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The solution, as in `_Solved`, for operands as of `_composite`."""
    batch, n, m = x.shape[:-1], x.shape[-1], anchors.shape[-1]
    x, present = x.reshape(-1, n, 1), present.reshape(-1, n, 1)
    anchors, mass, scale = anchors.reshape(-1, 1, m), mass.reshape(-1, 1, m), scale.reshape(-1, 1, 1)
    cost = _cost(x, anchors).div_(scale)
    if not host.agreed(mass > 0):
        cost = cost.masked_fill_(mass <= 0, torch.inf)
    problem = _Dual(x, present, anchors, mass, scale, power, host.agreed(present > 0), cost)
    g, plan = _solve(problem, problem.hard_potentials(), max_steps, tolerance)
    if power == 1:  # without what is rounding alone
        plan = problem._replace(cost=cost.masked_fill_(~_links(plan, power), torch.inf)).plan(g)
    root = torch.linalg.cholesky_ex(problem.regular(problem.derivative(plan))).L
    # Factors may come columns first; what the fake operator promises is rows first.
    return plan.reshape(*batch, n, m), g.reshape(*batch, 1, m).contiguous(), root.reshape(*batch, m, m).contiguous()


@_potentials.register_fake
def _(
    x: Tensor,
    anchors: Tensor,
    mass: Tensor,
    scale: Tensor,
    present: Tensor,
    power: int,
    max_steps: int,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, n, m = x.shape[:-1], x.shape[-1], anchors.shape[-1]
    return x.new_empty(*batch, n, m), x.new_empty(*batch, 1, m), x.new_empty(*batch, m, m)


@_potentials.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], *args: Any
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, int]]:
    moved = (
        part.expand(info.batch_size, *part.shape) if dim is None else part.movedim(dim, 0)
        for part, dim in zip(args[:5], in_dims, strict=False)
    )
    return _potentials(*moved, *args[5:]), (0, 0, 0)


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
    """(rows, n, m) as of `_cost`, over the scale, infinite for closed columns"""

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
        rise = (right - left) * (right + left - 2.0 * meeting)
        return torch.nn.functional.pad(rise.cumsum(dim=-1), (1, 0)).unsqueeze(-2)

    def plan(self, g: Tensor) -> Tensor:
        plan = _project(self.scores(g), self.power)
        return plan if self.whole else plan.mul_(self.present)

    def excess(self, plan: Tensor) -> Tensor:
        """The difference between column sums and masses, (rows, 1, m)."""
        return plan.sum(dim=-2, keepdim=True) - self.mass

    def objective(self, g: Tensor, plan: Tensor) -> Tensor:
        """The objective, which the potentials minimize, (rows, 1, 1); its derivative by g / scale is the excess."""
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
        weight = share = _weights(plan, self.power)
        if self.power > 0:  # else rows sum to 1, or are 0
            share = weight / weight.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(plan.dtype).tiny)
        result = torch.bmm(share.mT, weight).neg_()
        diagonal = result.diagonal(dim1=-2, dim2=-1).zero_()
        diagonal.copy_(-result.sum(dim=-1))
        return result

    def regular(self, derivative: Tensor) -> Tensor:
        """The derivative, (rows, m, m), made invertible.

        It has one null vector for every group of columns that share mass, a constant on the group, which changes
        nothing: adding the projection onto them settles it. A closed column is a group of its own.
        """
        m = derivative.shape[-1]
        together = derivative.abs() > LINKED
        together.diagonal(dim1=-2, dim2=-1).fill_(True)
        if host.agreed(together):
            return derivative + 1.0 / m
        group = together.to(derivative.dtype)
        for _ in range(doublings(m)):  # paths of length 1, 2, 4, ... until none can be longer
            group = (group @ group).clamp(max=1.0)
        return derivative + group / group.sum(dim=-1, keepdim=True)


def _solve(problem: _Dual, g: Tensor, max_steps: int, tolerance: float) -> tuple[Tensor, Tensor]:
    """Newton's method with a damping that follows the excess, so that it is quadratic near the solution.

    Returns the potentials and their plan.
    """
    plan = problem.plan(g)
    excess = problem.excess(plan)
    damping = torch.ones_like(excess[..., :1])
    value: Tensor | None = None  # the objective at g, where it is known
    for _ in range(max_steps if host.seen(g) else min(max_steps, UNSEEN_STEPS)):
        size = excess.abs().amax(dim=-1, keepdim=True)
        active = (size > tolerance) & (damping < 1e10)
        if host.agreed(~active):
            break
        matrix = problem.derivative(plan)
        # The least damping keeps columns that share no mass from being thrown far away by rounding.
        matrix.diagonal(dim1=-2, dim2=-1).add_((damping * size + 1e-14).squeeze(-1))
        trial = g - OVERSHOOT * problem.scale * torch.linalg.solve_ex(matrix, excess.mT).result.mT
        trial_plan = problem.plan(trial)
        trial_excess = problem.excess(trial_plan)
        # Near the solution the objective is flat to its rounding and the excess alone can tell; where it does the
        # objective need not be known.
        taken = active & (trial_excess.abs().amax(dim=-1, keepdim=True) < 0.5 * size)
        if not host.agreed(taken == active):
            value = problem.objective(g, plan) if value is None else value
            trial_value = problem.objective(trial, trial_plan)
            taken |= active & (trial_value < value)
            value = torch.where(taken, trial_value, value)
        else:
            value = None
        if host.agreed(taken):
            g, plan, excess = trial, trial_plan, trial_excess
        else:
            g, plan = torch.where(taken, trial, g), torch.where(taken, trial_plan, plan)
            excess = torch.where(taken, trial_excess, excess)
        damping = torch.where(taken, damping / 4.0, damping * 4.0)
    return g, plan
