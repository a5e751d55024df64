"""Sums of soft distances along a sorted line against the sums over all pairs, for every mode's distance."""

from functools import partial

import pytest
import torch
from torch import Tensor

from softtorch.kernels.sorted_line.compact_distances import compact_distance_sums
from softtorch.kernels.sorted_line.distances import distance_sums
from softtorch.modes import MODES
from tests.softtorch.cases import SOFT_MODES, draw, weights_like

SUMS = {mode: partial(compact_distance_sums, power=MODES[mode].power) for mode in SOFT_MODES}
SUMS["smooth"] = distance_sums


def line(n: int, rows: int = 2) -> Tensor:
    """Sorted entries with ties and with two groups far apart, (rows, n)."""
    x = draw(rows, n, seed=5)
    x[:, 1:4] = x[:, :1]
    x[1:] += 3.0 * x[1:].sign()
    return x.sort(dim=-1).values


def weights(y: Tensor) -> Tensor:
    """1, and 0 for some entries at either end and in between."""
    v = torch.ones_like(y)
    v[..., :2], v[..., -3:], v[..., 5] = 0.0, 0.0, 0.0
    return v


def pairs(y: Tensor, v: Tensor, mode: str) -> Tensor:
    apart = MODES[mode].softabs(y.unsqueeze(-2) - y.unsqueeze(-1), 1.0)
    return (apart * v.unsqueeze(-2)).sum(dim=-1)


@pytest.mark.parametrize("mode", SOFT_MODES)
@pytest.mark.parametrize("softness", [1e-4, 1e-2, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_are_those_of_all_pairs(mode: str, softness: float, weighted: bool) -> None:
    y = (line(900).sigmoid() / softness).requires_grad_()
    v = weights(y.detach()) if weighted else torch.ones_like(y.detach())
    got, want = SUMS[mode](y, v), pairs(y, v, mode)
    # In mode smooth each pair is off by 1e-12 at most; beside it, the rounding of sums of n terms as large as y.
    torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-9 + 1e-12 * 900 / softness)
    slopes = [torch.autograd.grad(sums, y, weights_like(got), create_graph=True)[0] for sums in (got, want)]
    torch.testing.assert_close(*slopes, rtol=1e-8, atol=1e-7)  # the slope of mode smooth is off by 3e-11 a pair
    bends = [torch.autograd.grad(slope, y, weights_like(got, 2))[0] for slope in slopes]
    torch.testing.assert_close(*bends, rtol=1e-6, atol=1e-4)  # its second derivative at 0 is fitted to 1e-6 only


@pytest.mark.parametrize("mode", SOFT_MODES)
def test_sums_map_and_push_forward(mode: str) -> None:
    y = line(40, rows=3) * 2.0
    v, sums = weights(y), SUMS[mode]
    torch.testing.assert_close(torch.func.vmap(sums)(y, v), sums(y, v), rtol=1e-12, atol=1e-11)
    direction = weights_like(y)
    _, pushed = torch.func.jvp(lambda y: sums(y, v), (y,), (direction,))
    _, wanted = torch.func.jvp(lambda y: pairs(y, v, mode), (y,), (direction,))
    torch.testing.assert_close(pushed, wanted, rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("mode", SOFT_MODES)
def test_a_nan_makes_its_row_nan(mode: str) -> None:
    y = line(20)
    y[0, -1] = torch.nan
    found = SUMS[mode](y, torch.ones_like(y))
    assert found[0].isnan().all() and found[1].isfinite().all()
