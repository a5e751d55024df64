"""The infinitely differentiable projection onto the permutahedron: a barrier instead of faces, smoothed bounds.

Bounds on partial sums are t log e_k(exp(w / t)), e_k the elementary symmetric polynomials; slacks and gaps between
neighbours stay positive. The optimum of the convex dual is found by Newton's method inside one opaque operator and
differentiated through its optimality conditions. O(n^2) memory and O(n^3) time a step, like any dense solve.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.kernels.numeric import host
from softtorch.kernels.numeric.sizes import doublings

# A step whose Newton decrement was this small has squared an error of about 1e-9 already.
TOLERANCE = 1e-18
MAX_STEPS = 200
# How many are made on a device whose numbers are not looked at: beyond what the method was seen to need.
UNSEEN_STEPS = 30
_HALVINGS = 30
# Points and slacks are logarithms: by how much they may move in a step, or lie below 0 at the start.
_LONGEST = 10.0


def log_symmetric(x: Tensor) -> Tensor:
    """log e_k(exp(x)) for k = 1 .. n, (..., n), of x (..., n): the coefficients of prod (1 + e^x_i X), in logs."""
    n = x.shape[-1]
    x = torch.nn.functional.pad(x, (0, (1 << doublings(n)) - n), value=-torch.inf)
    polynomials = torch.stack([torch.zeros_like(x), x], dim=-1)  # (..., polynomials, coefficients)
    while polynomials.shape[-2] > 1:
        polynomials = _log_product(polynomials[..., 0::2, :], polynomials[..., 1::2, :])
    return polynomials[..., 0, 1 : n + 1]


def _log_product(a: Tensor, b: Tensor) -> Tensor:
    """Logs of the product's coefficients, (..., 2 d + 1), from those of two polynomials, (..., d + 1) each."""
    size = a.shape[-1]
    padded = torch.nn.functional.pad(b, (size - 1, size - 1), value=-torch.inf)
    place = torch.arange(2 * size - 1, device=a.device).unsqueeze(-1)
    terms = a.unsqueeze(-2) + padded[..., place - torch.arange(size, device=a.device) + size - 1]
    # A coefficient that is 0 has no finite term; logsumexp's gradient would be NaN there.
    none = (terms == -torch.inf).all(dim=-1)
    return torch.logsumexp(terms.masked_fill(none.unsqueeze(-1), 0.0), dim=-1).masked_fill(none, -torch.inf)


def smooth_bounds(w: Tensor, counted: Tensor, t: Tensor) -> Tensor:
    """Bounds on the sums of the first 1, ..., N places, (..., n), 0 beyond; smoothed, except for the sum of all N.

    Args:
        w: the vertex (..., n), in any order.
        counted: which N entries of w take part, (..., n).
        t: softness of the bounds, broadcastable to (..., 1).
    """
    k = torch.arange(1, w.shape[-1] + 1, device=w.device)
    size = counted.sum(dim=-1, keepdim=True)
    total = torch.where(counted, w, 0.0).sum(dim=-1, keepdim=True)
    smoothed = log_symmetric((w / t).masked_fill(~counted, -torch.inf)).masked_fill(k >= size, 0.0)
    return torch.where(k < size, t * smoothed, torch.where(k == size, total, 0.0))


def smooth_permutahedron(z: Tensor, bound: Tensor, present: Tensor) -> Tensor:
    """The projection of z to places whose sums obey the bounds, (..., n) in falling order like z.

    Args:
        z: what is projected, (..., n) in falling order, divided by the softness.
        bound: bounds on the sums of the first places, (..., n).
        present: which slots (..., n) take part, the first N of each row; what comes back in others means nothing.
    """
    shape = (z + bound + present).shape
    z, bound, present = z.expand(shape), bound.expand(shape), present.expand(shape)
    if shape[-1] < 2 or z.numel() == 0:
        return bound + 0.0 * z
    beta, inverse = _solution(z.detach(), bound.detach(), present)
    # A step of Newton's method at the solution moves nothing; each carries one derivative of the implicit function.
    for _ in range(2):
        slope = _Dual(z, bound, present).slope(beta)
        beta = beta - ((slope - slope.detach()).unsqueeze(-2) @ inverse).squeeze(-2)
    return _Dual(z, bound, present).primal(beta)


def _second_difference(x: Tensor) -> Tensor:
    """2 x_i - x_(i-1) - x_(i+1), (..., n), with zeros beyond the ends."""
    around = torch.nn.functional.pad(x, (1, 1))
    return 2.0 * x - around[..., :-2] - around[..., 2:]


