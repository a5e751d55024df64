"""Decisions that are joined: far from all data each still has a gradient, and near it that of their product."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import pytest
import torch
from torch import Tensor

import softfx
from softfx.runtime import joining, tallies

Program = Callable[[Tensor, Tensor], Tensor]
X = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))


def in_turn(x: Tensor, t: Tensor) -> Tensor:
    return reduce(torch.logical_and, [column > 10 + low for column, low in zip(x.unbind(-1), t, strict=True)])


def by_masks(x: Tensor, t: Tensor) -> Tensor:
    masks = [(column > 10 + low).float() for column, low in zip(x.unbind(-1), t, strict=True)]
    return reduce(torch.mul, masks)


FAR: dict[str, Program] = {
    "all": lambda x, t: (x > 10 + t).all(-1),
    "all of a band": lambda x, t: ((x > 10 + t) & (x < 12 + t)).all(-1),
    "none of any": lambda x, t: ~(x <= 10 + t).any(-1),
    "prod": lambda x, t: (x > 10 + t).float().prod(-1),
    "amin": lambda x, t: (x > 10 + t).float().amin(-1),
    "& in turn": in_turn,
    "a product in turn": by_masks,
    "| in turn": lambda x, t: reduce(torch.logical_or, (x < 10 + t).unbind(-1)),
    "| of thresholds": lambda x, t: reduce(torch.logical_or, [x[:, i] < 10 + t[i] for i in range(6)]),
    "amax": lambda x, t: (x < 10 + t).float().amax(-1),
    "as many as there are": lambda x, t: (x > 10 + t).sum(-1) == 6,
    "a number of them": lambda x, t: (x > 10 + t).sum(-1) == 4,
    "no other number": lambda x, t: (x > 10 + t).sum(-1) != 4,
    "at least a number": lambda x, t: (x > 10 + t).sum(-1) >= 4,
    "more than a number": lambda x, t: (x > 10 + t).float().sum(-1) > 2,
    "at most a number": lambda x, t: (x < 10 + t).sum(-1) <= 2,
    "less than a number": lambda x, t: torch.count_nonzero(x < 10 + t, -1) < 3,
    "a number that rows have": lambda x, t: (x > 10 + t).sum(-1) == torch.arange(20) % 3 + 4,
}


def gradient(program: Program, policy: object = None) -> Tensor:
    t = torch.zeros(6, requires_grad=True)
    soft = softfx.soften(lambda x, t: program(x, t).float().sum(), policy, example_inputs=(X, t))
    (found,) = torch.autograd.grad(soft(X, t), t)
    return found


@pytest.mark.parametrize("program", FAR.values(), ids=FAR)
def test_each_threshold_of_a_joint_decision_far_from_all_data_is_told_to_come(program: Program) -> None:
    found = gradient(program)
    assert (found > 1e-9).all() or (found < -1e-9).all()  # all in one direction
    assert found.abs().max() < 1e3 * found.abs().min()  # none of them is forgotten


def test_without_a_tail_it_is_the_product() -> None:
    t = torch.zeros(6, requires_grad=True)
    program = lambda x, t: (x > 0.5 * t).all(-1)  # noqa: E731
    found = gradient(program, {"default": {"softness": 0.4, "mode": "smooth"}})
    (expected,) = torch.autograd.grad(torch.sigmoid((X - 0.5 * t) / 0.4).prod(-1).sum(), t)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("n", [2, 5])
def test_the_tail_is_exact_at_0_and_1_and_no_more_likely_than_the_least(n: int) -> None:
    bools = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * n)
    assert torch.allclose(joining.every(bools, -1), bools.prod(-1))
    assert torch.allclose(joining.some(bools, -1), bools.amax(-1))
    p = torch.rand(200, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    joint = joining.every(p, -1)
    assert (joint >= p.prod(-1)).all() and (joint <= p.amin(-1)).all()


def test_joining_in_turn_is_joining_at_once() -> None:
    p = torch.rand(50, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    product, common = reduce(lambda a, b: (a[0] * b[0], joining.common(a[1], b[1])), [(q, q) for q in p.unbind(-1)])
    torch.testing.assert_close(joining.mixed(product, common), joining.every(p, -1))


@pytest.mark.parametrize("p", [0.0, 1e-38, 1.0])
def test_the_derivative_is_finite_where_probabilities_end(p: float) -> None:
    each = torch.full((3,), p, requires_grad=True)
    for joint in (joining.every(each, 0), joining.some(each, 0), joining.common(each, each).sum()):
        (found,) = torch.autograd.grad(joint, each)
        assert found.isfinite().all()


COMPARISONS = [torch.eq, torch.ne, torch.gt, torch.ge, torch.lt, torch.le]


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("number", [-1, 0, 2, 2.5, 4, 5])
def test_the_tail_of_a_count_is_exact_where_all_is_decided(compare: Callable[..., Tensor], number: float) -> None:
    bools = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    expected = compare(bools.sum(-1), number).float()
    torch.testing.assert_close(tallies.with_a_tail(compare, bools, number, False), expected)
    mirrored = compare(torch.as_tensor(number), bools.sum(-1)).float()
    torch.testing.assert_close(tallies.with_a_tail(compare, bools, number, True), mirrored)


def test_a_count_of_all_has_the_tail_of_all() -> None:
    p = torch.rand(50, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(tallies.with_a_tail(torch.eq, p, 4, False), joining.every(p, -1))
    torch.testing.assert_close(tallies.with_a_tail(torch.eq, p, 0, False), joining.every(1.0 - p, -1))
