"""What `set_softness` takes for a softness, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import softfx


@pytest.mark.parametrize("softness", ["0.5", None, True, 0.0, -1.0, torch.ones(2), torch.tensor(3)])
def test_what_is_no_softness_is_refused(softness: Any) -> None:
    soft = softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    for given in (softness, {"sign": softness}):
        with pytest.raises(softfx.PolicyError, match="A softness is a number above 0, or a tensor without axes"):
            softfx.set_softness(soft, given)
    assert soft.report.sites[0].softness == 0.1


@pytest.mark.parametrize("softness", [0.5, 2, torch.tensor(0.5)])
def test_numbers_and_tensors_without_axes_are_softnesses(softness: Any) -> None:
    soft = softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    softfx.set_softness(soft, softness)
    assert soft.report.sites[0].softness == float(softness)
