"""Writes through expanded tensors, which torch makes where nothing has a derivative: they are not given one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR, assert_same, gradient, outcome

pytestmark = pytest.mark.filterwarnings("ignore:Use of .* on expanded tensors")  # of torch: deprecated

X = torch.tensor([[1.2, -2.7, 0.6], [0.4, 3.3, -1.1]])
FIRST = torch.tensor([0])


def filled(x: Tensor) -> Tensor:
    mask = (x > 0.5).to(x.dtype) * 0.5
    mask.expand(2, 2, 3).index_fill_(1, FIRST, 2.0)
    return mask * x


def counted(x: Tensor) -> Tensor:
    hits = (x > 0.5).to(x.dtype)
    hits.expand(2, 2, 3).index_fill_(0, FIRST, 2.0)
    return hits * x


def masked(x: Tensor) -> Tensor:
    rounded = x.detach().round()
    rounded[0].expand(2, 3).masked_fill_(torch.tensor([[True], [False]]), 0.5)
    return rounded * x


def put(x: Tensor) -> Tensor:
    zeros = torch.zeros(3)
    zeros.expand(2, 3)[0] = x.detach()[0].sign()
    zeros.expand(2, 3).index_put_((FIRST,), (x[1] > 0).to(x.dtype))
    return zeros * x


def in_a_block(x: Tensor) -> Tensor:
    with torch.no_grad():
        rounded = x.round()
    rounded.expand(2, 2, 3).index_fill_(2, FIRST, 0.5)
    return rounded * x


def by_itself(x: Tensor) -> Tensor:
    mask = x > 0.5
    expanded = mask.expand(2, 2, 3)
    expanded.masked_fill_(expanded, False)
    return mask * x


@EXECUTOR
@pytest.mark.parametrize("policy", [*EXACT, "smooth"])
@pytest.mark.parametrize("make", [lambda x: (x > 0.5).to(x.dtype), torch.detach], ids=["softened", "cut"])
def test_a_part_that_is_assigned_to_itself_stays(make: Callable[[Tensor], Tensor], policy: str, executor: str) -> None:
    def program(x: Tensor) -> tuple[Tensor, Tensor]:
        made = make(x) * 1
        expanded = made.expand(2, 2, 3)
        made /= 4
        expanded[..., 0] = expanded[..., 0]
        expanded[0] = expanded[0]
        return made, expanded * x

    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor, allow_unused=True)
    if policy != "smooth":
        assert_same(outcome(soft, [X]), outcome(program, [X]))
    else:
        assert all(result.isfinite().all() for result in soft(X))


@EXECUTOR
@pytest.mark.parametrize("policy", [*EXACT, "smooth"])
@pytest.mark.parametrize("program", [filled, counted, masked, put, in_a_block, by_itself])
def test_what_is_written_through_an_expanded_tensor_is_the_originals(
    program: Callable[[Tensor], Tensor], policy: str, executor: str
) -> None:
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor, allow_unused=True)
    assert_same(outcome(soft, [X]), outcome(program, [X]))
    compared = [site for site in soft.report.sites if site.op == "gt"]
    assert all(site.action == "blocked" and "an expanded tensor" in site.reason for site in compared)


@EXECUTOR
def test_a_write_beside_an_expanded_tensor_keeps_its_derivative(executor: str) -> None:
    def beside(x: Tensor) -> Tensor:
        mask = (x > 0.5).to(x.dtype)
        mask.expand(1, 2, 3).mul_(2.0)  # no two elements lie on one place
        return mask * 3

    soft = softfx.soften(beside, example_inputs=(X,), executor=executor)
    assert [site.action for site in soft.report.sites] == ["straight_through"]
    (slope,) = outcome(soft, [X]).gradients
    assert slope is not None and bool(slope.any())


@EXECUTOR
@pytest.mark.parametrize("key", [0, (1, slice(None)), (0, 1), (1, ..., 2), (0, slice(1), None)])
def test_a_part_whose_elements_lie_apart_keeps_its_derivative(key: object, executor: str) -> None:
    def through_expanded(x: Tensor) -> Tensor:
        rounded = x.round()
        rounded.expand(2, 2, 3)[key] += 0.5  # a write into the expanded tensor, too
        return rounded * 3

    def by_itself(x: Tensor) -> Tensor:
        rounded = x.round()
        rounded.unsqueeze(0)[0 if key in (0, 1) else (0, *key[1:])] += 0.5  # type: ignore[index]  # a tuple
        return rounded * 3

    soft, alone = (softfx.soften(f, example_inputs=(X,), executor=executor) for f in (through_expanded, by_itself))
    assert [site.action for site in soft.report.sites] == ["straight_through"]
    assert torch.equal(soft(X), through_expanded(X))
    assert bool(gradient(soft, X).any()) and torch.equal(gradient(soft, X), gradient(alone, X))


def given_as_out(mask: Tensor, x: Tensor) -> object:
    return torch.add((x > 0).to(x.dtype), 1, out=mask)


OVERWRITES: list[Callable[[Tensor, Tensor], object]] = [
    given_as_out, lambda mask, x: mask.zero_(), lambda mask, x: mask.copy_(torch.ones(3)),
    lambda mask, x: torch.topk(torch.ones(2, 5), 3, out=(mask, torch.zeros(2, 3, dtype=torch.int64))),
]  # fmt: skip


@EXECUTOR
def test_a_constant_in_a_part_ends_the_derivative_there_alone(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        rounded = x.round()
        rounded.expand(2, 2, 3)[0, 1] = 1.5
        return rounded * 3

    soft = softfx.soften(program, example_inputs=(X,), executor=executor)
    slope = gradient(soft, X)
    assert torch.equal(soft(X), program(X))
    assert bool(slope[0].any()) and not bool(slope[1].any())


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("overwrite", OVERWRITES)
def test_what_was_written_over_has_no_derivative_either(
    overwrite: Callable[[Tensor, Tensor], object], policy: str, executor: str
) -> None:
    def program(x: Tensor) -> Tensor:
        mask = (x > 0.5).to(x.dtype) * 0.5
        overwrite(mask, x)
        mask.expand(2, 2, 3).index_fill_(0, FIRST, 2.0)
        return mask * x

    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor, allow_unused=True)
    assert_same(outcome(soft, [X]), outcome(program, [X]))


@EXECUTOR
@pytest.mark.parametrize("policy", [*EXACT, "smooth"])
def test_a_part_that_is_chosen_by_an_index_may_be_written(policy: str, executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        ordered = x.sort(-1).values
        ordered.expand(2, 2, 3)[x.argmax() % 2] += 0.5
        return ordered * 3

    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    if policy == "smooth":
        assert bool(soft(X).isfinite().all())
    else:
        assert torch.equal(soft(X), program(X))


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
def test_a_part_that_is_written_with_what_it_holds_may_be_of_integers(policy: str, executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        above = x <= x.mean()
        above.expand(2, 2, 3)[0] = above[0]
        return above * x

    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    assert torch.equal(soft(X), program(X))
