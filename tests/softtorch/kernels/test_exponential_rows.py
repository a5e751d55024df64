"""neuralsort along the sorted line against its matrix."""

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.kernels import exponential_rows
from softtorch.kernels.distances import distance_sums
from softtorch.methods import neuralsort

SOFTNESS = (1e-4, 1e-2, 0.1, 1.0, 10.0)


def line(n: int, rows: int = 2) -> Tensor:
    """Sorted entries with a tie and with two groups far apart, (rows, n)."""
    x = torch.randn(rows, n, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    x[:, 1] = x[:, 0]
    x[1:] += 3.0 * x[1:].sign()
    return x.sort(dim=-1).values


def pairs(y: Tensor) -> Tensor:
    """The sums of distances by all pairs, (..., n)."""
    apart = y.unsqueeze(-1) - y.unsqueeze(-2)
    return (apart * torch.tanh(apart / 2.0)).sum(dim=-2)


@pytest.mark.parametrize("softness", SOFTNESS)
def test_distances_are_those_of_all_pairs(softness: float) -> None:
    y = (line(900).sigmoid() / softness).requires_grad_()
    got, want = distance_sums(y), pairs(y)
    # Each pair is off by 1e-12 at most; beside it, the rounding of sums of n terms as large as y.
    torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-9 + 1e-12 * 900 / softness)
    weights = torch.randn(got.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    slopes = [torch.autograd.grad(sums, y, weights)[0] for sums in (got, want)]
    torch.testing.assert_close(*slopes, rtol=1e-8, atol=1e-7)  # f' is off by 3e-11 a pair


def test_distances_have_second_derivatives_and_map() -> None:
    y = torch.linspace(-2.0, 3.0, 12, dtype=torch.float64).repeat(2, 1).requires_grad_()  # places in order stay so
    assert torch.autograd.gradcheck(distance_sums, y)
    assert torch.autograd.gradgradcheck(distance_sums, y, atol=1e-4)  # f'' at 0 is fitted to 1e-6 only
    torch.testing.assert_close(torch.func.vmap(distance_sums)(y.detach()), distance_sums(y.detach()))


@pytest.mark.parametrize("softness", SOFTNESS)
@pytest.mark.parametrize("tile", (16, 64, 1000))
def test_products_are_those_of_the_matrix(softness: float, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exponential_rows, "TILE", tile)
    n, v = 700, line(700).flip(-1).clone().requires_grad_()
    y = (line(n).sigmoid() / softness).requires_grad_()
    offset = pairs(y)
    a = (2 * torch.arange(n) + 1 - n).to(y.dtype)
    rows = exponential_rows.rows_of(a, y, offset)
    matrix = torch.softmax(a.unsqueeze(-1) * y.unsqueeze(-2) - offset.unsqueeze(-2), dim=-1)
    both = (
        (exponential_rows.average(rows, v.unsqueeze(-1)), matrix @ v.unsqueeze(-1)),
        (exponential_rows.spread(rows, v.unsqueeze(-1)), matrix.mT @ v.unsqueeze(-1)),
    )
    for got, want in both:
        # Logits are as large as n / softness and their rounding is relative to that.
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-11 / softness)
        slopes = [torch.autograd.grad(out.square().sum(), (y, v), retain_graph=True) for out in (got, want)]
        for slope, true in zip(*slopes, strict=True):
            torch.testing.assert_close(slope, true, rtol=1e-6, atol=1e-10 / softness * float(true.abs().amax()) + 1e-9)


def test_products_have_second_derivatives() -> None:
    y, v, a = line(9).requires_grad_(), line(9).flip(-1).clone().requires_grad_(), torch.arange(-8.0, 9.0, 2).double()

    def average(y: Tensor, v: Tensor) -> Tensor:
        return exponential_rows.average(exponential_rows.rows_of(a, y, pairs(y)), v.unsqueeze(-1))

    def spread(y: Tensor, v: Tensor) -> Tensor:
        return exponential_rows.spread(exponential_rows.rows_of(a, y, pairs(y)), v.unsqueeze(-1))

    for product in (average, spread):
        assert torch.autograd.gradcheck(product, (y, v))
        assert torch.autograd.gradgradcheck(product, (y, v))


@pytest.mark.parametrize("softness", SOFTNESS)
def test_values_and_ranks_are_those_of_the_matrix(softness: float, monkeypatch: pytest.MonkeyPatch) -> None:
    x = line(600)[:, torch.randperm(600, generator=torch.Generator().manual_seed(2))].requires_grad_()
    results = []
    for least in (512, 1000):
        monkeypatch.setattr(neuralsort, "LINE", least)
        values = softtorch.sort(x, softness=softness, descending=True, return_indices=False).values
        some = softtorch.topk(x, 7, softness=softness, return_indices=False).values
        results.append((values, some, softtorch.rank(x, dim=-1, softness=softness)))
    for got, want in zip(*results, strict=True):
        weights = torch.randn(want.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        # As above; ranks are up to n.
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12 / softness)
        slopes = [torch.autograd.grad(out, x, weights, retain_graph=True)[0] for out in (got, want)]
        torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-9 / softness)
