"""Sorting networks: they sort, their rows are the product of their swaps, their swap functions keep their laws."""

import itertools

import pytest
import torch
from torch import Tensor

from softtorch.kernels import network
from tests.softtorch.cases import draw

CPU = torch.device("cpu")
FUNCTIONS = {
    "logistic": torch.sigmoid,
    "reciprocal": network.reciprocal,
    "cauchy": network.cauchy,
    "optimal": network.optimal,
}
V = torch.linspace(-30, 30, 6001, dtype=torch.float64)


def hard(v: Tensor) -> Tensor:
    return torch.heaviside(v, torch.tensor(0.5, dtype=v.dtype))


def run(
    x: Tensor, layers: list[network.Layer], swap: network.Swap, error_free: bool = False
) -> tuple[Tensor, list[Tensor]]:
    return network.run(x, torch.zeros_like(x, dtype=torch.int8), layers, swap, error_free)


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_the_bitonic_network_sorts_every_sequence_of_zeros_and_ones(n: int) -> None:
    # which by the zero-one principle means every sequence
    x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)
    assert torch.equal(run(x, list(network.bitonic(n, CPU)), hard)[0], x.sort(dim=-1).values)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_the_odd_even_network_sorts_every_sequence_of_zeros_and_ones(n: int) -> None:
    x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)
    assert torch.equal(run(x, list(network.odd_even(n, CPU)), hard)[0], x.sort(dim=-1).values)


@pytest.mark.parametrize("layout", [network.bitonic, network.odd_even])
def test_rows_are_the_product_of_the_layers_matrices(layout: object) -> None:
    x, layers = draw(3, 8), list(layout(8, CPU))  # type: ignore[operator]
    result, weights = run(x, layers, torch.sigmoid)
    product = torch.eye(8, dtype=torch.float64).expand(3, 8, 8)
    for layer, weight in zip(layers, weights, strict=True):
        swap = torch.diag_embed(1 - weight)[..., layer.partner] + torch.diag_embed(weight)
        product = swap @ product
    rows = network.rows(torch.eye(8, dtype=torch.float64), weights, layers, False)
    torch.testing.assert_close(rows, product)
    torch.testing.assert_close((rows @ x.unsqueeze(-1)).squeeze(-1), result)
    for dim in (-1, -2):
        torch.testing.assert_close(rows.sum(dim=dim), torch.ones_like(x))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_swap_functions_are_steps_from_zero_to_one(name: str) -> None:
    f = FUNCTIONS[name](V)
    torch.testing.assert_close(f + f.flip(0), torch.ones_like(f))
    assert (f.diff() >= 0).all()
    assert 0 <= f[0] < 0.04
    slope = torch.autograd.functional.jacobian(lambda v: FUNCTIONS[name](v).sum(), V[::50].clone())
    assert slope.isfinite().all()


@pytest.mark.parametrize("name", ["reciprocal", "cauchy", "optimal"])
def test_the_monotone_swaps_are_monotone_and_the_logistic_one_is_not(name: str) -> None:
    def smaller(function: network.Swap) -> Tensor:
        return V * function(-V)  # of V and 0

    # the differences of a thousandth carry rounding of 30 eps
    assert (smaller(FUNCTIONS[name]).diff() >= -1e-14).all()
    assert smaller(FUNCTIONS["logistic"]).diff().min() / 0.01 < -0.09


def test_error_free_swaps_are_exact_and_have_the_soft_derivative() -> None:
    x = torch.tensor([1.0, 0.3], dtype=torch.float64, requires_grad=True)
    layers = list(network.bitonic(2, CPU))
    exact, _ = run(x, layers, torch.sigmoid, error_free=True)
    soft, _ = run(x, layers, torch.sigmoid)
    assert torch.equal(exact.detach(), torch.tensor([0.3, 1.0], dtype=torch.float64))
    for i in range(2):
        of_exact, of_soft = (torch.autograd.grad(y[i], x, retain_graph=True)[0] for y in (exact, soft))
        torch.testing.assert_close(of_exact, of_soft)


def test_entries_of_different_level_never_mix() -> None:
    x, level = draw(4, 8), torch.tensor([0, -1, 0, 1, 0, 0, -1, 0], dtype=torch.int8).expand(4, 8)
    result, weights = network.run(x, level, list(network.bitonic(8, CPU)), torch.sigmoid, False)
    rows = network.rows(torch.eye(8, dtype=torch.float64), weights, list(network.bitonic(8, CPU)), False)
    assert (rows[:, :2][..., [0, 2, 3, 4, 5, 7]] == 0).all()
    assert (rows[:, 2:7][..., [1, 3, 6]] == 0).all()
    torch.testing.assert_close(result[:, 7], x[:, 3])


def test_the_padded_size_is_the_next_power_of_two() -> None:
    assert [network.padded_size(n) for n in (1, 2, 3, 4, 5, 8, 9)] == [1, 2, 4, 4, 8, 8, 16]
