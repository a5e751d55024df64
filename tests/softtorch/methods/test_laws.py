"""The laws of softtorch.methods.base.Method, for every method in every mode that it is defined for."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import softtorch
from softtorch.methods import METHODS, SortingNetwork
from softtorch.methods.sorting_network import NETWORKS
from softtorch.modes import MODES
from tests.softtorch.cases import MASK_CASES, RANK_CASES, ROW_CASES, VALUE_CASES, draw, integers, weights_like

# Iterative methods stop at 1e-10; everything else is rounding.
TOLERANCE = 1e-8

# Well apart, so that at softness 1e-3 (or 1e-2) the limit is reached: the smallest gap is 0.03 after standardizing.
APART = torch.tensor([[0.5, -1.0, 2.0, 1.2, -0.2], [3.0, 2.0, -2.0, 0.0, 1.0]], dtype=torch.float64)


EQUIVARIANT = [(method, mode) for method, mode in ROW_CASES if METHODS[method].contract.equivariant.holds_in(mode)]


@pytest.mark.parametrize(("method", "mode"), ROW_CASES)
def test_rows_lie_on_the_simplex(method: str, mode: str) -> None:
    for x in (draw(3, 7), integers(3, 7), torch.zeros(2, 4, dtype=torch.float64), draw(2, 1)):
        rows = softtorch.argsort(x, method=method, mode=mode)
        assert (rows >= 0).all()
        torch.testing.assert_close(rows.sum(dim=-1), torch.ones_like(rows[..., 0]), rtol=0, atol=TOLERANCE)
        if METHODS[method].doubly_stochastic:
            torch.testing.assert_close(rows.sum(dim=-2), torch.ones_like(rows[..., 0]), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("method", "mode"), ROW_CASES)
def test_rows_tend_to_the_permutation(method: str, mode: str) -> None:
    rows = softtorch.argsort(APART, softness=1e-4, method=method, mode=mode)
    exact = softtorch.argsort(APART, mode="hard")
    # lapsum and ot place half of an entry's mass beyond a neighbour at e^-30, a third of it at 49 softnesses in mode
    # tailed; the others are one-hot to rounding
    torch.testing.assert_close(rows, exact, rtol=0, atol=2e-2)


@pytest.mark.parametrize(("method", "mode"), VALUE_CASES)
def test_values_tend_to_the_sorted_ones(method: str, mode: str) -> None:
    values = softtorch.sort(APART, softness=1e-4, method=method, mode=mode, descending=True).values
    # fast_soft_sort and smooth_sort map an error of softness through logit, times the spread
    torch.testing.assert_close(values, APART.sort(descending=True).values, rtol=0, atol=3e-2)


@pytest.mark.parametrize(("method", "mode"), RANK_CASES)
@pytest.mark.parametrize("descending", [True, False])
def test_ranks_tend_to_the_exact_ones(method: str, mode: str, descending: bool) -> None:
    ranks = softtorch.rank(APART, -1, softness=1e-3, method=method, mode=mode, descending=descending)
    exact = APART.argsort(descending=descending).argsort() + 1.0
    torch.testing.assert_close(ranks, exact.double(), rtol=0, atol=3e-2)


@pytest.mark.parametrize(("method", "mode"), MASK_CASES)
def test_masks_sum_to_k_and_tend_to_the_exact_ones(method: str, mode: str) -> None:
    mask = softtorch.topk_mask(draw(3, 7), 3, method=method, mode=mode)
    assert (mask >= 0).all()
    assert (mask <= 1 + TOLERANCE).all()
    torch.testing.assert_close(mask.sum(dim=-1), torch.full((3,), 3.0, dtype=torch.float64), rtol=0, atol=TOLERANCE)
    widest = max(MODES[mode].widths)  # a tail is as sharp where the softness is that much less
    sharp = softtorch.topk_mask(APART, 2, softness=1e-3 / widest, method=method, mode=mode)
    torch.testing.assert_close(sharp, softtorch.topk_mask(APART, 2, mode="hard"), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("method", "mode"), EQUIVARIANT)
@given(x=arrays.arrays("float64", (2, 5), elements=st.floats(-5, 5)), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_permuting_the_entries_permutes_the_columns(method: str, mode: str, x: object, seed: int) -> None:
    entries = torch.as_tensor(x)
    moved = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    rows = softtorch.argsort(entries, method=method, mode=mode)
    torch.testing.assert_close(
        softtorch.argsort(entries[:, moved], method=method, mode=mode), rows[..., moved], rtol=0, atol=TOLERANCE
    )
    torch.testing.assert_close(
        softtorch.rank(entries[:, moved], -1, method=method, mode=mode),
        softtorch.rank(entries, -1, method=method, mode=mode)[:, moved],
        rtol=0,
        atol=1e-6,  # columns of tiny mass are normalized
    )


@pytest.mark.parametrize("layout", NETWORKS)
@pytest.mark.parametrize("mode", METHODS["sorting_network"].modes)
@given(order=st.permutations(range(5)))
@settings(max_examples=10)
def test_a_network_permutes_its_columns_as_far_as_it_sorts(layout: str, mode: str, order: list[int]) -> None:
    """Its swaps depend on the places, so that this holds in the limit, and of the exact swaps forward."""
    soft, exact = SortingNetwork(layout=layout), SortingNetwork(layout=layout, error_free=True)
    sharp = softtorch.argsort(APART[:, order], softness=1e-3, mode=mode, method=soft)
    torch.testing.assert_close(sharp, softtorch.argsort(APART, mode="hard")[..., order], rtol=0, atol=2e-2)
    swapped = softtorch.argsort(APART[:, order], mode=mode, method=exact)
    assert torch.equal(swapped, softtorch.argsort(APART, mode=mode, method=exact)[..., order])


@pytest.mark.parametrize(("method", "mode"), ROW_CASES)
def test_masked_entries_are_as_if_they_were_absent(method: str, mode: str) -> None:
    x = draw(2, 4)
    nothing = torch.full((2, 1), -math.inf, dtype=torch.float64)
    masked = torch.cat([x[:, :2], nothing, x[:, 2:]], dim=-1).requires_grad_()
    rows = softtorch.argsort(masked, method=method, mode=mode)
    assert (rows[:, 1:, 2] == 0).all()
    assert (rows[:, 0] == torch.tensor([0, 0, 1, 0, 0])).all()
    torch.testing.assert_close(rows.sum(dim=-1), torch.ones(2, 5, dtype=torch.float64), rtol=0, atol=TOLERANCE)
    (gradient,) = torch.autograd.grad((rows * weights_like(rows)).sum(), masked)
    assert gradient.isfinite().all()
    assert (gradient[:, 2] == 0).all()
    if method in ("softsort", "neuralsort"):
        alone = softtorch.argsort(x, method=method, mode=mode)
        torch.testing.assert_close(rows[:, 1:][..., [0, 1, 3, 4]], alone)


@pytest.mark.parametrize(("method", "mode"), VALUE_CASES)
@pytest.mark.parametrize("mask", [-math.inf, torch.finfo(torch.float32).min, -1e9, 1e30])
def test_masks_of_every_size_leave_values_and_gradients_finite(method: str, mode: str, mask: float) -> None:
    x = torch.tensor([[0.3, mask, 1.0, -0.5, mask, 2.0]], requires_grad=True)
    values = softtorch.topk(x, 3, method=method, mode=mode).values
    assert values.isfinite().all()
    (gradient,) = torch.autograd.grad((values / values.detach().abs().amax() * weights_like(values)).sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("method", "mode"), ROW_CASES)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_tiny_and_large_numbers_are_fine_in_float32(method: str, mode: str, scale: float) -> None:
    x = (draw(2, 5, dtype=torch.float32) * scale).requires_grad_()
    rows = softtorch.argsort(x, method=method, mode=mode)
    # the mean of float32 numbers near 1e6 is right to 0.06, and softness 0.1 magnifies that tenfold
    torch.testing.assert_close(
        rows.double(), softtorch.argsort(x.double(), method=method, mode=mode), rtol=0, atol=1e-3
    )
    (gradient,) = torch.autograd.grad((rows * weights_like(rows)).sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("method", "mode"), [c for c in ROW_CASES if c[0] != "ot"])
def test_rows_have_the_gradient_of_finite_differences(method: str, mode: str) -> None:
    x = draw(2, 5).requires_grad_()
    softness = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    rows = lambda x, s: softtorch.argsort(x, softness=s, method=method, mode=mode)  # noqa: E731
    assert torch.autograd.gradcheck(rows, (x, softness))


@pytest.mark.parametrize(("method", "mode"), [c for c in RANK_CASES if c[0] != "ot"])
def test_ranks_have_the_gradient_of_finite_differences(method: str, mode: str) -> None:
    x = draw(2, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: softtorch.rank(x, -1, 0.3, method=method, mode=mode), (x,))
