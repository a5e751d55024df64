"""FastSoftSort as a method: the two uses of the projection, infinite entries, mirror images, sizes."""

import math

import pytest
import torch

import softtorch
from softtorch.kernels.isotonic.project import permutahedron
from tests.softtorch.cases import SOFT_MODES, draw, integers, weights_like

POWER = {"smooth": 0, "c0": 1, "c1": 2, "c2": 3}


@pytest.mark.parametrize("mode", SOFT_MODES)
def test_raw_values_and_ranks_are_the_projections_of_the_paper(mode: str) -> None:
    x, s = draw(2, 6), 0.3
    even = torch.linspace(1, 0, 6, dtype=torch.float64)
    w = x.sort(dim=-1, descending=True).values
    values = softtorch.sort(x, softness=s, mode=mode, method="fast_soft_sort", standardize=False, descending=True)
    torch.testing.assert_close(values.values, permutahedron(even / s, w, POWER[mode]))
    assert values.indices is None
    places = torch.arange(6, 0, -1, dtype=torch.float64) / 5
    projected = 5 * permutahedron(w / s, places, POWER[mode])
    ranks = softtorch.rank(x, -1, s, mode, method="fast_soft_sort", standardize=False, descending=False)
    torch.testing.assert_close(ranks.sort(dim=-1, descending=True).values, projected)
    torch.testing.assert_close(ranks.argsort(dim=-1), x.argsort(dim=-1))


@pytest.mark.parametrize("mode", SOFT_MODES)
def test_infinite_entries_are_as_if_absent(mode: str) -> None:
    x = draw(2, 5)
    wide = torch.cat([torch.full((2, 1), -math.inf), x, torch.full((2, 2), math.inf)], dim=-1).double()
    alone, among = (softtorch.sort(t, mode=mode, method="fast_soft_sort").values for t in (x, wide))
    torch.testing.assert_close(among[:, 1:6], alone, rtol=0, atol=1e-9)
    assert (among[:, 0] == -math.inf).all()
    assert (among[:, 6:] == math.inf).all()
    for descending, shift in ((False, 1), (True, 2)):
        options = {"mode": mode, "method": "fast_soft_sort", "descending": descending}
        alone, among = (softtorch.rank(t, -1, **options) for t in (x, wide))
        torch.testing.assert_close(among[:, 1:6], alone + shift, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mode", SOFT_MODES)
def test_min_is_the_mirror_image_of_max_and_ties_keep_equal_ranks(mode: str) -> None:
    x = integers(3, 6)
    low, high = (
        f(t, 1, mode=mode, method="fast_soft_sort").values for f, t in ((softtorch.min, x), (softtorch.max, -x))
    )
    torch.testing.assert_close(low, -high)
    ranks = softtorch.rank(x, -1, mode=mode, method="fast_soft_sort")
    same = x.unsqueeze(-1) == x.unsqueeze(-2)
    torch.testing.assert_close((ranks.unsqueeze(-1) - ranks.unsqueeze(-2))[same], torch.zeros(int(same.sum())).double())


@pytest.mark.parametrize("mode", SOFT_MODES)
def test_large_float32_input_has_finite_gradients(mode: str) -> None:
    x = draw(2, 50_000, dtype=torch.float32).requires_grad_()
    values = softtorch.sort(x, mode=mode, softness=1e-3, method="fast_soft_sort").values
    torch.testing.assert_close(values[:, 500:-500], x.detach().sort().values[:, 500:-500], rtol=0, atol=0.05)
    ranks = softtorch.rank(x, -1, mode=mode, softness=1e-3, method="fast_soft_sort")
    (gradient,) = torch.autograd.grad((values * x.detach()).sum() + (ranks * weights_like(ranks)).mean(), x)
    assert gradient.isfinite().all()
