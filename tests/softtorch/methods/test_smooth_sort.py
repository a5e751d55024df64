"""SmoothSort as a method: laws, infinite entries, standardizing that does not apply."""

import math

import pytest
import torch

import softtorch
from tests.softtorch.cases import draw, integers


@pytest.mark.parametrize("softness", [0.05, 0.5, 5.0])
def test_values_keep_the_sum_and_ranks_sum_to_a_constant(softness: float) -> None:
    for x in (draw(3, 7), integers(3, 7)):
        values = softtorch.sort(x, softness=softness, method="smooth_sort").values
        torch.testing.assert_close(values.sum(dim=-1), x.sum(dim=-1), rtol=0, atol=1e-9)
        assert (values.diff(dim=-1) > 0).all()
        ranks = softtorch.rank(x, -1, softness=softness, method="smooth_sort")
        torch.testing.assert_close(ranks.sum(dim=-1), torch.full((3,), 28.0).double(), rtol=0, atol=1e-9)


def test_standardize_changes_nothing() -> None:
    x = draw(2, 5)
    both = [softtorch.sort(x, method="smooth_sort", standardize=s).values for s in (True, False)]
    torch.testing.assert_close(*both)


def test_infinite_entries_are_as_if_absent() -> None:
    x = draw(2, 5)
    wide = torch.cat([torch.full((2, 1), -math.inf), x, torch.full((2, 2), math.inf)], dim=-1).double()
    alone, among = (softtorch.sort(t, method="smooth_sort").values for t in (x, wide))
    torch.testing.assert_close(among[:, 1:6], alone, rtol=0, atol=1e-9)
    for descending, shift in ((False, 1), (True, 2)):
        alone, among = (softtorch.rank(t, -1, method="smooth_sort", descending=descending) for t in (x, wide))
        torch.testing.assert_close(among[:, 1:6], alone + shift, rtol=0, atol=1e-9)


def test_min_is_the_mirror_image_of_max() -> None:
    x = draw(3, 6)
    low, high = (f(t, 1, method="smooth_sort").values for f, t in ((softtorch.min, x), (softtorch.max, -x)))
    torch.testing.assert_close(low, -high)


def test_modes_other_than_smooth_are_errors() -> None:
    with pytest.raises(ValueError, match="method 'smooth_sort' is not defined in mode 'c0'"):
        softtorch.sort(draw(4), mode="c0", method="smooth_sort")


def test_softness_may_differ_by_row_and_has_a_gradient() -> None:
    x, s = draw(2, 4), torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True)
    together = softtorch.sort(x, softness=s, method="smooth_sort").values
    apart = torch.stack([softtorch.sort(x[i], softness=s[i], method="smooth_sort").values for i in range(2)])
    torch.testing.assert_close(together, apart)
    assert torch.autograd.gradcheck(lambda s: softtorch.sort(x, softness=s, method="smooth_sort").values, s)
