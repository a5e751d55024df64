"""Optimal transport as a method: its columns, masks, infinite entries, derivatives through the operators."""

import functools
import math
import re

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.errors import OptionError
from softtorch.methods import OptimalTransport
from softtorch.methods.positions import At, Every
from softtorch.modes import MODES
from tests.softtorch.cases import SOFT_MODES, draw, weights_like

METHOD = OptimalTransport()


@pytest.mark.parametrize("mode", SOFT_MODES)
@pytest.mark.parametrize("places", [(2,), (0, 1), (5, 4), (3, 3, 1), (0, 2, 5)])
def test_places_in_a_tensor_give_what_plain_places_give(mode: str, places: tuple[int, ...]) -> None:
    keys = METHOD.prepare(draw(2, 6), 0.1, MODES[mode], True)
    expected = METHOD.rows(keys, At(places))
    # two solutions of the same problem, each right to 1e-10
    torch.testing.assert_close(METHOD.rows(keys, At(torch.tensor(places))), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("mode", SOFT_MODES)
def test_infinite_entries_are_as_if_absent(mode: str) -> None:
    x = draw(2, 5)
    wide = torch.cat([torch.full((2, 1), -math.inf), x, torch.full((2, 2), math.inf)], dim=-1).double()
    alone, among = (softtorch.sort(t, method="ot", mode=mode) for t in (x, wide))
    torch.testing.assert_close(among.values[:, 1:6], alone.values, rtol=0, atol=1e-8)
    torch.testing.assert_close(among.indices[:, 1:6, 1:6], alone.indices, rtol=0, atol=1e-8)
    assert (among.indices[:, 1:6][..., [0, 6, 7]] == 0).all()
    alone, among = (softtorch.topk_mask(t, k, method="ot", mode=mode) for t, k in ((x, 2.5), (wide, 4.5)))
    torch.testing.assert_close(among[:, 1:6], alone, rtol=0, atol=1e-8)
    torch.testing.assert_close(among[:, [0, 6, 7]], torch.tensor([[0.0, 1.0, 1.0]]).expand(2, 3).double())


def test_a_mask_larger_or_smaller_than_the_finite_entries_shares_the_infinite_ones() -> None:
    x = torch.tensor([math.inf, 0.0, -math.inf, math.inf, 1.0, -math.inf], dtype=torch.float64)
    one = torch.tensor([0.5, 0.0, 0.0, 0.5, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(softtorch.topk_mask(x, 1, method="ot"), one)
    five = torch.tensor([1.0, 1.0, 0.5, 1.0, 1.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(softtorch.topk_mask(x, 5, method="ot"), five)


@pytest.mark.parametrize("mode", SOFT_MODES)
def test_values_and_ranks_have_the_gradient_of_finite_differences(mode: str) -> None:
    x = draw(1, 4).requires_grad_()
    softness = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    for name, args in (("sort", (-1,)), ("rank", (-1,)), ("topk", (2, -1))):

        def loss(x: torch.Tensor, s: torch.Tensor, name: str = name, args: tuple[int, ...] = args) -> torch.Tensor:
            result = getattr(softtorch, name)(x, *args, softness=s, mode=mode, method="ot")
            values = result if isinstance(result, torch.Tensor) else result.values
            return (values * weights_like(values)).sum()

        assert torch.autograd.gradcheck(loss, (x, softness), fast_mode=True)


def test_ties_share_evenly() -> None:
    rows = softtorch.argsort(torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64), method="ot")
    torch.testing.assert_close(rows, torch.full((3, 3), 1 / 3).double())


def test_the_plan_of_all_places_is_doubly_stochastic_in_float32_and_half() -> None:
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):  # sums of 40 roundings
        keys = METHOD.prepare(draw(40, dtype=dtype), 0.05, MODES["smooth"], True)
        rows = METHOD.rows(keys, Every())
        assert rows.dtype == torch.float32
        torch.testing.assert_close(rows.sum(dim=-2), torch.ones(40), rtol=0, atol=tolerance)


def column_error(x: Tensor, mode: str, **ot_kwargs: float) -> float:
    rows = softtorch.argsort(x, softness=1.0, mode=mode, method="ot", ot_kwargs=ot_kwargs)
    return float((rows.sum(dim=-1) - 1.0).abs().max())


@pytest.mark.parametrize("mode", SOFT_MODES)
def test_ot_kwargs_end_the_solver(mode: str) -> None:
    x = draw(6)
    errors = [column_error(x, mode, sinkhorn_max_iter=steps) for steps in (1, 2, 200)]
    assert errors[0] > 1e-3  # one step is not enough
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] <= 1e-11
    loose = column_error(x, mode, sinkhorn_tol=0.1)
    assert errors[2] < loose <= 0.1
    assert column_error(x, mode) == column_error(x, mode, sinkhorn_max_iter=200, sinkhorn_tol=1e-12) == errors[2]


@pytest.mark.parametrize("ot_kwargs", [{"sinkhorn_max_iter": 1}, {"sinkhorn_tol": 0.1}])
def test_ot_kwargs_reach_every_operator_and_transform(ot_kwargs: dict[str, float]) -> None:
    x = draw(3, 6)
    for name in ("argsort", "rank", "topk_mask"):
        extra = {"k": 2} if name == "topk_mask" else {"dim": -1}
        call = functools.partial(getattr(softtorch, name), softness=1.0, method="ot", **extra)
        ended = call(x, ot_kwargs=ot_kwargs)
        assert not torch.equal(ended, call(x))
        mapped = torch.func.vmap(lambda row, call=call: call(row, ot_kwargs=ot_kwargs))(x)
        torch.testing.assert_close(mapped, ended)
        assert torch.autograd.grad(call(x.requires_grad_(), ot_kwargs=ot_kwargs).square().sum(), x)[0].isfinite().all()
        x = x.detach()


def test_ot_kwargs_have_no_effect_on_other_methods() -> None:
    x, ot_kwargs = draw(5), {"sinkhorn_max_iter": 1}
    assert torch.equal(softtorch.argsort(x, ot_kwargs=ot_kwargs), softtorch.argsort(x))


@pytest.mark.parametrize("method", ["ot", "softsort"])
@pytest.mark.parametrize("mode", ["smooth", "hard"])
@pytest.mark.parametrize(
    ("ot_kwargs", "text"),
    [
        (
            {"max_iter": 3},
            "ot_kwargs has no option 'max_iter'. Options: sinkhorn_max_iter, sinkhorn_tol. "
            "Did you mean 'sinkhorn_max_iter'?",
        ),
        ({"sinkhorn_max_iter": 0}, "ot_kwargs has sinkhorn_max_iter=0. Use an integer of at least 1."),
        ({"sinkhorn_max_iter": 2.0}, "ot_kwargs has sinkhorn_max_iter=2.0. Use an integer of at least 1."),
        ({"sinkhorn_tol": -1.0}, "ot_kwargs has sinkhorn_tol=-1.0. Use a number above 0."),
    ],
)
def test_an_unknown_or_illegal_option_is_an_error(
    method: str, mode: str, ot_kwargs: dict[str, object], text: str
) -> None:
    with pytest.raises(OptionError, match=f"^argmax: {re.escape(text)}$"):
        softtorch.argmax(draw(5), method=method, mode=mode, ot_kwargs=ot_kwargs)


def sinkhorn(x: Tensor, mass: list[float], softness: float) -> Tensor:
    """The plan (n, [m]) to evenly spaced anchors by Sinkhorn's iterations, another way to the same optimum."""
    anchors = torch.linspace(0, 1, len(mass), dtype=torch.float64)
    kernel = torch.exp(-(x[:, None] - anchors).square() / softness)
    v = torch.ones_like(anchors)
    for _ in range(2000):
        u = 1.0 / (kernel @ v)
        v = torch.tensor(mass, dtype=torch.float64) / (kernel.mT @ u)
    return u[:, None] * kernel * v


@pytest.mark.parametrize("interpolation", ["linear", "midpoint"])
@pytest.mark.parametrize("place", [0.5, 1.0, 2.0, 3.25, 4.0, 4.75])
def test_a_quantile_has_columns_for_its_place_the_next_and_both_sides(interpolation: str, place: float) -> None:
    # SoftTorch keeps the column of an empty side, and the next place where it has no weight.
    x, below = draw(6).double(), math.floor(place)
    plan = sinkhorn(x, [below, 1.0, 1.0, 4.0 - below], 1.5)
    weight = {"linear": place - below, "midpoint": 0.5 * (place > below)}[interpolation]
    row = (1 - weight) * plan[:, 1] + weight * plan[:, 2]
    options = {"method": "ot", "softness": 1.5, "standardize": False, "interpolation": interpolation}
    torch.testing.assert_close(softtorch.argquantile(x, place / 5, **options), row, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("interpolation", "place"), [("lower", 0), ("higher", 1), ("nearest", 0)])
def test_a_quantile_at_one_place_has_columns_for_it_and_both_sides(interpolation: str, place: int) -> None:
    x = draw(6).double()
    row = sinkhorn(x, [place, 1.0, 5.0 - place], 1.5)[:, 1]
    options = {"method": "ot", "softness": 1.5, "standardize": False, "interpolation": interpolation}
    torch.testing.assert_close(softtorch.argquantile(x, 0.09, **options), row, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mode", SOFT_MODES)
@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_many_quantiles_are_those_one_by_one_and_the_ends_are_min_and_max(mode: str, interpolation: str) -> None:
    x, q = draw(2, 6).double(), torch.tensor([0.3, 0.0, 0.4, 1.0, 0.95, 0.3], dtype=torch.float64)
    options = {"dim": 1, "method": "ot", "mode": mode, "softness": 0.4}
    together = softtorch.argquantile(x, q, interpolation=interpolation, **options)
    for one, row in zip(q.tolist(), together, strict=True):
        alone = softtorch.argquantile(x, one, interpolation=interpolation, **options)
        torch.testing.assert_close(row, alone, rtol=0, atol=1e-9)
    torch.testing.assert_close(together[1], softtorch.argmin(x, **options), rtol=0, atol=1e-9)
    torch.testing.assert_close(together[3], softtorch.argmax(x, **options), rtol=0, atol=1e-9)
    values = softtorch.quantile(x, q, interpolation=interpolation, **options)
    torch.testing.assert_close(values, (together * x).sum(-1), rtol=0, atol=1e-9)


def test_the_median_of_two_has_a_column_below_it_like_any_quantile() -> None:
    x = torch.tensor([0.3, 1.1], dtype=torch.float64)
    row = sinkhorn(x, [0.0, 1.0, 1.0], 1.5)[:, 1]
    got = softtorch.argmedian(x, method="ot", softness=1.5, standardize=False)
    torch.testing.assert_close(got, row, rtol=0, atol=1e-9)


def test_a_share_that_is_rounding_alone_has_no_derivative() -> None:
    # In mode c0 the last entry fills its column to the end of the interval of solutions, where a share of 1e-16 would
    # count as a link of two columns in one way of computing it and not in the other.
    x = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(8))[:, 1] * 1.3

    def chosen(x: Tensor) -> Tensor:
        return softtorch.quantile(x, 0.87, method="ot", mode="c0", softness=0.4)

    recorded = torch.autograd.grad(chosen(leaf := x.clone().requires_grad_()), leaf)[0]
    torch.testing.assert_close(torch.func.grad(chosen)(x), recorded, rtol=0, atol=1e-9)
    assert torch.autograd.gradcheck(chosen, leaf)
