"""Functions of torch.nn.functional that decide inside: what they decide is found, values and draws stay torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import softfx
from tests.helpers import EXECUTOR

FUNCTIONS: dict[str, Callable[[Tensor], Any]] = {
    "gumbel_softmax": lambda x: F.gumbel_softmax(x, hard=True) * x,
    "normalize": lambda x: F.normalize(x, dim=-1),
    "softsign": F.softsign,
    "lp_pool2d": lambda x: F.lp_pool2d(x[None], 2.0, 2),
    "triplet": lambda x: F.triplet_margin_with_distance_loss(x, x.flip(0), x.flip(1)),
    "local_response_norm": lambda x: F.local_response_norm(x[None], 2),
}


@EXECUTOR
@pytest.mark.parametrize("name", FUNCTIONS)
def test_straight_through_keeps_every_bit_and_finds_what_is_inside(name: str, executor: str) -> None:
    function, x = FUNCTIONS[name], torch.randn(4, 6)
    soft = softfx.soften(function, "straight-through", example_inputs=(x,), executor=executor)
    torch.manual_seed(0)
    wanted = function(x)
    torch.manual_seed(0)
    assert torch.equal(soft(x), wanted)


def test_the_choice_inside_gumbel_softmax_is_found_with_its_straight_through_code() -> None:
    report = softfx.check(FUNCTIONS["gumbel_softmax"], example_inputs=(torch.randn(4, 6),))
    assert [site.op for site in report.sites] == ["max", "existing_straight_through"]
    assert all(site.file == __file__ for site in report.sites)


def test_the_guard_inside_normalize_gives_a_zero_vector_a_finite_gradient() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    soft = softfx.soften(lambda x: F.normalize(x, dim=-1), example_inputs=(x,))
    assert torch.autograd.grad(soft(x).sum(), x)[0].isfinite().all()


class Pools(nn.Module):
    """Each way to pool by the largest."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values, places = F.max_pool2d(x, 2, return_indices=True)
        return (
            F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.max_unpool2d(values, places, 2),
            F.max_pool1d(x[0], 2),
            F.max_pool3d(x, 2),
            nn.MaxPool2d(2, dilation=2)(x),
            F.adaptive_max_pool2d(x, (2, 3)),
            F.adaptive_max_pool1d(x[0], 3, return_indices=True)[0],
            torch.max_pool2d(x, 2),
            x.max(dim=-1).values,
        )


@EXECUTOR
def test_every_spelling_of_max_pooling_is_a_kink(executor: str) -> None:
    x = torch.randn(1, 4, 6, 6, requires_grad=True)
    soft = softfx.soften(Pools(), "straight-through", example_inputs=(x,), executor=executor)
    assert soft.report.counts["straight_through"] == 9
    for got, wanted in zip(soft(x), Pools()(x), strict=True):
        assert torch.equal(got, wanted)
    (gradient,) = torch.autograd.grad(soft(x)[0].sum(), x)
    assert gradient.ne(0).all()  # torch's own is 0 for all but the largest of each window


def test_soft_pooling_tends_to_torchs() -> None:
    x = torch.randn(2, 3, 8, 8)
    soft = softfx.soften(lambda x: F.max_pool2d(x, 3, 2, 1), "smooth", example_inputs=(x,))
    softfx.set_softness(soft, 1e-4)
    assert torch.allclose(soft(x), F.max_pool2d(x, 3, 2, 1), atol=1e-2)  # softness is in units of a window's spread


@EXECUTOR
@pytest.mark.parametrize("in_place", [False, True])
def test_the_largest_of_each_group_is_a_kink(in_place: bool, executor: str) -> None:
    index = torch.tensor([0, 0, 1, 1, 1])

    def aggregate(x: Tensor) -> Tensor:
        zeros = torch.zeros(3)
        if in_place:
            return zeros.scatter_reduce_(0, index, x, reduce="amax", include_self=False)
        return zeros.scatter_reduce(0, index, x, "amax", include_self=False)

    x = torch.tensor([1.0, 1.2, 0.3, 0.1, 0.4], requires_grad=True)
    soft = softfx.soften(aggregate, "straight-through", example_inputs=(x,), executor=executor)
    assert [(site.op, site.action) for site in soft.report.sites] == [("scatter_extremum", "straight_through")]
    assert torch.equal(soft(x), aggregate(x))
    (gradient,) = torch.autograd.grad(soft(x).sum(), x)
    assert gradient.ne(0).all()
