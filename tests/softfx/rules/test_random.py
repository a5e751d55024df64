"""Draws whose parameters are learned: the program's own draw with a derivative, or a relaxed one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.runtime.draws import drawn_from
from tests.helpers import EXECUTOR

VALUES = torch.tensor([1.0, -2.0, 4.0])


def policy(action: str) -> dict[str, object]:
    return {"preset": "keep", "rule": [{"op": "@random", "action": action}]}


def sampled(p: Tensor) -> Tensor:
    return VALUES[torch.multinomial(p, 2)].prod(-1)


def switched(p: Tensor) -> Tensor:
    return torch.bernoulli(p) * VALUES


PROGRAMS: list[Callable[[Tensor], Tensor]] = [sampled, switched]


@EXECUTOR
@pytest.mark.parametrize("program", PROGRAMS)
def test_straight_through_keeps_the_draw_and_brings_a_gradient(
    program: Callable[[Tensor], Tensor], executor: str
) -> None:
    p = torch.tensor([0.2, 0.5, 0.3], requires_grad=True)
    soft = softfx.soften(program, policy("straight_through"), example_inputs=(p,), executor=executor)
    assert soft.report.counts["straight_through"] == 1
    for seed in range(5):
        torch.manual_seed(seed)
        wanted = program(p)
        torch.manual_seed(seed)
        drawn = soft(p)
        assert torch.equal(drawn, wanted)
        (gradient,) = torch.autograd.grad(drawn.sum(), p)
        assert gradient.isfinite().all() and gradient.any()


def test_draws_are_kept_by_default() -> None:
    report = softfx.check(sampled, "straight-through", example_inputs=(torch.rand(3),))
    assert [(site.op, site.action) for site in report.sites] == [("multinomial", "keep")]


def test_the_gradient_of_a_linear_loss_is_that_of_its_mean() -> None:
    p = torch.tensor([0.2, 0.5, 0.3], requires_grad=True)
    soft = softfx.soften(
        lambda p: VALUES[torch.multinomial(p, 1)].sum(), policy("straight_through"), example_inputs=(p,)
    )
    (gradient,) = torch.autograd.grad(soft(p), p)
    (wanted,) = torch.autograd.grad((p / p.sum() * VALUES).sum(), p)
    assert torch.allclose(gradient, wanted)
    switch = softfx.soften(switched, policy("straight_through"), example_inputs=(p,))
    assert torch.equal(torch.autograd.grad(switch(p).sum(), p)[0], VALUES)


def test_the_distribution_of_a_draw_without_replacement_leaves_out_those_before() -> None:
    weights, drawn = torch.rand(4, 5, dtype=torch.float64), torch.stack([torch.randperm(5)[:3] for _ in range(4)])
    points = drawn_from(weights, drawn)
    for row in range(4):
        left = weights[row].clone()
        for place in range(3):
            assert torch.allclose(points[row, place], left / left.sum())
            left[drawn[row, place]] = 0.0
    assert torch.equal(drawn_from(weights, drawn, True)[:, 0], drawn_from(weights, drawn, True)[:, 2])


@EXECUTOR
def test_soft_draws_are_relaxed_and_as_frequent(executor: str) -> None:
    p = torch.tensor([0.2, 0.5, 0.3]).expand(4000, 3).clone().requires_grad_()
    soft = softfx.soften(
        lambda p: VALUES[torch.multinomial(p, 1)], policy("soft"), example_inputs=(p,), executor=executor
    )
    torch.manual_seed(0)
    value = soft(p)
    # The standard deviation of a mean of 4000 such draws is 0.04, and softness 0.1 moves it by less.
    assert abs(value.mean().item() - (p[0] * VALUES).sum().item()) < 0.2
    assert torch.autograd.grad(value.sum(), p)[0].isfinite().all()


def test_a_draw_with_a_constant_chance_is_blocked_with_the_reason() -> None:
    report = softfx.check(lambda x: x.bernoulli(0.5) * x, policy("straight_through"), example_inputs=(torch.rand(3),))
    assert [(site.action, "constant" in site.reason) for site in report.sites] == [("blocked", True)]
