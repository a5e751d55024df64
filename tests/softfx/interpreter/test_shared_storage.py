"""Writes through views: every tensor on the storage has the original's value, and its soft value follows."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR, gradient, identical

X = torch.tensor([[1.2, 2.7], [0.6, 3.3]])


def row_of_rounded(x: Tensor) -> Tensor:
    v = x.round()
    v[0].zero_()
    return v


def transposed(x: Tensor) -> Tensor:
    v = torch.zeros_like(x).scatter_(-1, x.argmax(-1, keepdim=True), 1.0)
    w = v * 1
    w.transpose(0, -1).mul_(1.2)
    return w


def rows_of_a_mask(x: Tensor) -> Tensor:
    v = (x > 1).float()
    for row in v:
        row /= row.sum() + 1
    return v


def same_tensor_by_a_cast(x: Tensor) -> Tensor:
    v = x.sign()
    v.to(v.dtype).neg_()
    return v


def bools(x: Tensor) -> Tensor:
    m = x > 1
    m[0].logical_not_()
    return m * x


def reshaped_in_place(x: Tensor) -> Tensor:
    v = (x > 1).float()
    v.unsqueeze_(0).squeeze_().t_()
    return v * x


def given_as_out(x: Tensor) -> Tensor:
    v = torch.empty(0)
    torch.add((x > 1).float(), 1, out=v)
    return v * x


def first_through_another_view(x: Tensor) -> Tensor:
    v = torch.zeros_like(x)
    column, corner = v[:, 0], v[:1, :1]
    column.copy_(x.sign()[:, 0])
    corner *= 3
    return v


def first_through_its_base(x: Tensor) -> Tensor:
    v = x.detach().clone()
    row = v[0]
    v.copy_(x.round())
    row[row > 1] = 0.5
    return v


def first_by_out(x: Tensor) -> Tensor:
    v = torch.ones_like(x)
    row, corner = v[0], v[:1, :1]
    torch.mul(x[0] > 1, 2.0, out=row)
    torch.nn.functional.relu(corner, inplace=True)
    return v


PROGRAMS = (
    row_of_rounded, transposed, rows_of_a_mask, same_tensor_by_a_cast, bools, reshaped_in_place, given_as_out,
    first_through_another_view, first_through_its_base, first_by_out,
)  # fmt: skip


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_write_through_an_alias_is_the_originals(
    program: Callable[[Tensor], Tensor], policy: str, executor: str
) -> None:
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    assert torch.equal(soft(X.clone().requires_grad_()), program(X))
    assert bool(gradient(soft, X).isfinite().all())


@EXECUTOR
def test_a_view_of_a_constant_has_the_derivative_that_was_written_through_another(executor: str) -> None:
    softened = softfx.soften(first_through_another_view, example_inputs=(X,), executor=executor)
    sign = softfx.soften(torch.sign, example_inputs=(X,))
    factors = torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(gradient(softened, X), gradient(lambda x: sign(x) * factors, X))


@EXECUTOR
def test_a_mask_that_was_overwritten_through_a_view_has_no_derivative_there(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        m = x > 1
        m[0].fill_(True)
        return m * 1.0

    soft = softfx.soften(program, example_inputs=(X,), executor=executor)
    found = gradient(soft, X)
    assert found[0].tolist() == [0.0, 0.0] and bool(found[1].any())


@EXECUTOR
def test_views_keep_the_strides_of_the_original(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        return x.round()[:, :1]

    soft = softfx.soften(program, example_inputs=(X,), executor=executor)
    assert soft(X.clone().requires_grad_()).stride() == program(X).stride()


def test_requires_grad_inside_the_call_is_carried_out() -> None:
    def program(x: Tensor) -> Tensor:
        v = x.detach().clone()
        v.requires_grad_()
        return v * x

    assert softfx.soften(program, example_inputs=(X,))(X).requires_grad


@pytest.mark.parametrize("policy", [*EXACT, "smooth"])
def test_requires_grad_may_be_assigned_to_what_has_a_history_softly(policy: str) -> None:
    def program(x: Tensor) -> Tensor:
        hits = (x > 1).to(x.dtype)
        hits.requires_grad = True
        return hits.mean()

    leaf = X.clone().requires_grad_()
    soft = softfx.soften(program, policy, example_inputs=(leaf,))
    assert policy == "smooth" or identical(soft(leaf).detach(), program(X).detach())
    assert bool(torch.autograd.grad(soft(leaf), leaf)[0].any())
    softened = softfx.soften(lambda x: (x > 1).float().requires_grad_(False) * x, example_inputs=(X,))
    assert torch.equal(softened(X.clone().requires_grad_()), (X > 1) * X)


def test_a_block_that_writes_a_parameter_is_not_lifted_and_the_report_says_so() -> None:
    class Clamped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([0.4, 1.7]))

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.weight.copy_(self.weight.round())
            return x * self.weight

    soft = softfx.soften(Clamped(), "lifted", example_inputs=(X,))
    assert soft(X).tolist() == Clamped()(X).tolist()
    assert "what outlives the call is written in place" in soft.report.sites[0].reason


def test_a_result_goes_with_its_last_name() -> None:
    soft = softfx.soften(lambda x: (x > 0) * x.round(), "smooth", example_inputs=(X,), executor="eager")
    gc.collect()
    gc.disable()
    try:
        result = soft(X.clone().requires_grad_())
        gone = weakref.ref(result)
        del result
        assert gone() is None
    finally:
        gc.enable()


def test_a_hard_unique_does_not_break_the_backward_pass() -> None:
    def program(x: Tensor) -> Tensor:
        u, _ = torch.unique(x, return_inverse=True)
        return torch.searchsorted(u.detach().sort().values, u).to(u.dtype) * 0.1

    x = torch.tensor([0.2, 0.7, 0.05])
    result = softfx.soften(program, example_inputs=(x,))(x.clone().requires_grad_())
    if result.requires_grad:
        result.sum().backward()
    assert torch.equal(result, program(x))


@EXECUTOR
def test_a_part_of_an_expanded_tensor_may_be_written(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        mask, rounded = x > 0, x.round() * 1
        mask.expand(2, *mask.shape)[0, :, 1] = mask[:, 0]
        rounded.expand(2, *rounded.shape)[1, 0] = rounded[2]
        return mask.float() * rounded

    x = torch.tensor([[0.3, -1.7, 2.4], [-0.6, 1.2, 0.9], [1.6, -0.2, -2.3]])
    soft = softfx.soften(program, example_inputs=(x,), executor=executor)
    assert identical(soft(x), program(x)) and gradient(soft, x).isfinite().all()
