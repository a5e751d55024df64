"""The power projections onto the simplex: exactness, derivatives, transforms."""

import math

import pytest
import torch
from torch import Tensor

from softtorch.kernels.simplex import project
from tests.softtorch.cases import draw, weights_like

POWERS = [1, 2, 3]


def by_bisection(z: Tensor, power: int) -> Tensor:
    """The projection by bisection for the threshold, to the last bit: slow and independent."""
    low = z.amax(dim=-1, keepdim=True) - 1
    high = z.amax(dim=-1, keepdim=True)
    for _ in range(80):
        middle = (low + high) / 2
        above = (z - middle).clamp(min=0).pow(power).sum(dim=-1, keepdim=True) > 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (z - low).clamp(min=0).pow(power)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("scale", [1e-9, 1e-2, 1.0, 30.0])
def test_it_equals_bisection(power: int, scale: float) -> None:
    z = draw(20, 50) * scale
    # both thresholds are right to a few roundings of numbers near 1
    torch.testing.assert_close(project(z, power), by_bisection(z, power), rtol=0, atol=1e-13)


@pytest.mark.parametrize("power", POWERS)
def test_a_single_entry_gets_everything(power: int) -> None:
    assert project(torch.tensor([[3.0], [-1e30]]), power).tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("power", POWERS)
def test_ties_share_evenly(power: int) -> None:
    # rounding of the p-th root and power
    torch.testing.assert_close(
        project(torch.full((7,), 2.5, dtype=torch.float64), power), torch.full((7,), 1 / 7, dtype=torch.float64)
    )


@pytest.mark.parametrize("power", POWERS)
def test_extreme_scores_are_exact(power: int) -> None:
    z = torch.tensor([1e38, -1e38, 1e38, -math.inf])
    torch.testing.assert_close(project(z, power), torch.tensor([0.5, 0.0, 0.5, 0.0]))


@pytest.mark.parametrize("power", POWERS)
def test_a_million_entries_sum_to_one_in_float32(power: int) -> None:
    z = draw(1_000_000, dtype=torch.float32) * 1e-3
    p = project(z, power)
    exact = project(z.double(), power)
    # 1e-6 relative is 8 units in the last place of float32, for sums of a million terms
    assert abs(p.double().sum() - 1) < 1e-6
    assert (p - exact).abs().max() < 1e-6 * exact.max()


@pytest.mark.parametrize("power", POWERS)
def test_nothing_is_left_of_an_empty_axis(power: int) -> None:
    assert project(torch.zeros(3, 0), power).shape == (3, 0)
    assert project(torch.zeros(0, 3), power).shape == (0, 3)


@pytest.mark.parametrize("power", POWERS)
def test_nan_spoils_its_row_alone(power: int) -> None:
    p = project(torch.tensor([[0.0, math.nan, 1.0], [0.0, 0.5, 1.0]]), power)
    assert p[0].isnan().all()
    assert p[1].isfinite().all()


@pytest.mark.parametrize("power", POWERS)
def test_first_derivatives(power: int) -> None:
    z = draw(3, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: project(z, power), (z,), check_forward_ad=True)


@pytest.mark.parametrize("power", [2, 3])
def test_second_derivatives(power: int) -> None:
    z = draw(3, 6).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda z: project(z, power), (z,))


@pytest.mark.parametrize("power", POWERS)
def test_vmap_jvp_and_hessian_agree_with_plain_batches(power: int) -> None:
    z = draw(4, 5)
    p = project(z, power)
    torch.testing.assert_close(torch.func.vmap(lambda row: project(row, power))(z), p)
    torch.testing.assert_close(torch.func.vmap(lambda row: project(row, power), in_dims=1, out_dims=1)(z.T), p.T)

    weights = weights_like(z[0])

    def loss(row: Tensor) -> Tensor:
        return (project(row, power) * weights).square().sum()

    forward = torch.func.vmap(torch.func.jacfwd(torch.func.jacrev(loss)))(z)
    reverse = torch.func.vmap(torch.func.jacrev(torch.func.jacrev(loss)))(z)
    torch.testing.assert_close(forward, reverse)


@pytest.mark.parametrize("power", POWERS)
def test_the_compiled_form_has_the_same_first_and_second_derivatives(power: int) -> None:
    z = draw(3, 6).requires_grad_()
    compiled = torch.compile(lambda z: project(z, power), fullgraph=True, backend="eager")
    weights = weights_like(z)

    def slopes(fn) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        (first,) = torch.autograd.grad((fn(z).square() * weights).sum(), z, create_graph=True)
        (second,) = torch.autograd.grad((first * weights).sum(), z)
        return first, second

    for got, want in zip(slopes(compiled), slopes(lambda z: project(z, power)), strict=True):
        torch.testing.assert_close(got, want)  # two Newton steps against the implicit formula: rounding


@pytest.mark.parametrize("power", POWERS)
def test_only_the_output_is_saved(power: int) -> None:
    saved: list[Tensor] = []
    z = draw(64, 64).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        project(z, power)
    assert sum(t.numel() for t in saved) <= 2 * z.numel()  # the output, listed for either direction
