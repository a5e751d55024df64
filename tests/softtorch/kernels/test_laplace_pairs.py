"""Derivatives in closed form of what LapSum makes of few entries, beside those of the same by torch's operators."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.kernels import laplace, laplace_pairs
from softtorch.methods import scaled

N = 6
SPREADS = [
    1e-3,
    1.0,
    40.0,
    1e5,
]  # in units of the softness, up to where densities underflow
WHERE = torch.cat([torch.arange(N), torch.arange(1, N + 1)]).double()
COUNT = torch.tensor([[2.0], [0.5]], dtype=torch.float64)

PAIRS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "ranks": (laplace.soft_ranks, laplace.plain_soft_ranks),
    "rows": (lambda y: laplace.rows(y, WHERE), lambda y: laplace.plain_rows(y, WHERE)),
    "mask": (lambda y: laplace.top_mask(y, COUNT), lambda y: laplace.plain_top_mask(y, COUNT)),
}


def entries(spread: float, tied: bool = False) -> Tensor:
    y = spread * torch.randn(2, N, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    if tied:
        y[:, 1] = y[:, 4]
    return y.requires_grad_()


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("name", PAIRS)
def test_values_and_derivatives_are_those_of_the_operators(name: str, spread: float) -> None:
    closed, plain = PAIRS[name]
    y = entries(spread)
    found, expected = closed(y), plain(y)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    weights = torch.rand(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    first, other = (
        torch.autograd.grad((result * weights).sum(), y, create_graph=True)[0] for result in (found, expected)
    )
    torch.testing.assert_close(first, other, rtol=1e-7, atol=1e-10)
    (found_slope,) = torch.autograd.grad((closed(y) * weights).sum(), y)  # without a graph for more
    torch.testing.assert_close(found_slope, other, rtol=1e-7, atol=1e-10)
    second, third = (torch.autograd.grad((slope * weights.flatten()[:N]).sum(), y)[0] for slope in (first, other))
    torch.testing.assert_close(second, third, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_the_derivative_at_a_tie_is_that_of_its_neighbours(name: str) -> None:
    closed, _ = PAIRS[name]
    y, near = entries(1.0, tied=True), entries(1.0, tied=True).detach()
    near[:, 1] += 1e-7
    weights = torch.rand(closed(y).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    (slope,) = torch.autograd.grad((closed(y) * weights).sum(), y)
    (other,) = torch.autograd.grad((closed(near.requires_grad_()) * weights).sum(), near)
    torch.testing.assert_close(slope, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spread", SPREADS)
def test_rows_and_columns_sum_to_one_and_their_derivatives_to_zero(spread: float) -> None:
    y = entries(spread)
    rows = laplace.rows(y, WHERE)
    ones = torch.ones(2, N, dtype=torch.float64)
    torch.testing.assert_close(rows.sum(-1), ones)
    torch.testing.assert_close(rows.sum(-2), ones)
    weights = torch.rand(rows.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    (slope,) = torch.autograd.grad((rows * weights).sum(), y)
    torch.testing.assert_close(slope.sum(-1), torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)  # y + c


def test_decayed_sums_over_pairs_are_those_along_the_line() -> None:
    y = entries(2.0).detach().sort(-1).values
    before, behind = laplace_pairs.decayed_pairs(y)
    ones = torch.ones_like(y)
    torch.testing.assert_close(before, laplace.decayed_sums(y, ones))
    torch.testing.assert_close(behind, laplace.decayed_sums_behind(y, ones))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("spread", [*SPREADS, 1e19])
def test_levels_of_few_entries_are_those_along_the_line(spread: float, tied: bool) -> None:
    y = entries(spread, tied).detach()
    w = torch.tensor([1e-9, 0.5, 1.0, 2.0, 2.5, 3.0, 5.0, N - 1e-3], dtype=torch.float64)
    expected = laplace.inverse(laplace.knots(y.sort(-1).values), w).b
    torch.testing.assert_close(laplace_pairs.levels(y, w), expected, rtol=1e-12, atol=1e-12)
    rowwise = laplace_pairs.levels(y, w.expand(2, -1))
    assert torch.equal(rowwise, laplace_pairs.levels(y, w))


@pytest.mark.parametrize("spread", [*SPREADS, 1e19])
def test_levels_at_the_ends_are_finite_and_beyond_all_entries(spread: float) -> None:
    y = entries(spread).detach()
    low, high = laplace_pairs.levels(y, torch.tensor([0.0, N], dtype=torch.float64)).unbind(-1)
    assert low.isfinite().all() and (low < y.amin(-1) - 60.0).all()  # e^-60 is nothing beside 1
    assert high.isfinite().all() and (high > y.amax(-1) + 60.0).all()


def test_levels_of_a_row_with_nan_are_nan() -> None:
    y = torch.tensor([[1.0, torch.nan, 0.0], [1.0, 2.0, 0.0]], dtype=torch.float64)
    found = laplace_pairs.levels(y, torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64))
    assert found[0].isnan().all() and found[1].isfinite().all()


@pytest.mark.parametrize("part", [1, 100, 500])  # a row at a time, one more than that, and several
@pytest.mark.parametrize("shape", [(5,), (3, 4, 5), (7, 5)])
def test_rows_are_the_same_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], part: int) -> None:
    y = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(8), requires_grad=True)
    w = torch.tensor([4.0, 2.0, 5.0, 3.0], dtype=torch.float64)

    def results() -> tuple[Tensor, Tensor]:
        rows = laplace.rows(y, w)
        return rows, torch.autograd.grad((rows * y.unsqueeze(-2)).square().sum(), y)[0]

    whole = results()
    monkeypatch.setattr(laplace_pairs, "_PART", part)
    for one, other in zip(whole, results(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("infinite", [False, True])
@pytest.mark.parametrize("softness", [0.3, torch.tensor([[0.3], [0.2]], dtype=torch.float64)])
def test_two_widths_at_once_are_the_mean_of_two_calls(
    monkeypatch: pytest.MonkeyPatch, softness: float | Tensor, infinite: bool
) -> None:
    x = torch.randn(2, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    if infinite:
        x[0, 0, 1], x[1, 0, 2] = torch.inf, -torch.inf
    x.requires_grad_()
    options = {"mode": "tailed", "method": "lapsum", "standardize": False, "softness": softness}
    if isinstance(softness, Tensor):
        options["softness"] = softness.squeeze(-1)

    def results() -> list[Tensor]:
        values, rows = softtorch.topk(x, 3, **options)
        rank = softtorch.rank(x, -1, **options)
        results = [values, rows, rank, softtorch.topk_mask(x, 2, **options), softtorch.sort(x, **options)[0]]
        losses = [part[part.isfinite()].square().sum() for part in results]
        return [*results, *torch.autograd.grad(losses[0] + losses[1] + losses[2] + losses[3], x)]

    together = results()
    monkeypatch.setattr(scaled, "is_small", lambda x: False)
    for part, other in zip(together, results(), strict=True):
        torch.testing.assert_close(part, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 200), (40, 5), (2, 0), (0, 4)])
@pytest.mark.parametrize(
    "operator", [softtorch.sort, lambda x, **kwargs: softtorch.topk(x, x.shape[-1] // 2, **kwargs)]
)
def test_sizes_on_both_sides_of_the_limit_give_the_same(
    operator: Callable[..., tuple[Tensor, Tensor]], shape: tuple[int, ...]
) -> None:
    few = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    many = few.repeat(1 + (1 << 16) // max(1, few.numel() * shape[-1]), 1)
    assert laplace_pairs.is_small(few) == bool(few.numel()) and not laplace_pairs.is_small(many)
    values, others = (operator(x, method="lapsum", return_indices=False)[0] for x in (few, many))
    torch.testing.assert_close(values, others[: len(values)], rtol=1e-9, atol=1e-12)


def test_the_mask_of_many_entries_whose_axis_was_moved() -> None:
    x = torch.randn(2048, 3, 4).permute(1, 2, 0)
    torch.testing.assert_close(
        softtorch.topk_mask(x, 100, method="lapsum"), softtorch.topk_mask(x.contiguous(), 100, method="lapsum")
    )
