"""Decayed sums, and what LapSum builds on them, against dense forms; wide ranges of softness and gaps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from softtorch.kernels import laplace
from softtorch.kernels.sorted_line.scan import decayed_sums, decayed_sums_behind
from tests.softtorch.cases import draw, weights_like

SIZES = [1, 2, 16, 17, 33, 300]  # below, at and above the size of a chunk, and chunks of chunks
SCALES = [0.01, 1.0, 30.0, 1e5]


def rising(n: int, scale: float) -> Tensor:
    return (draw(3, n) * scale).sort(dim=-1).values


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("scale", SCALES)
def test_decayed_sums_equal_the_dense_form(n: int, scale: float) -> None:
    y, v = rising(n, scale), draw(3, n, seed=1)
    kernel = torch.exp(-(y.unsqueeze(-1) - y.unsqueeze(-2)).abs())
    # n terms of order 1
    torch.testing.assert_close(decayed_sums(y, v), (kernel.tril() @ v[..., None])[..., 0], rtol=0, atol=1e-12)
    torch.testing.assert_close(decayed_sums_behind(y, v), (kernel.triu() @ v[..., None])[..., 0], rtol=0, atol=1e-12)


def test_decayed_sums_in_float32_do_not_overflow() -> None:
    y, v = rising(300, 30.0), draw(3, 300, seed=1)
    got = decayed_sums(y.float(), v.float()).double()
    torch.testing.assert_close(got, decayed_sums(y.float().double(), v.float().double()), rtol=0, atol=1e-4)


def test_decayed_sums_have_first_and_second_derivatives() -> None:
    y, v = rising(20, 1.0).requires_grad_(), draw(3, 20, seed=1).requires_grad_()
    loss = lambda y, v: decayed_sums(y, v) * weights_like(v)  # noqa: E731
    assert torch.autograd.gradcheck(loss, (y, v))
    assert torch.autograd.gradgradcheck(
        loss, (y[:1, :4].detach().requires_grad_(), v[:1, :4].detach().requires_grad_())
    )


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("scale", SCALES)
def test_the_inverse_inverts_the_sum_at_every_gap(n: int, scale: float) -> None:
    y = rising(n, scale)
    w = torch.cat(
        [torch.rand(5, dtype=torch.float64) * n, torch.arange(1.0, n, dtype=torch.float64), torch.tensor([n / 2])]
    )
    at = laplace.knots(y)
    torch.testing.assert_close(at.total, dense_sum(y, y), rtol=0, atol=1e-12 * n)
    b = laplace.inverse(at, w.to(y.dtype)).b
    assert b.isfinite().all()
    # b itself rounds at eps times its size, which is up to 3 scale; S has slope n / 2 at most
    torch.testing.assert_close(dense_sum(b, y), w.expand(3, -1), rtol=0, atol=1e-15 * n * max(10.0, 5 * scale))


def dense_sum(b: Tensor, y: Tensor) -> Tensor:
    return laplace.laplace_cdf(b.unsqueeze(-1) - y.unsqueeze(-2)).sum(dim=-1)


@pytest.mark.parametrize("softness", [1e-5, 1e-3, 1.0, 30.0])
@pytest.mark.parametrize("k", [0.0, 1.0, 2.5, 17.0, 39.999, 40.0])
def test_masks_sum_to_k_at_every_softness(softness: float, k: float) -> None:
    y = (draw(2, 40) / softness).requires_grad_()
    count = torch.full((2, 1), k, dtype=torch.float64, requires_grad=True)
    mask = laplace.top_mask(y, count)
    # the rounding of b at 1e5, times the density
    torch.testing.assert_close(mask.sum(dim=-1), count.detach()[:, 0], rtol=0, atol=1e-10)
    by_y, by_k = torch.autograd.grad((mask * weights_like(mask)).sum(), (y, count))
    assert by_y.isfinite().all()
    assert by_k.isfinite().all()


def test_the_mask_has_the_published_jacobian() -> None:
    y, g = draw(7).requires_grad_(), draw(7, seed=2)
    k = torch.tensor([2.3], dtype=torch.float64, requires_grad=True)
    mask = laplace.top_mask(y, k)
    by_y, by_k = torch.autograd.grad(mask, (y, k), g)
    density = torch.minimum(mask, 1 - mask).detach()  # e^-|y - b| / 2
    q = density / density.sum()
    torch.testing.assert_close(by_y, density * (g - (q * g).sum()))
    torch.testing.assert_close(by_k, (q * g).sum().reshape(1))


def test_k_keeps_its_gradient_at_the_borders_and_across_wide_gaps() -> None:
    y = torch.tensor([0.0, 1.0, 2.0, 1000.0], dtype=torch.float64)
    for k in (0.0, 4.0, 3.0, 1.0, 0.5):
        count = torch.tensor([k], dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(laplace.top_mask(y, count).sum(), count)
        torch.testing.assert_close(slope, torch.ones_like(slope))  # the sum is k, also in derivative


@pytest.mark.parametrize("n", SIZES[:-1])
@pytest.mark.parametrize("scale", SCALES)
def test_rows_are_doubly_stochastic_and_their_product_needs_no_rows(n: int, scale: float) -> None:
    y, v = rising(n, scale), draw(3, n, seed=1)
    at = laplace.levels(y, torch.arange(n + 1, dtype=torch.float64))
    rows = laplace.permutation_rows(y, at.b[:, :-1], at.b[:, 1:])
    assert (rows >= 0).all()
    for dim in (-1, -2):
        torch.testing.assert_close(rows.sum(dim=dim), torch.ones_like(y), rtol=0, atol=1e-13 * max(n, scale / 1e3))
    product = laplace.weighted_sum(y, v, at).diff(dim=-1)
    torch.testing.assert_close(product, (rows @ v.unsqueeze(-1)).squeeze(-1), rtol=0, atol=1e-12)
    torch.testing.assert_close(product.sum(dim=-1), v.sum(dim=-1), rtol=0, atol=1e-11)


@given(y=arrays.arrays("float64", (2, 6), elements=st.floats(-20, 20)))
@settings(max_examples=25)
def test_ranks_sum_to_a_constant_keep_the_order_and_share_ties(y: object) -> None:
    ordered = torch.as_tensor(y).sort(dim=-1).values
    ranks = laplace.soft_ranks(ordered)
    torch.testing.assert_close(ranks.sum(dim=-1), torch.full((2,), 21.0, dtype=torch.float64))
    assert (ranks.diff(dim=-1) >= -1e-12).all()
    tied = ordered.diff(dim=-1) == 0
    torch.testing.assert_close(ranks.diff(dim=-1)[tied], torch.zeros(int(tied.sum()), dtype=torch.float64))


def test_everything_has_first_and_second_derivatives() -> None:
    x = draw(2, 5).requires_grad_()
    s = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    k = torch.tensor([[2.3], [1.0]], dtype=torch.float64, requires_grad=True)

    def product(x: Tensor, s: Tensor) -> Tensor:
        y, order = (x / s).sort(dim=-1)
        at = laplace.levels(y, torch.arange(6, dtype=torch.float64))
        return laplace.weighted_sum(y, x.gather(-1, order), at).diff(dim=-1) * weights_like(x)

    cases = [
        (lambda x, s, k: laplace.top_mask(x / s, k) * weights_like(x), (x, s, k)),
        (lambda x, s: laplace.soft_ranks(x / s) * weights_like(x), (x, s)),
        (lambda x, s: laplace.quantile(x / s, torch.tensor([1.3, 4.1], dtype=torch.float64)), (x, s)),
        (product, (x, s)),
    ]
    for function, inputs in cases:
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_a_million_entries_in_float64() -> None:
    y = (draw(1, 1_000_000) / 0.1).requires_grad_()
    mask = laplace.top_mask(y, torch.tensor([[1000.0]]))
    assert abs(mask.sum() - 1000) < 1e-6  # a million roundings of 1e-16 times the density
    (gradient,) = torch.autograd.grad((mask * y.detach()).sum(), y)
    assert gradient.isfinite().all()