class _Dual(NamedTuple):
    """The convex dual problem; its points beta are (..., n - 1), one number for each pair of neighbouring slots."""

    z: Tensor
    """(..., n)"""
    bound: Tensor
    """(..., n)"""
    present: Tensor
    """(..., n)"""

    @property
    def pair(self) -> Tensor:
        """Pairs of present slots, (..., n - 1)."""
        return self.present[..., 1:]

    def alpha(self, beta: Tensor) -> Tensor:
        """Differences between neighbours of the shifted z, (..., n - 1): minus the logs of the slacks."""
        return torch.where(self.pair, -torch.diff(self.z, dim=-1) + _second_difference(beta), 0.0)

    def slack(self, beta: Tensor) -> Tensor:
        """The slack of each bound, (..., n - 1)."""
        return torch.where(self.pair, torch.exp(-self.alpha(beta)), 0.0)

    def gaps(self, beta: Tensor) -> Tensor:
        """Differences between neighbours of the projection, (..., n - 1)."""
        return torch.where(self.pair, torch.exp(-beta), 0.0)

    def objective(self, beta: Tensor) -> Tensor:
        """The objective, which beta minimizes, (...)."""
        linear = self.alpha(beta) * self.bound[..., :-1] - beta * self._total()
        return (linear + self.slack(beta) + self.gaps(beta)).sum(dim=-1)

    def slope(self, beta: Tensor) -> Tensor:
        """Derivative of the objective by beta, (..., n - 1)."""
        free = torch.where(self.pair, self.bound[..., :-1], 0.0) - self.slack(beta)
        return torch.where(self.pair, _second_difference(free) - self._total() - self.gaps(beta), 0.0)

    def _total(self) -> Tensor:
        """The sum of all, (..., n - 1), at the last pair and 0 elsewhere."""
        last = self.pair & ~torch.nn.functional.pad(self.pair[..., 1:], (0, 1))
        return torch.where(last, self.bound[..., 1:], 0.0)

    def curvature(self, beta: Tensor) -> Tensor:
        """Second derivative of the objective, (..., n - 1, n - 1); the identity where there is no pair."""
        identity = torch.eye(beta.shape[-1], dtype=beta.dtype, device=beta.device)
        second = _second_difference(identity)
        full = (second * self.slack(beta).unsqueeze(-2)) @ second + torch.diag_embed(self.gaps(beta))
        return torch.where(self.pair.unsqueeze(-1) & self.pair.unsqueeze(-2), full, identity)

    def start(self) -> Tensor:
        """The starting point: the gaps of slacks that are all 0, second differences of the bounds.

        Scaled down where that makes slacks enormous, as beside gaps of very different size.
        """
        gaps = -torch.diff(torch.nn.functional.pad(self.bound, (1, 0)), n=2, dim=-1)
        beta = torch.where(self.pair, -torch.log(gaps.clamp(min=1e-12)), 0.0)
        still = self.alpha(torch.zeros_like(beta))
        fall = (still - self.alpha(beta)).clamp(min=1e-12)
        return beta * ((still + _LONGEST) / fall).amin(dim=-1, keepdim=True).clamp(max=1.0)

    def primal(self, beta: Tensor) -> Tensor:
        """The projection (..., n) that belongs to beta."""
        above_last = torch.nn.functional.pad(self.gaps(beta).flip(-1).cumsum(dim=-1).flip(-1), (0, 1))  # y_i - y_N
        slack = torch.nn.functional.pad(self.slack(beta), (0, 1))
        k = torch.arange(1, self.z.shape[-1] + 1, dtype=self.z.dtype, device=self.z.device)
        k = torch.where(self.present, k, 0.0)
        multiples = self.bound - slack - above_last.cumsum(dim=-1)  # k y_N, by each bound
        last = (k * multiples).sum(dim=-1, keepdim=True) / k.square().sum(dim=-1, keepdim=True).clamp(min=1.0)
        return last + above_last


@torch.library.custom_op("softtorch::barrier_solution", mutates_args=())
def _solution(z: Tensor, bound: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """The minimizer beta (..., n - 1) and the inverse of the second derivative there, (..., n - 1, n - 1)."""
    dual = _Dual(z, bound, present)
    beta = dual.start()
    for _ in range(MAX_STEPS if host.seen(z) else UNSEEN_STEPS):
        slope = dual.slope(beta)
        step = torch.linalg.solve_ex(dual.curvature(beta), slope).result
        step = step * (_LONGEST / step.abs().amax(dim=-1, keepdim=True)).clamp(max=1.0)
        decrement = (slope * step).sum(dim=-1)
        beta, moved = _descend(dual, beta, slope, step, decrement)
        if host.agreed(~moved | ~(decrement > TOLERANCE)):
            break
    # inv_ex may give columns first; what the fake operator promises is rows first.
    return beta.contiguous(), torch.linalg.inv_ex(dual.curvature(beta)).inverse.contiguous()


def _descend(dual: _Dual, beta: Tensor, slope: Tensor, step: Tensor, decrement: Tensor) -> tuple[Tensor, Tensor]:
    """The longest of the steps 1, 1/2, 1/4, ... that lowers the objective enough, row by row; and who moved."""
    objective, steepness = dual.objective(beta), slope.abs().amax(dim=-1)
    length, best = torch.ones_like(objective), beta
    waiting = torch.ones_like(objective, dtype=torch.bool)
    for _ in range(_HALVINGS):
        trial = beta - length.unsqueeze(-1) * step
        lower = dual.objective(trial) < objective - 0.1 * length * decrement
        # Near the solution the objective is flat to its rounding and the slope alone can tell.
        flatter = dual.slope(trial).abs().amax(dim=-1) < 0.5 * steepness
        enough = waiting & (lower | flatter)
        best, waiting = torch.where(enough.unsqueeze(-1), trial, best), waiting & ~enough
        if host.agreed(~waiting):
            break
        length = length / 2.0
    return best, ~waiting


@_solution.register_fake
def _(z: Tensor, bound: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    batch, n = z.shape[:-1], z.shape[-1]
    return z.new_empty(*batch, n - 1), z.new_empty(*batch, n - 1, n - 1)


@_solution.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    batched = (
        x.expand(info.batch_size, *x.shape) if axis is None else x.movedim(axis, 0)
        for x, axis in zip(tensors, in_dims, strict=True)
    )
    return _solution(*batched), (0, 0)
