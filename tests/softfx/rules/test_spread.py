"""Spreads: what softness relative to the data is measured by."""

import math
from typing import Any

import pytest
import torch

from softfx.rules import spread
from softfx.rules.spread import Spread


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_spread_of_normal_numbers_is_their_standard_deviation():
    assert spread.of_entries(3.0 * normal(20_000), "x").value == pytest.approx(3.0, rel=0.03)


def test_ginis_mean_difference_is_that_of_all_pairs():
    x = normal(40)
    pairs = (x.unsqueeze(0) - x.unsqueeze(1)).abs().sum() / (40 * 39)
    assert spread.of_entries(x, "x", decided_at_zero=False).value == pytest.approx(
        math.sqrt(math.pi) / 2 * float(pairs), rel=1e-5
    )


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("measure", [
    lambda x: spread.of_entries(x, "x"),
    lambda x: spread.of_rows(x.reshape(10, -1), 1, "x"),
    lambda x: spread.between(x, 0.3 * x.flip(0), "x"),
])  # fmt: skip
def test_a_spread_scales_with_the_data(scale, measure):
    x = normal(200)
    assert measure(scale * x).value == pytest.approx(scale * measure(x).value, rel=1e-5)


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_entries_are_centred(shift):
    x = normal(1000)
    assert spread.of_entries(x + shift, "x", decided_at_zero=False).value == pytest.approx(
        spread.of_entries(x, "x").value, rel=1e-3
    )


@pytest.mark.parametrize("fill", [-math.inf, math.inf, math.nan, -1e4, -1e9])
def test_what_fills_masked_places_does_not_count(fill):
    x = normal(8, 50)
    want = spread.of_rows(x[:, :40], 1, "x").value
    x[:, 40:] = fill
    assert spread.of_rows(x, 1, "x").value == pytest.approx(want, rel=1e-5)
    kept = x[:, :40].reshape(-1)
    assert spread.of_entries(x, "x").value == pytest.approx(spread.of_entries(kept, "x").value, rel=1e-5)


def test_numbers_too_small_for_a_softness_are_zero():
    # Classes that a softmax has ruled out: beside them the chosen one is no filling.
    chosen = torch.tensor([1.0, 0.0, 2.9e-44, 0.0, 1.0, 0.0])
    zeros = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    for measure in (lambda x: spread.of_entries(x, "x"), lambda x: spread.of_rows(x.reshape(2, 3), 1, "x")):
        assert measure(chosen).value == measure(zeros).value > 0.1
    assert spread.of_entries(torch.tensor([2.9e-44, 1e-40]), "x") is None


def test_rows_may_hold_different_numbers_of_entries():
    x = torch.tensor([[0.0, 1.0, math.nan], [0.0, 2.0, 4.0], [5.0, math.nan, math.nan]])
    first = math.sqrt(math.pi) / 2 * 1.0
    second = math.sqrt(math.pi) / 2 * 8.0 / 3.0  # differences 2, 2 and 4
    assert spread.of_rows(x, 1, "x").value == pytest.approx((first + second) / 2)


def test_margins_that_are_all_equal_have_half_their_size_and_equal_operands_their_own_spread():
    assert spread.of_entries(torch.full((9,), -4.0), "x").value == pytest.approx(2.0)
    x = normal(50)
    assert spread.between(x, x, "x").value == pytest.approx(spread.of_entries(x, "x").value, rel=1e-5)
    assert spread.between(torch.zeros(3), torch.zeros(3), "x") is None


def test_a_threshold_far_from_all_data_has_a_part_of_the_way_to_it():
    x = normal(500)
    assert spread.between(x, torch.tensor(1e6), "x").value == pytest.approx(0.02 * 1e6, rel=1e-2)
    assert spread.between(x, torch.tensor(12.0), "x").value == pytest.approx(spread.of_entries(x, "x").value, rel=1e-4)


def test_each_threshold_of_a_row_has_a_spread_of_its_own():
    units = torch.tensor([1e-2, 1.0, 1e3])
    x = normal(300, 3) * units
    found = spread.between(x, torch.nn.Parameter(torch.zeros(3)), "x")
    assert found.value.shape == (3,)
    torch.testing.assert_close(found.value / units, torch.ones(3), rtol=0.1, atol=0.0)
    assert "spreads" in str(found)
    assert "3 thresholds" in str(found)


def test_few_margins_and_pairs_of_a_batch_share_one_number():
    assert isinstance(spread.between(normal(7, 3), normal(3), "x").value, float)
    x = normal(30)
    assert isinstance(spread.between(x.unsqueeze(0), x.unsqueeze(1), "x").value, float)
    rows = spread.between(normal(4, 100), normal(4, 1), "x")  # along the batch, whose size may be another next time
    assert isinstance(rows.value, float)
    own = torch.nn.Parameter(normal(4, 1))
    assert spread.between(normal(4, 100), own, "x").value.shape == (4, 1)


def pooled(*spreads: Spread) -> Any:
    pool = spread.Pool()
    for one in spreads:
        pool.add(one)
    return pool.mean.value


def test_several_meetings_of_a_site_are_pooled():
    assert pooled(Spread(1.0, "x"), Spread(3.0, "x")) == 2.0
    thresholds = pooled(Spread(torch.tensor([1.0, 3.0]), "x"), Spread(torch.tensor([3.0, 5.0]), "x"))
    assert thresholds.tolist() == [2.0, 4.0]
    assert pooled(Spread(torch.tensor([1.0, 3.0]), "x"), Spread(4.0, "x")) == 3.0
    assert pooled(Spread(1.0, "x"), Spread(torch.tensor([1.0, 3.0]), "x"), Spread(torch.ones(3), "x")) == 4.0 / 3.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("part", [1.0, 0.5])
def test_the_end_of_a_range_is_no_margin(dtype, part):
    scores = normal(16, 64).to(dtype)
    masked = scores.masked_fill(normal(16, 64, seed=1) > 0.5, part * torch.finfo(dtype).min)
    masked[3] = part * torch.finfo(dtype).min  # a row without any score
    edges = masked.topk(4, dim=-1).values[:, -1:]
    for found in (
        spread.between(masked, edges, "x"),
        spread.between(masked, part * torch.finfo(dtype).min, "x"),
        spread.between(masked, 0.3, "x"),
    ):
        values = torch.as_tensor(found.value)
        assert bool(((values > 0.1) & (values < 4.0)).all()), found
