"""neuralsort along the sorted line against its matrix."""

from typing import Any

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.kernels.sorted_line import softmax_rows
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


def slopes_of(rows: int, n: int) -> Tensor:
    """Those of all places, (rows, n)."""
    return (2 * torch.arange(n) + 1 - n).double().expand(rows, n)


@pytest.mark.parametrize("softness", SOFTNESS)
@pytest.mark.parametrize(("height", "together"), [(16, 1 << 14), (64, 1), (1000, 1 << 17)])
def test_products_are_those_of_the_matrix(
    softness: float, height: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax_rows, "_height", lambda k, n: min(k, height))
    monkeypatch.setattr(softmax_rows, "TOGETHER", together)
    n, v = 700, line(700).flip(-1).unsqueeze(1).clone().requires_grad_()
    y = (line(n).sigmoid() / softness).requires_grad_()
    offset, a = pairs(y), slopes_of(2, n)
    rows = softmax_rows.rows_of(a, y, offset)
    logits = a.unsqueeze(-1) * y.unsqueeze(-2) - offset.unsqueeze(-2)
    matrix = torch.softmax(logits, dim=-1)
    below, norm = softmax_rows.spread_and_norm(rows, v)
    both = (
        (softmax_rows.average(rows, v), v @ matrix.mT),
        (below, v @ matrix),
        (norm, torch.logsumexp(logits, dim=-1)),
    )
    for got, want in both:
        # Logits are as large as n / softness and their rounding is relative to that.
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-11 / softness)
        slopes = [
            torch.autograd.grad(out.square().sum(), (y, v), retain_graph=True, materialize_grads=True)
            for out in (got, want)
        ]
        for slope, true in zip(*slopes, strict=True):
            torch.testing.assert_close(slope, true, rtol=1e-6, atol=1e-10 / softness * float(true.abs().amax()) + 1e-9)


def test_slopes_may_be_what_is_differentiated() -> None:
    a, y, v = line(300).requires_grad_(), slopes_of(2, 40) / 20, line(40).unsqueeze(1).requires_grad_()
    offset = line(40).flip(-1).clone().requires_grad_()
    got = softmax_rows.average(softmax_rows.rows_of(a, y, offset), v)
    want = v @ torch.softmax(a.unsqueeze(-1) * y.unsqueeze(-2) - offset.unsqueeze(-2), dim=-1).mT
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)  # a few roundings
    for slope, true in zip(
        *(torch.autograd.grad(out.square().sum(), (a, offset, v)) for out in (got, want)), strict=True
    ):
        torch.testing.assert_close(slope, true, rtol=1e-10, atol=1e-10)  # sums of 300 such


def test_products_have_second_derivatives() -> None:
    y, v, a = line(9).requires_grad_(), line(9).flip(-1).unsqueeze(1).clone().requires_grad_(), slopes_of(2, 9)

    def average(y: Tensor, v: Tensor) -> Tensor:
        return softmax_rows.average(softmax_rows.rows_of(a, y, pairs(y)), v)

    def turned(y: Tensor, v: Tensor) -> Tensor:
        return softmax_rows.average(softmax_rows.rows_of(y, a, y.cos()), v)

    def spread(y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return softmax_rows.spread_and_norm(softmax_rows.rows_of(a, y, pairs(y)), v)

    for product in (average, turned, spread):
        assert torch.autograd.gradcheck(product, (y, v))
        assert torch.autograd.gradgradcheck(product, (y, v))


@pytest.mark.parametrize("shape", [(600,), (2, 1, 600), (3, 2, 600), (0, 600)])
def test_batches_of_every_shape_are_rows(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    for function in (sorted_values, ranked):
        result = function(x)
        assert result.shape == shape
        for got, row in zip(result.reshape(-1, 600), x.reshape(-1, 600), strict=True):
            torch.testing.assert_close(got, function(row.unsqueeze(0)).squeeze(0))


def sorted_values(x: Tensor) -> Tensor:
    return softtorch.sort(x, dim=-1, method="neuralsort", return_indices=False).values


def ranked(x: Tensor) -> Tensor:
    return softtorch.rank(x, dim=-1, method="neuralsort")


@pytest.mark.parametrize("k", [0, 1, 7, 599])
def test_few_places_have_the_values_of_all(k: int) -> None:
    x = torch.randn(3, 600, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    got = softtorch.topk(x, k, method="neuralsort", return_indices=False).values
    torch.testing.assert_close(got, sorted_values(x).flip(-1)[:, :k], rtol=0, atol=1e-12)  # sums of 600 terms


def gapped(n: int, crowded: int) -> Tensor:
    """A crowd and few others far out, in random order: the matrix has rows with two humps, and columns no row wants."""
    x = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x = torch.cat([x[:crowded] * 0.1, x[crowded:] * 100.0])
    return x[torch.randperm(n, generator=torch.Generator().manual_seed(2))]


@pytest.mark.parametrize("crowded", [400, 760])
@pytest.mark.parametrize("softness", [0.1, 1.0, 10.0])
def test_entries_that_no_row_wants_are_ranked_by_their_columns(softness: float, crowded: int) -> None:
    x = gapped(800, crowded).requires_grad_()
    y, order = (x / softness).sort()
    logits = slopes_of(800, 800)[0].unsqueeze(-1) * y - pairs(y)
    logs = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    sorted_ranks = torch.arange(1.0, 801.0, dtype=torch.float64) @ torch.softmax(logs, dim=0)
    wanted = torch.zeros_like(x).scatter(0, order, sorted_ranks), torch.softmax(logits, dim=-1) @ (y * softness)
    options: dict[str, Any] = {"softness": softness, "standardize": False, "method": "neuralsort"}
    got = (
        softtorch.rank(x, dim=-1, descending=False, **options),
        softtorch.sort(x, dim=-1, return_indices=False, **options).values,
    )
    weights = torch.randn(800, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for result, want in zip(got, wanted, strict=True):
        torch.testing.assert_close(result, want, rtol=1e-9, atol=1e-9)  # logits up to 1e6 are rounded
        slope, true = (torch.autograd.grad(out, x, weights, retain_graph=True)[0] for out in (result, want))
        torch.testing.assert_close(slope, true, rtol=1e-7, atol=1e-9 * float(true.abs().amax()))


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
