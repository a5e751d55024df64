"""LapSum as a method: values without rows, masks with a learnable k, infinite entries, and its own quantile."""

import math

import pytest
import torch

import softtorch
from softtorch.methods import LapSum
from softtorch.methods.positions import At, Every, Highest
from softtorch.modes import SMOOTH
from tests.softtorch.cases import draw, weights_like

METHOD = LapSum()


@pytest.mark.parametrize(
    "positions", [Every(), Every(descending=True), Highest(3), At((2, 2, 0)), At(torch.tensor([1, 4]))]
)
def test_values_without_rows_equal_rows_times_entries(positions: object) -> None:
    x = draw(3, 6).requires_grad_()
    keys = METHOD.prepare(x, 0.3, SMOOTH, True)
    values, rows = METHOD.values(keys, positions), METHOD.rows(keys, positions)
    dense = (rows * x.unsqueeze(-2)).sum(dim=-1)
    torch.testing.assert_close(values, dense, rtol=0, atol=1e-13)
    slopes = (torch.autograd.grad(v, x, weights_like(v), retain_graph=True)[0] for v in (values, dense))
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-12)


def test_gated_grad_stops_the_gradient_of_the_weights_alone() -> None:
    x = draw(2, 6).requires_grad_()
    keys = METHOD.prepare(x, 0.3, SMOOTH, True)
    rows = METHOD.rows(keys, Every()).detach()
    values = METHOD.values(keys, Every(), gated_grad=False)
    g = weights_like(values)
    torch.testing.assert_close(torch.autograd.grad(values, x, g)[0], (g.unsqueeze(-1) * rows).sum(dim=-2))


def test_sorting_keeps_the_sum_at_every_softness() -> None:
    x = draw(2, 50)
    for softness in (1e-4, 0.1, 10.0):
        values = softtorch.sort(x, softness=softness, method="lapsum", return_indices=False).values
        torch.testing.assert_close(values.sum(dim=-1), x.sum(dim=-1), rtol=0, atol=1e-11)


def test_a_hundred_thousand_float32_entries_sort_and_rank_without_a_matrix() -> None:
    x = draw(100_000, dtype=torch.float32).requires_grad_()
    values = softtorch.sort(x, softness=1e-3, method="lapsum", return_indices=False).values
    ranks = softtorch.rank(x, -1, softness=1e-3, method="lapsum")
    # a softness of 1e-3 blurs over some hundred of these entries
    torch.testing.assert_close(values[100:-100], x.detach().sort().values[100:-100], rtol=0, atol=0.02)
    assert abs(ranks.double().sum() / (50_000.5 * 100_000) - 1) < 1e-6  # float32 ranks
    (gradient,) = torch.autograd.grad((values * x.detach()).sum() + ranks.square().mean(), x)
    assert gradient.isfinite().all()


def test_infinite_entries_are_as_if_absent() -> None:
    x = draw(2, 5)
    wide = torch.cat([torch.full((2, 1), -math.inf), x, torch.full((2, 2), math.inf)], dim=-1).double()
    for name in ("sort", "rank", "topk_mask"):
        args, more = ((2,), (4,)) if name == "topk_mask" else ((-1,), (-1,))
        extra = {"descending": False} if name != "topk_mask" else {}
        results = [getattr(softtorch, name)(t, *a, method="lapsum", **extra) for t, a in ((x, args), (wide, more))]
        alone, among = (r if isinstance(r, torch.Tensor) else r.values for r in results)
        torch.testing.assert_close(among[:, 1:6], alone + (name == "rank"), rtol=0, atol=1e-12)
    mask = softtorch.topk_mask(wide, 4, method="lapsum")
    torch.testing.assert_close(mask[:, [0, 6, 7]], torch.tensor([[0.0, 1.0, 1.0]]).expand(2, 3).double())


def test_k_is_learnable_and_may_differ_by_row() -> None:
    x, k = draw(2, 6), torch.tensor([1.5, 4.0], dtype=torch.float64, requires_grad=True)
    mask = softtorch.topk_mask(x, k)
    torch.testing.assert_close(mask.sum(dim=-1), k.detach())
    (slope,) = torch.autograd.grad(mask.sum(), k)
    torch.testing.assert_close(slope, torch.ones_like(k))
    assert torch.autograd.gradcheck(lambda k: softtorch.topk_mask(x, k) * weights_like(x), k)


def test_the_inverse_quantile_inverts_the_blurred_distribution_function() -> None:
    x, q = draw(3, 7), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    point = softtorch.laplace_quantile(x, q, dim=-1, softness=0.3, keepdim=True)
    t = (point - x) / 0.3
    share = torch.where(t > 0, 1 - torch.exp(-t.abs()) / 2, torch.exp(-t.abs()) / 2).mean(dim=-1)
    torch.testing.assert_close(share, q)
    inputs = (x.requires_grad_(), q, torch.tensor(0.3, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(lambda x, q, s: softtorch.laplace_quantile(x, q, -1, softness=s), inputs)


def test_the_inverse_quantile_leaves_infinite_entries_out_and_says_what_q_may_be() -> None:
    x = torch.tensor([0.0, math.inf, 3.0, 1.0, -math.inf])
    torch.testing.assert_close(softtorch.laplace_quantile(x, 0.5, softness=0.01), torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"laplace_quantile: q=1.5 is not between 0 and 1\. Use 0 < q < 1\."):
        softtorch.laplace_quantile(x, 1.5)


@pytest.mark.parametrize("operator", ["argsort", "sort", "rank", "topk_mask", "quantile"])
def test_a_tail_is_the_mean_of_three_softnesses(operator: str) -> None:
    def soft(softness: float, mode: str) -> torch.Tensor:
        rest = {"topk_mask": (2,), "quantile": (0.3,)}.get(operator, ())
        options = {"softness": softness, "mode": mode, "method": "lapsum", "standardize": False}
        found = getattr(softtorch, operator)(x, *rest, dim=-1, **options)
        return found.values if operator == "sort" else found

    x = draw(3, 6).requires_grad_()
    tailed, parts = soft(0.3, "tailed"), [soft(softness, "smooth") for softness in (0.3, 2.1, 14.7)]
    mean = (parts[0] + parts[1] + parts[2]) / 3.0
    torch.testing.assert_close(tailed, mean, rtol=0, atol=1e-13)
    slopes = (torch.autograd.grad(v, x, weights_like(v))[0] for v in (tailed, mean))
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-12)


def test_with_a_tail_what_is_far_from_chosen_has_a_derivative() -> None:
    x = torch.tensor([0.0, 1.0, 2.0, 8.0], requires_grad=True)
    weights = torch.tensor([3.0, 1.0, 1.0, 1.0])
    slopes = {}
    for mode in ("smooth", "tailed"):
        mask = softtorch.topk_mask(x, 1, softness=0.2, method="lapsum", mode=mode, standardize=False)
        slopes[mode] = torch.autograd.grad(mask @ weights, x)[0]
    assert abs(slopes["smooth"][0]) < 1e-9 and slopes["tailed"][0] > 1e-3
