"""The mask of many entries equals that of few, by another way: values, derivatives of both orders, borders."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.kernels import laplace, large_top_mask
from tests.meters import peak_bytes


def entries(rows: int, n: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0, 1e5])
@pytest.mark.parametrize("k", [0.5, 1.0, 700.0, 8191.5])
def test_the_search_finds_the_mask_of_the_sort(scale: float, k: float) -> None:
    y = (entries(2, 8192) * scale).requires_grad_()
    count = torch.full((2, 1), k, dtype=torch.float64, requires_grad=True)
    weights = entries(2, 8192, seed=1)
    assert large_top_mask.is_large(y)
    found, expected = laplace.top_mask(y, count), laplace.plain_top_mask(y, count)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    slopes = torch.autograd.grad((found * weights).sum(), (y, count))
    for slope, by_sort in zip(slopes, torch.autograd.grad((expected * weights).sum(), (y, count)), strict=True):
        torch.testing.assert_close(slope, by_sort, rtol=1e-7, atol=1e-9)


def test_k_of_nothing_and_of_all_is_left_to_the_sort() -> None:
    y = entries(2, 8192)
    for k in (0.0, 8192.0):
        mask = laplace.top_mask(y, torch.full((2, 1), k, dtype=torch.float64))
        torch.testing.assert_close(mask, torch.full_like(y, k / 8192), rtol=0, atol=1e-9)


def test_entries_in_order_and_ties_are_found_too() -> None:
    y = torch.cat([torch.zeros(1, 6000), torch.ones(1, 3000), torch.full((1, 1000), 40.0)], dim=-1).double()
    mask = laplace.top_mask(y, torch.tensor([[2000.0]], dtype=torch.float64))
    torch.testing.assert_close(mask, laplace.plain_top_mask(y, torch.tensor([[2000.0]], dtype=torch.float64)))


def test_second_derivatives_are_those_of_the_sort() -> None:
    y = entries(1, 20000).requires_grad_()
    k = torch.tensor([[300.0]], dtype=torch.float64)
    found = [
        torch.autograd.grad(torch.autograd.grad(mask(y, k).square().sum(), y, create_graph=True)[0].square().sum(), y)[
            0
        ]
        for mask in (laplace.top_mask, laplace.plain_top_mask)
    ]
    torch.testing.assert_close(*found)


def test_a_mask_in_float32_sums_to_k_in_little_memory() -> None:
    x = entries(8, 16384).float().requires_grad_()
    mask = softtorch.topk_mask(x, 512)
    torch.testing.assert_close(mask.sum(-1), torch.full((8,), 512.0), rtol=1e-5, atol=0)
    assert peak_bytes(lambda: softtorch.topk_mask_st(x, 512).square().sum().backward()) < 20 * x.nbytes


@pytest.mark.parametrize("k", [0, 1, 3, 2.5, 5])
def test_the_hard_mask_counts_ties_and_nan_as_torch_sorts_them(k: float) -> None:
    x = torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0], [torch.nan, 1.0, -torch.inf, 1.0, torch.inf]])
    order = x.sort(dim=-1, descending=True, stable=True).indices
    expected = torch.zeros_like(x).scatter(-1, order, (k - torch.arange(5.0)).clamp(0.0, 1.0).expand(2, 5))
    assert torch.equal(softtorch.topk_mask(x, k, mode="hard"), expected)
