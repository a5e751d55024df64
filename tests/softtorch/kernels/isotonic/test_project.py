"""Projection onto the permutahedron: against a sequential solver, and on data made to be slow or to lose digits."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from softtorch.kernels.isotonic import project, rounds, short_rows
from softtorch.kernels.isotonic.laws import LAWS
from softtorch.kernels.isotonic.project import permutahedron
from tests.softtorch.cases import draw, weights_like

POWERS = [0, 1, 2, 3]


def link(t: Tensor, power: int) -> Tensor:
    return t if power < 2 else t.abs() ** (power - 1) * t


def block_value(z: Tensor, w: Tensor, power: int) -> float:
    """The block equation, by bisection where it has no formula."""
    if power == 0:
        return (z.logsumexp(0) - w.logsumexp(0)).item()
    if power == 1:
        return (z - w).mean().item()
    reach = w.abs().sum().item() + 2.0
    low, high = z.min().item() - reach, z.max().item() + reach
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if link(z - middle, power).sum() > w.sum() else (low, middle)
    return middle


def sequential(z: Tensor, w: Tensor, power: int) -> Tensor:
    """Pool adjacent violators with a stack, one row at a time."""
    blocks: list[tuple[int, int, float]] = []
    for i in range(len(z)):
        blocks.append((i, i + 1, block_value(z[i : i + 1], w[i : i + 1], power)))
        while len(blocks) > 1 and blocks[-2][2] < blocks[-1][2]:
            (start, _, _), (_, end, _) = blocks[-2:]
            blocks[-2:] = [(start, end, block_value(z[start:end], w[start:end], power))]
    v = torch.cat([torch.full((end - start,), g, dtype=z.dtype) for start, end, g in blocks])
    return link(z - v, power)


def falling(*shape: int, seed: int) -> Tensor:
    return draw(*shape, seed=seed).sort(dim=-1, descending=True).values


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("cheap_rounds", [12, 0])
def test_it_equals_the_sequential_solver(power: int, cheap_rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "CHEAP_ROUNDS", cheap_rounds)
    monkeypatch.setattr(short_rows, "FEW", 0)
    for seed, (n, softness, scale) in enumerate([(1, 1, 1), (2, 0.3, 1), (5, 0.05, 3), (17, 1, 3), (17, 0.1, 0.1)]):
        z, w = falling(3, n, seed=seed) / softness, falling(3, n, seed=seed + 50) * scale
        z[1], w[2] = z[1].round(), w[2].round()  # ties
        expected = torch.stack([sequential(z[i], w[i], power) for i in range(3)])
        # entries reach 60: cubes of them round at 1e-11
        torch.testing.assert_close(permutahedron(z, w, power), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("power", POWERS)
def test_a_chain_that_falls_one_block_at_a_time_takes_few_rounds(power: int, monkeypatch: pytest.MonkeyPatch) -> None:
    law = LAWS[power]
    calls = []

    class Counting:
        alone, sums = staticmethod(law.alone), staticmethod(law.sums)

        @staticmethod
        def value(sums: tuple[Tensor, ...], start: Tensor, end: Tensor) -> Tensor:
            calls.append(len(start))
            return law.value(sums, start, end)

    n = 4000
    z = torch.linspace(400.0, 0.0, n, dtype=torch.float64)[None]
    w = torch.linspace(1.0, 0.0, n, dtype=torch.float64)[None].clone()
    w[0, 0] = 1e6  # an outlier beside a long slope: pooling runs alone would take n rounds
    pooled = rounds.pooled(Counting(), z, w)
    assert pooled is not None
    first, value = pooled
    # bisections ask for the values too: some rounds of 12 to 13 steps each, squared at most
    assert len(calls) < 400
    assert (value.diff() <= 0).all()
    assert len(first.unique()) < n


@pytest.mark.parametrize("power", POWERS)
def test_large_float32_input_keeps_the_sum(power: int) -> None:
    n = 300_000
    w = torch.sigmoid(draw(1, n, seed=3)).sort(dim=-1, descending=True).values
    z = torch.linspace(1.0, 0.0, n, dtype=torch.float64)[None] / 0.1
    y = permutahedron(z, w, power)
    kept, given = (y.exp().sum(), w.exp().sum()) if power == 0 else (y.sum(), w.sum())
    assert abs(kept - given) < 1e-6 * n * 1e-3  # 1e-9 an entry, float64 sums of blocks of up to n entries
    assert (y.diff() <= 1e-9).all()


@pytest.mark.parametrize("power", POWERS)
def test_gradients_equal_finite_differences_with_batches_that_broadcast(power: int) -> None:
    z, w = falling(2, 1, 6, seed=1) / 0.7, falling(3, 6, seed=2)
    inputs = (z.requires_grad_(), w.requires_grad_())
    loss = lambda z, w: permutahedron(z, w, power) * weights_like(torch.zeros(2, 3, 6, dtype=z.dtype))  # noqa: E731
    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradcheck(loss, inputs, check_forward_ad=True, check_backward_ad=False)
    assert torch.autograd.gradgradcheck(loss, inputs, fast_mode=True)  # within a block structure everything is smooth


def test_blocks_of_one_have_an_exact_gradient_at_zero() -> None:
    w = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64, requires_grad=True)
    z = torch.tensor([20.0, 10.0, 0.0], dtype=torch.float64)
    for power in POWERS:
        jacobian = torch.autograd.functional.jacobian(lambda w, p=power: permutahedron(z, w, p), w)
        torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(0, 4), (2, 0), (3, 1)])
def test_empty_and_single_rows_are_fine(shape: tuple[int, ...]) -> None:
    w = draw(*shape).requires_grad_()
    y = permutahedron(torch.zeros_like(w), w, 1)
    y.sum().backward()
    torch.testing.assert_close(y, w)


def under_transforms() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    def project(z: Tensor, w: Tensor) -> Tensor:
        return permutahedron(z, w, 2)

    return {
        "vmap": torch.func.vmap(project),
        "vmap of one": lambda z, w: torch.func.vmap(project, in_dims=(0, None))(z, w[0]),
        "nested vmap": lambda z, w: torch.func.vmap(torch.func.vmap(project))(z[None], w[None])[0],
    }


@pytest.mark.parametrize("name", list(under_transforms()))
def test_transforms_change_nothing(name: str) -> None:
    z, w = falling(3, 6, seed=1), falling(3, 6, seed=2)
    if name == "vmap of one":
        w = w[:1].expand(3, 6)
    z.requires_grad_()
    got, expected = under_transforms()[name](z, w), permutahedron(z, w, 2)
    torch.testing.assert_close(got, expected)
    loss = weights_like(got)
    torch.testing.assert_close(*(torch.autograd.grad(y, z, loss, retain_graph=True) for y in (got, expected)))


def test_the_operator_keeps_what_its_fake_form_promises() -> None:
    torch.library.opcheck(project._blocks, (falling(2, 5, seed=1), falling(2, 5, seed=2), 2))
