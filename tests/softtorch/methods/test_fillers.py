"""Entries that stand for infinities: masks written with a large number instead of -inf."""

from __future__ import annotations

import pytest
import torch

import softtorch


@pytest.mark.parametrize("filler", [-1e9, -9e15])
@pytest.mark.parametrize("method", ["softsort", "neuralsort", "ot", "lapsum"])
def test_a_far_filler_leaves_the_other_entries_as_if_it_were_absent(filler: float, method: str) -> None:
    x = torch.tensor([1.0, 0.5, 0.8])
    masked = torch.cat([x, torch.tensor([filler, filler])])
    probabilities = softtorch.topk(masked, 2, method=method)[1]
    # as if absent, but for the rounding of sums over more entries
    torch.testing.assert_close(probabilities[:, :3], softtorch.topk(x, 2, method=method)[1], rtol=1e-5, atol=1e-6)
    assert not probabilities[:, 3:].any()


def test_a_far_filler_keeps_its_value_and_its_place() -> None:
    x = torch.tensor([0.2, 1e9, 0.7])
    assert softtorch.sort(x)[0][-1] == 1e9
    assert softtorch.argmin(x, softness=0.01).argmax() == 0


@pytest.mark.parametrize("outlier", [1e6, -1e6])
def test_an_outlier_is_a_number_as_in_the_published_formula(outlier: float) -> None:
    x = torch.tensor([0.3, -0.7, 1.1, outlier], dtype=torch.float64)
    unit = torch.sigmoid((x - x.mean()) / (x.var(correction=0) + 1e-6).sqrt())
    torch.testing.assert_close(softtorch.argmax(x), torch.softmax((unit - unit.max()) / 0.1, dim=0))


def test_numbers_that_are_merely_large_are_compared_as_they_are() -> None:
    x = torch.tensor([-2e7, -1e7, 1.0, 2e7])
    assert softtorch.argsort(x, softness=0.01).argmax(-1).tolist() == [0, 1, 2, 3]
