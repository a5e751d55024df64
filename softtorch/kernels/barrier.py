"""The infinitely differentiable projection onto the permutahedron: a barrier instead of faces, smoothed bounds.

Bounds on partial sums are t log e_k(exp(w / t)), e_k the elementary symmetric polynomials; slacks and gaps between
neighbours stay positive. The optimum of the convex dual is found by Newton's method inside one opaque operator and
differentiated through its optimality conditions. O(n^2) memory and O(n^3) time a step, like any dense solve.
"""

from typing import Any

import torch
from torch import Tensor

# A step whose Newton decrement was this small has squared an error of about 1e-9 already.
TOLERANCE = 1e-18
MAX_STEPS = 200
_HALVINGS = 30


def log_symmetric(x: Tensor) -> Tensor:
    """log e_k(exp(x)) for k = 1 .. n, (..., n), of x (..., n): the coefficients of prod (1 + e^x_i X), in logs."""
    n = x.shape[-1]
    x = torch.nn.functional.pad(x, (0, (1 << (n - 1).bit_length()) - n), value=-torch.inf)
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


def smooth_permutahedron(z: Tensor, w: Tensor, t: Tensor) -> Tensor:
    """The smoothed projection of z onto the permutahedron of w, (..., n) in falling order like z.

    Args:
        z: what is projected, (..., n) in falling order, divided by the softness.
        w: the vertex (..., n), in any order.
        t: softness of the bounds, broadcastable to (..., 1).
    """
    z, w = torch.broadcast_tensors(z, w)
    total = w.sum(dim=-1, keepdim=True)
    if z.shape[-1] < 2 or z.numel() == 0:
        return w + 0.0 * z
    bound = torch.cat([(t * log_symmetric(w / t))[..., :-1], total], dim=-1)
    beta, inverse = _solution(z.detach(), bound.detach())
    # A step of Newton's method at the solution moves nothing; each carries one derivative of the implicit function.
    for _ in range(2):
        slope = _slope(z, bound, beta)
        beta = beta - ((slope - slope.detach()).unsqueeze(-2) @ inverse).squeeze(-2)
    return _primal(z, bound, beta)


def _primal(z: Tensor, bound: Tensor, beta: Tensor) -> Tensor:
    """The projection (..., n) that belongs to the dual point beta (..., n - 1)."""
    n = z.shape[-1]
    gaps = torch.exp(-beta)
    above_last = torch.nn.functional.pad(gaps.flip(-1).cumsum(dim=-1).flip(-1), (0, 1))  # y_i - y_n
    slack = torch.nn.functional.pad(torch.exp(-_alpha(z, beta)), (0, 1))
    k = torch.arange(1, n + 1, dtype=z.dtype, device=z.device)
    multiples = bound - slack - above_last.cumsum(dim=-1)  # k y_n, by each bound
    last = (k * multiples).sum(dim=-1, keepdim=True) / k.square().sum()
    return last + above_last


def _second_difference(x: Tensor) -> Tensor:
    """2 x_i - x_(i-1) - x_(i+1), (..., n), with zeros beyond the ends."""
    around = torch.nn.functional.pad(x, (1, 1))
    return 2.0 * x - around[..., :-2] - around[..., 2:]


def _alpha(z: Tensor, beta: Tensor) -> Tensor:
    """Differences between neighbours of the shifted z, (..., n - 1): minus the logs of the slacks."""
    return -torch.diff(z, dim=-1) + _second_difference(beta)


def _slope(z: Tensor, bound: Tensor, beta: Tensor) -> Tensor:
    """Derivative of the dual objective by beta, (..., n - 1)."""
    free = _second_difference(bound[..., :-1] - torch.exp(-_alpha(z, beta)))
    last = torch.nn.functional.pad(bound[..., -1:], (beta.shape[-1] - 1, 0))
    return free - last - torch.exp(-beta)


def _curvature(z: Tensor, beta: Tensor) -> Tensor:
    """Second derivative of the dual objective, (..., n - 1, n - 1)."""
    identity = torch.eye(beta.shape[-1], dtype=z.dtype, device=z.device)
    second = _second_difference(identity)
    slack = torch.exp(-_alpha(z, beta)).unsqueeze(-2)
    return (second * slack) @ second + torch.diag_embed(torch.exp(-beta))


def _objective(z: Tensor, bound: Tensor, beta: Tensor) -> Tensor:
    alpha = _alpha(z, beta)
    linear = (alpha * bound[..., :-1]).sum(dim=-1) - beta[..., -1] * bound[..., -1]
    return linear + torch.exp(-alpha).sum(dim=-1) + torch.exp(-beta).sum(dim=-1)


@torch.library.custom_op("softtorch::barrier_solution", mutates_args=())
def _solution(z: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
    """The minimizer beta (..., n - 1) and the inverse of the second derivative there, (..., n - 1, n - 1)."""
    # Were all slacks 0, the gaps would be the second differences of the bounds.
    gaps = -torch.diff(torch.nn.functional.pad(bound, (1, 0)), n=2, dim=-1)
    beta = -torch.log(gaps.clamp(min=1e-12))
    for _ in range(MAX_STEPS):
        slope = _slope(z, bound, beta)
        step = torch.linalg.solve_ex(_curvature(z, beta), slope).result
        decrement = (slope * step).sum(dim=-1)
        beta, moved = _descend(z, bound, beta, slope, step, decrement)
        if not bool((moved & (decrement > TOLERANCE)).any()):
            break
    return beta, torch.linalg.inv_ex(_curvature(z, beta)).inverse


def _descend(
    z: Tensor, bound: Tensor, beta: Tensor, slope: Tensor, step: Tensor, decrement: Tensor
) -> tuple[Tensor, Tensor]:
    """The longest of the steps 1, 1/2, 1/4, ... that lowers the objective enough, row by row; and who moved."""
    objective, steepness = _objective(z, bound, beta), slope.abs().amax(dim=-1)
    length, best = torch.ones_like(objective), beta
    waiting = torch.ones_like(objective, dtype=torch.bool)
    for _ in range(_HALVINGS):
        trial = beta - length.unsqueeze(-1) * step
        lower = _objective(z, bound, trial) < objective - 0.1 * length * decrement
        # Near the solution the objective is flat to its rounding and the slope alone can tell.
        flatter = _slope(z, bound, trial).abs().amax(dim=-1) < 0.5 * steepness
        enough = waiting & (lower | flatter)
        best, waiting = torch.where(enough.unsqueeze(-1), trial, best), waiting & ~enough
        if not bool(waiting.any()):
            break
        length = length / 2.0
    return best, ~waiting


@_solution.register_fake
def _(z: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
    batch, n = z.shape[:-1], z.shape[-1]
    return z.new_empty(*batch, n - 1), z.new_empty(*batch, n - 1, n - 1)


@_solution.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], z: Tensor, bound: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    z, bound = (
        x.expand(info.batch_size, *x.shape) if axis is None else x.movedim(axis, 0)
        for x, axis in zip((z, bound), in_dims, strict=True)
    )
    return _solution(z, bound), (0, 0)
