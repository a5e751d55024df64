"""The barrier projection: bounds by enumeration, optimality, laws, derivatives, sizes far apart."""

import itertools

import pytest
import torch
from torch import Tensor

from softtorch.kernels import barrier
from softtorch.kernels.barrier import log_symmetric, smooth_bounds, smooth_permutahedron
from tests.softtorch.cases import draw


def all_of(x: Tensor) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def project(z: Tensor, w: Tensor, t: float | Tensor) -> Tensor:
    t = torch.as_tensor(t, dtype=w.dtype).reshape(1)
    return smooth_permutahedron(z, smooth_bounds(w, all_of(w), t), all_of(w))


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_log_symmetric_sums_over_all_subsets(n: int) -> None:
    x = draw(2, n)
    subsets = [list(itertools.combinations(range(n), k)) for k in range(1, n + 1)]
    expected = torch.stack([x[:, s].sum(dim=-1).logsumexp(dim=-1) for s in map(torch.tensor, subsets)], dim=-1)
    torch.testing.assert_close(log_symmetric(x), expected)


def test_the_gradient_of_log_symmetric_is_finite_beside_entries_that_are_left_out() -> None:
    x = torch.tensor([0.3, -torch.inf, 1.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(log_symmetric(x)[:2].sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("n", [2, 3, 20, 100])
@pytest.mark.parametrize("softness", [1e-3, 0.1, 10.0])
def test_the_dual_slope_vanishes_and_the_projection_keeps_its_laws(n: int, softness: float) -> None:
    for x in (draw(2, n), draw(2, n).round(), torch.cat([draw(2, n - 1), torch.full((2, 1), 1e3).double()], dim=-1)):
        t = torch.tensor([min(softness, 1.0)], dtype=torch.float64)
        z = torch.linspace(1, 0, n, dtype=torch.float64) / softness
        bound = smooth_bounds(x, all_of(x), t)
        beta, _ = barrier._solution(z.expand(2, n), bound, all_of(x))
        slope = barrier._Dual(z.expand(2, n), bound, all_of(x)).slope(beta)
        # the bounds are sums of up to n entries and logs of sums over t: they round at 1e-16 of the largest
        assert slope.abs().max() < 1e-12 * bound.abs().max()
        y = project(z, x, t)
        torch.testing.assert_close(y.sum(dim=-1), x.sum(dim=-1), rtol=0, atol=1e-11 * bound.abs().max().item())
        assert (y.diff(dim=-1) < 0).all()
        assert (y.cumsum(dim=-1) <= bound + 1e-9).all()


def test_small_softness_gives_the_sorted_entries() -> None:
    x = torch.tensor([[0.1, 2.0, -1.0, 0.7]], dtype=torch.float64)
    z = torch.linspace(1, 0, 4, dtype=torch.float64) / 1e-3
    torch.testing.assert_close(project(z, x, 1e-3), x.sort(descending=True).values, rtol=0, atol=1e-6)


def test_slots_that_are_left_out_change_nothing() -> None:
    z, w, t = draw(2, 5).sort(dim=-1, descending=True).values, draw(2, 5, seed=1), torch.tensor([0.3]).double()
    more = torch.cat([w[:, :1], torch.full((2, 2), 7.0).double(), w[:, 1:]], dim=-1)
    counted = torch.tensor([True, False, False, True, True, True, True]).expand(2, 7)
    present = torch.arange(7).expand(2, 7) < 5
    longer = torch.cat([z, z[:, -1:] - 1, z[:, -1:] - 2], dim=-1)
    got = smooth_permutahedron(longer, smooth_bounds(more, counted, t), present)
    torch.testing.assert_close(got[:, :5], project(z, w, t))


@pytest.mark.parametrize("large", [-1e9, 1e9, 1e30])
def test_entries_of_very_different_size_leave_everything_finite(large: float) -> None:
    w = torch.tensor([[0.3, large, 1.0, -0.5, large, 2.0]], dtype=torch.float64, requires_grad=True)
    y = project(torch.linspace(10, 0, 6, dtype=torch.float64), w, 0.1)
    (gradient,) = torch.autograd.grad((y * draw(1, 6)).sum(), w)
    assert y.isfinite().all()
    assert gradient.isfinite().all()


def test_derivatives_equal_finite_differences() -> None:
    inputs = draw(2, 4).sort(dim=-1, descending=True).values, draw(2, 4, seed=1), torch.tensor(0.4).double()
    inputs = tuple(x.requires_grad_() for x in inputs)
    loss = lambda z, w, t: project(z, w, t) * draw(2, 4, seed=2)  # noqa: E731
    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradcheck(loss, inputs, check_forward_ad=True, check_backward_ad=False)
    assert torch.autograd.gradgradcheck(loss, inputs, fast_mode=True)


def test_the_operator_keeps_what_its_fake_form_promises() -> None:
    x = draw(2, 5).sort(dim=-1, descending=True).values
    torch.library.opcheck(barrier._solution, (x, smooth_bounds(x, all_of(x), torch.tensor([0.3]).double()), all_of(x)))
