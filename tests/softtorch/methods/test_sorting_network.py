"""Sorting networks as a method: its options, exactness, monotonicity, padding and infinite entries."""

import math

import pytest
import torch

import softtorch
from softtorch.methods import SortingNetwork
from softtorch.methods.positions import Every
from softtorch.methods.sorting_network import NETWORKS, SWAPS
from softtorch.modes import SMOOTH
from tests.softtorch.cases import draw, integers, weights_like

VARIANTS = [SortingNetwork(swap, exact, layout) for swap in SWAPS for exact in (False, True) for layout in NETWORKS]


def test_unknown_options_are_errors_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"SortingNetwork: unknown swap 'cauchi'\. Known: .* Did you mean 'cauchy'\?"):
        SortingNetwork(swap="cauchi")
    with pytest.raises(ValueError, match=r"unknown layout 'odd-even'\. Known: bitonic, odd_even\."):
        SortingNetwork(layout="odd-even")


@pytest.mark.parametrize("method", VARIANTS, ids=str)
@pytest.mark.parametrize("n", [1, 3, 8])
def test_every_variant_sorts_and_has_a_gradient(method: SortingNetwork, n: int) -> None:
    x = torch.linspace(-1, 1, n, dtype=torch.float64).flip(0).requires_grad_()
    # heavy tails of the monotone swaps: 1 / v of the size of the gap, log2(n) (log2(n) + 1) / 2 times
    sharp = softtorch.sort(x, softness=1e-4, method=method).values
    torch.testing.assert_close(sharp, x.detach().flip(0), rtol=0, atol=2e-2)
    for result in (softtorch.sort(x, method=method).values, softtorch.argsort(x, method=method)):
        (gradient,) = torch.autograd.grad((result * weights_like(result)).sum(), x)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0 or n == 1


@pytest.mark.parametrize("layout", NETWORKS)
def test_error_free_values_and_rows_are_exact_bit_for_bit(layout: str) -> None:
    method = SortingNetwork(error_free=True, layout=layout)
    for x in (draw(20, 11, dtype=torch.float32), integers(20, 8, dtype=torch.float32)):
        keys = method.prepare(x, 0.3, SMOOTH, False)
        assert torch.equal(method.values(keys, Every()), x.sort(dim=-1).values)
        rows = method.rows(keys, Every())
        assert ((rows == 0) | (rows == 1)).all()
        assert torch.equal((rows * x.unsqueeze(-2)).sum(dim=-1), x.sort(dim=-1).values)


def test_error_free_and_soft_swaps_have_different_derivatives_but_both_are_soft() -> None:
    x = draw(4).requires_grad_()
    slopes = []
    for exact in (False, True):
        values = softtorch.sort(x, softness=0.5, method=SortingNetwork(error_free=exact)).values
        slopes.append(torch.autograd.grad((values * weights_like(values)).sum(), x)[0])
    assert slopes[1].abs().min() > 0
    assert (slopes[0] - slopes[1]).abs().max() > 1e-3


@pytest.mark.parametrize("swap", ["reciprocal", "cauchy", "optimal"])
@pytest.mark.parametrize("layout", NETWORKS)
def test_monotone_swaps_give_values_that_rise_with_every_entry(swap: str, layout: str) -> None:
    method = SortingNetwork(swap, layout=layout)

    def values(x: torch.Tensor) -> torch.Tensor:
        return softtorch.sort(x, softness=0.3, method=method, standardize=False).values

    for seed in range(20):
        jacobian = torch.autograd.functional.jacobian(values, draw(8, seed=seed))
        assert (jacobian >= -1e-12).all()


def test_without_padding_the_sum_is_kept_and_padding_has_no_gradient() -> None:
    full, padded = draw(3, 8), draw(3, 6).requires_grad_()
    kept = softtorch.sort(full, method="sorting_network", standardize=False).values
    torch.testing.assert_close(kept.sum(dim=-1), full.sum(dim=-1))
    # shifting all entries shifts the values; were the padding (the maximum plus 1) to carry gradient, twice so
    values = softtorch.sort(padded, method="sorting_network", standardize=False, softness=0.01).values
    (gradient,) = torch.autograd.grad(values.sum(), padded)
    torch.testing.assert_close(gradient, torch.ones_like(gradient), rtol=0, atol=1e-6)


def test_min_is_the_mirror_image_of_max() -> None:
    x = draw(3, 6)
    low, high = softtorch.min(x, 1, method="sorting_network"), softtorch.max(-x, 1, method="sorting_network")
    torch.testing.assert_close(low.values, -high.values)
    torch.testing.assert_close(
        *(f(t, 1, method="sorting_network") for f, t in ((softtorch.argmin, x), (softtorch.argmax, -x)))
    )


def test_infinite_entries_keep_their_places_and_leave_the_others_alone() -> None:
    x = torch.tensor([0.5, -math.inf, 2.0, math.inf, 1.0], dtype=torch.float64, requires_grad=True)
    for swap in SWAPS:
        values = softtorch.sort(x, method=SortingNetwork(swap)).values
        assert values[0] == -math.inf
        assert values[4] == math.inf
        assert values[1:4].isfinite().all()
        rows = softtorch.argsort(x, method=SortingNetwork(swap))
        assert (rows[1:4][:, [1, 3]] == 0).all()
        torch.testing.assert_close(rows.sum(dim=-1), torch.ones(5).double())
        (gradient,) = torch.autograd.grad((rows * weights_like(rows)).sum() + values[1:4].square().sum(), x)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("standardize", [True, False])
def test_padding_does_not_mix_with_what_infinite_entries_leave(standardize: bool) -> None:
    row = torch.tensor([-torch.inf, 1.2345, -torch.inf], dtype=torch.float64)  # padded to four entries
    assert softtorch.max(row, dim=-1, method="sorting_network", softness=0.3, standardize=standardize)[0] == row.max()
    index = softtorch.argmax(row, dim=-1, method="sorting_network", softness=0.3, standardize=standardize)
    assert index.tolist() == [0.0, 1.0, 0.0]
