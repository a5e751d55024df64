"""Writes in place that the original may make, for nothing there needs the tensors: softened, nothing raises either."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR, assert_same, gradient, outcome

X = torch.tensor([[1.2, -2.7, 0.6], [0.4, 3.3, -1.1]])


def masked(x: Tensor) -> Tensor:
    return (x > 0.5).to(x.dtype) * 0.5 - 0.125  # whose square differs on both sides of the jump


def times_itself(x: Tensor) -> Tensor:
    v = masked(x)
    v.mul_(v)
    return v


def by_an_operator(x: Tensor) -> Tensor:
    v = masked(x)
    v *= v
    return v


def row_by_row(x: Tensor) -> Tensor:
    v = masked(x)
    v[0].mul_(v[1])
    return v


def operand_of_an_earlier_product(x: Tensor) -> Tensor:
    v = masked(x)
    u = v * v
    v.add_(1)
    return u * v.sum()


def factor_without_a_derivative(x: Tensor) -> Tensor:
    scale = torch.full((2, 3), 2.0)
    v = masked(x) * scale
    scale.zero_()
    return v


def through_a_view(x: Tensor) -> Tensor:
    v = masked(x)
    u = v.sin()
    v.T[0].fill_(3.0)
    return u + v


def its_own_square(x: Tensor) -> Tensor:
    v = masked(x)
    v.copy_(v * v)
    return v


def result_that_its_derivative_is_made_of(x: Tensor) -> Tensor:
    v = masked(x)
    u = v.sigmoid()
    w = v.tanh() * 1
    v.mul_(u)
    u.zero_()
    return v + w


def guarded_result(x: Tensor) -> Tensor:
    v = masked(x)
    u = v.exp()
    w = v * 1
    u.mul_(3)
    return u + w


def one_write_after_another(x: Tensor) -> Tensor:
    u = masked(x).tanh()
    u.tanh_()
    u.exp_()
    return u


def read_by_a_site_between_two_writes(x: Tensor) -> Tensor:
    v = masked(x)
    v.mul_(v)
    whole = v.round()
    v.add_(1)
    return v + whole


def looked_up_by_its_own_place(x: Tensor) -> Tensor:
    v = masked(x)
    v.mul_(v)
    v[v[0].argmax() % 2] += 0.5
    return v


def rows_of_a_constant(x: Tensor) -> Tensor:
    u = torch.zeros(2, 3)
    for number, row in enumerate(u):
        row[x[number].argmax()] = 1.0
    return u


def halves_of_a_constant(x: Tensor) -> Tensor:
    u = torch.zeros(2, 3)
    first, last = u.split(1)
    first[0, x[0].argmax()] += 1.0
    last[x[1:] > 0] = 2.0
    return u


def out_over_an_operand(x: Tensor) -> Tensor:
    v = masked(x)
    torch.mul(v, 2, out=v.view(2, 3))
    return torch.cumsum(v[0], 0, out=v[1]) + v


def matched_greedily(x: Tensor) -> Tensor:
    taken, total = torch.zeros(3, dtype=torch.bool), x.new_zeros(())
    for row in x.abs():
        place = row.masked_fill(taken, torch.inf).argmin()
        taken[place] = True
        total = total + row[place]
    return total


PROGRAMS = (
    matched_greedily,
    rows_of_a_constant, halves_of_a_constant, out_over_an_operand, read_by_a_site_between_two_writes,
    looked_up_by_its_own_place,
    times_itself, by_an_operator, row_by_row, operand_of_an_earlier_product, factor_without_a_derivative,
    through_a_view, its_own_square, result_that_its_derivative_is_made_of, guarded_result, one_write_after_another,
)  # fmt: skip


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_a_softened_derivative_keeps_may_be_written(
    program: Callable[[Tensor], Tensor], policy: str, executor: str
) -> None:
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor, allow_unused=True)
    assert torch.equal(soft(X), program(X))
    found = gradient(soft, X)
    assert found.isfinite().all() and found.any()


@EXECUTOR
def test_the_derivative_is_that_of_the_values_before_the_write(executor: str) -> None:
    def product(x: Tensor) -> Tensor:
        v = x.round()
        u = v * v
        v.add_(1)
        return u

    soft = softfx.soften(product, "gradients", example_inputs=(X,), executor=executor)
    smooth = softfx.soften(lambda x: x.round() ** 2, "gradients", example_inputs=(X,), executor=executor)
    torch.testing.assert_close(gradient(soft, X), gradient(smooth, X))


@pytest.mark.parametrize("policy", EXACT)
def test_a_deep_copy_is_a_copy_of_the_value(policy: str) -> None:
    def program(x: Tensor) -> tuple[Tensor, Tensor]:
        hits, mask = copy.deepcopy([(x > 0.5).to(x.dtype), x > 0])
        hits += 1
        return hits * x, mask * x

    soft = softfx.soften(program, policy, example_inputs=(X,))
    assert_same(outcome(soft, [X + 0.3]), outcome(program, [X + 0.3]))  # not the example's mask
    assert any(site.action == "blocked" and "copies the value" in site.reason for site in soft.report.sites)


@EXECUTOR
def test_a_detached_tensor_that_is_lifted_may_be_written(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        w = x * 1
        u = w.detach()
        r = u * u
        w.add_(1)
        return r.round() + w

    soft = softfx.soften(program, "lifted", example_inputs=(X,), executor=executor)
    assert torch.equal(soft(X), program(X))
    assert gradient(soft, X).isfinite().all()


@EXECUTOR
@pytest.mark.parametrize("function", [Tensor.tril_, Tensor.triu_])
def test_the_part_that_a_triangle_clears_has_no_derivative(function: Callable[[Tensor], Tensor], executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        v = (x > 0.5).to(x.dtype)
        last = v[1]
        function(v)
        last.mul_(0.5)
        return v

    soft = softfx.soften(program, "gradients", example_inputs=(X,), executor=executor)
    softfx.set_softness(soft, 2.0)
    assert torch.equal(soft(X), program(X))
    cleared = function(torch.ones_like(X)) == 0
    found = gradient(soft, X)
    assert not found[cleared].any() and found[~cleared].all()


@EXECUTOR
@pytest.mark.parametrize("policy", ["gradients", "lifted"])
def test_a_detachment_in_place_ends_the_gradient_unless_it_is_lifted(policy: str, executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        v = x.round()
        v.detach_()
        return v * 0.5 + x

    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    assert torch.equal(soft(X), program(X))
    ends = torch.equal(gradient(soft, X), torch.ones_like(X))
    assert ends == (policy == "gradients")


@EXECUTOR
@pytest.mark.parametrize(
    "clear",
    [
        lambda v: v.zero_(), lambda v: v.fill_(2), lambda v: v.fill_(0.5), lambda v: v.copy_(torch.zeros(3)),
        lambda v: v.T.zero_(), lambda v: v[:].fill_(1), lambda v: v.view(-1).zero_(),
    ],
)  # fmt: skip
def test_what_a_constant_is_written_over_can_still_be_differentiated(
    clear: Callable[[Tensor], Tensor], executor: str
) -> None:
    def program(x: Tensor) -> Tensor:
        v = x.ceil() * 1
        clear(v)
        return v * 0.5 + v

    soft = softfx.soften(program, "gradients", example_inputs=(X.clone().requires_grad_(),), executor=executor)
    result = soft(X.clone().requires_grad_())
    assert result.requires_grad and torch.equal(result.detach(), program(X))


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("is_view", [True, False])
def test_out_of_another_shape_takes_the_shape_of_the_result(is_view: bool, policy: str) -> None:
    def program(x: Tensor) -> Tensor:
        v = (x > 0.5).to(x.dtype)
        target = v.T if is_view else v
        torch.round(x[:1] * 2, out=target)
        return target + 1

    soft = softfx.soften(program, policy, example_inputs=(X,))
    assert torch.equal(soft(X), program(X))
    assert gradient(soft, X).isfinite().all()


@EXECUTOR
def test_a_number_without_axes_follows_a_write_to_the_integers_that_it_looks_into(executor: str) -> None:
    def program(x: Tensor) -> tuple[Tensor, Tensor]:
        whole = x.round().long().view(-1)
        first = whole[0]
        whole.fill_(1)
        return whole, first * x

    soft = softfx.soften(program, "gradients", example_inputs=(X,), executor=executor, allow_unused=True)
    assert all(map(torch.equal, soft(X), program(X)))


def test_memory_that_was_given_back_is_not_what_is_written_later() -> None:
    def making(x: Tensor) -> Tensor:
        for _ in range(20):
            (x > 0.5).float().exp() / x  # which nothing uses, so that its memory is free
            torch.empty(2, 3).fill_(1.0)
        return x.round() if bool(x.sum() < 100) else x  # read into Python: it is planned on tensors, not on shapes

    soft = softfx.soften(making, example_inputs=(X,), executor="eager")
    assert not soft._softfx.evidence.overwritten


@pytest.mark.parametrize("policy", EXACT)
def test_what_only_softening_differentiates_may_be_written_too(policy: str) -> None:
    """abs keeps its operand, which is divided in place: the original takes no derivative through it."""

    def program(x: Tensor) -> Tensor:
        y = x * 1
        y /= y.abs().max()
        return (y > 0.2).to(x.dtype) * x

    x = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
    result = softfx.soften(program, policy, example_inputs=(x,))(x)
    assert torch.equal(result, program(x))
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert gradient.isfinite().all() and gradient.any()
