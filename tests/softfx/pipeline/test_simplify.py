"""What is left out of a rewritten graph because no derivative of it arrives anywhere, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx

x = torch.tensor([0.2, 0.6, 0.9])
w = torch.tensor([1.0, 2.0, 3.0])


def share(x: Tensor, w: Tensor) -> Tensor:
    chosen = (x > 0.5).float()
    return (chosen * w).sum() / (chosen.sum() + 1)


def kept_beside(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    chosen = (x > 0.5).float()
    return (chosen * w).sum() / (chosen.sum() + 1), chosen


def written(x: Tensor, w: Tensor) -> Tensor:
    chosen = (x > 0.5).float()
    total = (chosen * w).sum()
    chosen.mul_(2)
    return total / (chosen.sum() + 1)


def detached_between(x: Tensor, w: Tensor) -> Tensor:
    chosen = (x > 0.5).float()
    return (chosen * w).sum() / (chosen.detach().sum() + 1)


def joins(soft: object) -> int:
    return str(softfx.source(soft)).count("softtorch.straight_through(")


def gradients(function: Callable[..., object]) -> list[Tensor]:
    args = [t.clone().requires_grad_() for t in (x, w)]
    results = function(*args)
    total = sum(result.sum() for result in (results if isinstance(results, tuple) else (results,)))
    return [total.detach(), *torch.autograd.grad(total, args)]


@pytest.mark.parametrize("program", [share, kept_beside, written, detached_between])
def test_values_and_gradients_are_those_of_the_other_executor(program: Callable[..., object]) -> None:
    graph, eager = (softfx.soften(program, example_inputs=(x, w), executor=kind) for kind in ("graph", "eager"))
    for one, other in zip(gradients(graph), gradients(eager), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("program", "count"), [(share, 2), (kept_beside, 3), (detached_between, 2)])
def test_what_the_derivative_goes_through_is_joined_and_nothing_else(
    program: Callable[..., object], count: int
) -> None:
    """A sum with another derivative than its shadow's, which a division differentiates, and each result."""
    assert joins(softfx.soften(program, example_inputs=(x, w), executor="graph")) == count


def test_where_something_is_written_in_place_all_are_joined() -> None:
    """A value that is not copied would be written with what it was joined from."""
    assert joins(softfx.soften(written, example_inputs=(x, w), executor="graph")) > 3


def test_the_number_that_an_index_is_worth_is_computed_once() -> None:
    def program(x: Tensor) -> Tensor:
        place = x.argmax().float()
        return place * x.sum() + place**2

    for kind in ("graph", "eager"):
        soft = softfx.soften(program, example_inputs=(x,), executor=kind)
        assert kind == "eager" or str(softfx.source(soft)).count("distributions.expectation(") == 1
        leaf = x.clone().requires_grad_()
        first = torch.autograd.grad(soft(leaf), leaf)[0]
        assert bool(first.any())
        with torch.no_grad():
            soft(leaf)
        torch.testing.assert_close(torch.autograd.grad(soft(leaf), leaf)[0], first)


def test_operands_are_copied_only_where_their_memory_is_written() -> None:
    def program(x: Tensor) -> Tensor:
        ranks = x.argsort().argsort().float()
        weights = x * 2.0
        weights.div_(weights.sum())
        return (ranks * weights).sum() + x.round().sum()

    graph, eager = (softfx.soften(program, example_inputs=(x,), executor=kind) for kind in ("graph", "eager"))
    assert "torch.clone(x)" not in str(softfx.source(graph))
    gradient, other = (
        torch.autograd.grad(soft(leaf), leaf)[0] for soft in (graph, eager) for leaf in [x.clone().requires_grad_()]
    )
    torch.testing.assert_close(gradient, other)


def test_a_derivative_that_the_program_ends_is_not_computed_in_a_graph() -> None:
    def program(x: Tensor) -> Tensor:
        x = x * 1.0
        x += 1.0
        chosen = (x > 1.5).float()
        return x * chosen.detach() + x.round() * x.detach().round().to(torch.int64)

    soft = softfx.soften(program, example_inputs=(x,), executor="graph")
    assert "softtorch.greater(" not in str(softfx.source(soft))
    leaf = x.clone().requires_grad_()
    assert torch.autograd.grad(soft(leaf).sum(), leaf)[0].isfinite().all()


@pytest.mark.parametrize("executor", ["graph", "eager"])
def test_a_site_that_reaches_no_result_is_kept_in_a_program_that_writes(executor: Any) -> None:
    def program(x: Tensor, table: Tensor) -> Tensor:
        x = x * 1.0
        x /= x.sum()
        counts = torch.histc(x, 3, 0.0, 1.0)
        ends = counts.cumsum(0).to(torch.int32)
        return x.round() + torch._foreach_mul([table[None]], 2.0)[0][0, : ends.shape[0]].detach()

    soft = softfx.soften(program, example_inputs=(x, w), executor=executor)
    actions = {site.op: site.action for site in softfx.report_of(soft).sites}
    assert actions["histc"] == "keep" and actions["round"] == "straight_through"


def test_a_site_that_hands_shadows_on_acts_though_nothing_asks_for_its_softness() -> None:
    def program(x: Tensor, w: Tensor) -> Tensor:
        place = x.round().long()
        place *= 1
        return w[place]

    soft = softfx.soften(program, example_inputs=(x, w), executor="graph")
    assert all(site.action == "straight_through" for site in softfx.report_of(soft).sites)
    leaf = x.clone().requires_grad_()
    assert bool(torch.autograd.grad(soft(leaf, w).sum(), leaf)[0].any())
