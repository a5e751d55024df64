"""Averages under compact weights on the sorted line against the pairs themselves."""

import pytest
import torch
from torch import Tensor

from softtorch.kernels import simplex
from softtorch.kernels.sorted_line import compact

SOFTNESS = (1e-4, 1e-2, 0.1, 1.0, 10.0)
KINDS = ("normal", "ties", "clusters", "outliers")


def line(kind: str, rows: int, n: int) -> Tensor:
    """Sorted entries, (rows, n)."""
    x = torch.randn(rows, n, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    made = {
        "normal": x,
        "ties": (x * 10.0).round() / 10.0,
        "clusters": x.sign() * 3.0 + 1e-6 * x,
        "outliers": torch.where(x > 1.5, 1e3 * x, x),
    }
    return made[kind].sort(dim=-1).values


def dense(y: Tensor, v: Tensor, index: Tensor | None, power: int) -> Tensor:
    """The same by all pairs, (rows, k)."""
    at = y if index is None else y.index_select(-1, index)
    weights = simplex.project(-(at.unsqueeze(-1) - y.unsqueeze(-2)).abs(), power)
    return (weights * v.unsqueeze(-2)).sum(dim=-1)


@pytest.mark.parametrize("power", (1, 2, 3))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("softness", SOFTNESS)
def test_values_and_gradients_are_those_of_all_pairs(power: int, kind: str, softness: float) -> None:
    x = line(kind, 2, 700)
    y, v = (x.sigmoid() / softness).requires_grad_(), x.clone().requires_grad_()
    got, want = compact.average(y, v, None, power), dense(y, v, None, power)
    weights = torch.randn(got.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    scale = 1.0 + float(x.abs().amax())
    # Sums of n terms of size 1 cancel to 1.
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10 * scale)
    for slope, true in zip(*(torch.autograd.grad(out, (y, v), weights) for out in (got, want)), strict=True):
        # Slopes are weights to the power 1 - 1/r, whose digits y's own rounding takes: eps * y, times n.
        torch.testing.assert_close(slope, true, rtol=1e-7, atol=1e-6 * float(true.abs().amax()) + 1e-9)


@pytest.mark.parametrize("power", (1, 2, 3))
def test_some_places_are_those_of_all(power: int) -> None:
    y, index = line("normal", 3, 500) / 0.2, torch.tensor([499, 0, 250])
    every = compact.average(y, y, None, power)
    torch.testing.assert_close(compact.average(y, y, index, power), every[:, index], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("power", (1, 2, 3))
def test_the_search_does_not_depend_on_its_stride(power: int, monkeypatch: pytest.MonkeyPatch) -> None:
    y = line("normal", 1, 20_000) / 0.05
    first = compact.average(y, y, None, power)
    monkeypatch.setattr(compact, "STRIDE", 7)
    torch.testing.assert_close(compact.average(y, y, None, power), first, rtol=1e-9, atol=1e-9)


def test_an_even_spacing_is_its_own_average_inside() -> None:
    y = torch.arange(100_000, dtype=torch.float64).unsqueeze(0) / 1e4
    for power in (1, 2, 3):
        mean = compact.average(y, y, None, power)
        # Rounding of sums over 1e5 terms.
        torch.testing.assert_close(mean[:, 20_000:80_000], y[:, 20_000:80_000], rtol=0, atol=1e-8)


@pytest.mark.parametrize("power", (2, 3))
def test_second_derivatives_are_those_of_all_pairs(power: int) -> None:
    y = (line("normal", 2, 6) / 0.7).requires_grad_()
    v = line("normal", 2, 6).flip(-1).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda y, v: compact.average(y, v, None, power), (y, v))
    assert torch.autograd.gradgradcheck(lambda y, v: compact.average(y, v, None, power), (y, v))


@pytest.mark.parametrize("power", (1, 2, 3))
def test_vmap_and_forward_mode_agree_with_the_batch(power: int) -> None:
    y = line("normal", 4, 50) / 0.3
    batch = compact.average(y, y, None, power)
    mapped = torch.func.vmap(lambda row: compact.average(row, row, None, power))(y)
    torch.testing.assert_close(mapped, batch, rtol=1e-12, atol=1e-12)
    slopes = torch.func.vmap(torch.func.grad(lambda row: compact.average(row, row, None, power).square().sum()))(y)
    leaf = y.clone().requires_grad_()
    (want,) = torch.autograd.grad(compact.average(leaf, leaf, None, power).square().sum(), leaf)
    torch.testing.assert_close(slopes, want, rtol=1e-9, atol=1e-9)
    _, forward = torch.func.jvp(lambda y: compact.average(y, y, None, power).square().sum(), (y,), (y,))
    torch.testing.assert_close(forward, (want * y).sum(), rtol=1e-9, atol=1e-9)


def test_a_nan_reaches_its_whole_row_alone() -> None:
    y = line("normal", 2, 300) / 0.1
    y[0, -1] = torch.nan
    mean = compact.average(y, y, None, 1)
    assert mean[0].isnan().all() and mean[1].isfinite().all()


def test_a_single_place_is_its_own_average() -> None:
    one = torch.tensor([[3.0]], dtype=torch.float64)
    assert compact.average(one, one, None, 3).item() == 3.0
