"""How many numbers are not 0: of real numbers a decision, of soft values what they stand for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR, gradient

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))

PROGRAMS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": lambda x: torch.count_nonzero(F.relu(x), -1).float(),
    "all": lambda x: x.relu().count_nonzero() * 1.0,
    "two axes": lambda x: torch.count_nonzero(x.clamp(min=0.0), dim=(0, 1)).float(),
    "shrunk": lambda x: torch.count_nonzero(input=F.softshrink(x, 0.5), dim=0).double(),
}


@EXECUTOR
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_counted_learns_and_values_stay(name: str, executor: str) -> None:
    soft = softfx.soften(PROGRAMS[name], example_inputs=(X.clone().requires_grad_(),), executor=executor)
    assert torch.equal(soft(X), PROGRAMS[name](X))
    assert any(site.op == "count_nonzero" and site.action == "straight_through" for site in soft.report.sites)
    slopes = gradient(soft, X)
    grows = slopes * X if name == "shrunk" else slopes  # away from 0 the count grows, of what is clipped at 0 above it
    assert (grows >= 0).all()
    assert slopes.abs().max() > 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_soft_counts_tend_to_the_original(name: str) -> None:
    policy = {"preset": "smooth", "default": {"softness": 1e-4}}
    soft = softfx.soften(PROGRAMS[name], policy, example_inputs=(X,))
    torch.testing.assert_close(soft(X), PROGRAMS[name](X), atol=0.05, rtol=0.0)  # an entry may lie 1e-3 from a kink


def test_of_whole_numbers_it_counts_those_that_are_not_0() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.count_nonzero(x.round(), -1).float()

    soft = softfx.soften(program, {"preset": "smooth", "default": {"softness": 1e-3}}, example_inputs=(X,))
    torch.testing.assert_close(soft(X), program(X), atol=1e-3, rtol=0.0)  # no entry is near a half


def test_of_masks_and_integers_it_is_no_site() -> None:
    report = softfx.check(lambda x: torch.count_nonzero(x > 0).float(), example_inputs=(X.clone().requires_grad_(),))
    assert [site.op for site in report.sites] == ["gt"]
