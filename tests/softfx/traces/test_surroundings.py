"""What is traced, and what is not: functions that write or draw, transforms, what others see, and memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

import softtorch
from softfx.traces.traced import Traced


def rounded(x: Tensor) -> Tensor:
    return softtorch.round(x, softness=0.3) * x


def warm(function: Callable[..., Any], *values: Any) -> Traced:
    traced = Traced(function)
    for _ in range(3):
        traced(*values)
    return traced


@pytest.fixture
def x() -> Tensor:
    return torch.tensor([0.3, -1.2, 2.5, 0.0], dtype=torch.float64, requires_grad=True)


def test_a_function_that_writes_what_it_is_given_is_called_once_each_time(x: Tensor) -> None:
    def writes(x: Tensor, total: Tensor) -> Tensor:
        total.add_(1)
        return (x.exp() + total).sin()

    total = torch.zeros(())
    traced = Traced(writes)
    for _ in range(3):
        traced(x, total)
    assert total == 3
    assert not traced.is_traced


def test_a_call_of_aten_that_does_not_say_that_it_writes_is_made_once_each_time(x: Tensor) -> None:
    def normalized(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return torch.nn.functional.batch_norm(x.view(2, 2), mean, variance, training=True).sin().exp()

    (mean, variance), (wanted, other) = [(torch.zeros(2).double(), torch.ones(2).double()) for _ in range(2)]
    traced = Traced(normalized)
    for _ in range(3):
        assert torch.equal(traced(x, mean, variance), normalized(x, wanted, other))
    assert torch.equal(mean, wanted)
    assert torch.equal(variance, other)


def test_a_function_that_draws_draws_once_each_time(x: Tensor) -> None:
    def draws(x: Tensor) -> Tensor:
        return (x + torch.rand_like(x)).sin().exp().cos()

    traced = Traced(draws)
    for _ in range(3):
        torch.manual_seed(3)
        ours, after = traced(x), torch.rand(())
        torch.manual_seed(3)
        assert torch.equal(ours, draws(x))
        assert after == torch.rand(())
    assert not traced.is_traced


def test_a_block_without_gradients_ends_where_a_trace_does(x: Tensor) -> None:
    def draws(x: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        noise = torch.rand_like(x).exp().sin()
        torch.set_grad_enabled(True)
        return noise * x

    assert not warm(draws, x).is_traced
    assert torch.is_grad_enabled()


def test_a_shape_that_depends_on_data_is_asked_for(x: Tensor) -> None:
    traced = warm(lambda x: x[x > 0].sin().exp().cos(), x)
    assert traced.is_traced
    assert traced(-x).shape == (1,)


def test_a_bool_that_python_reads_is_asked_for(x: Tensor) -> None:
    traced = warm(lambda x: x.sin().exp() * (2 if x[0] > 0 else 3), x)
    assert traced.is_traced
    assert torch.equal(traced(-x), (-x).sin().exp() * 3)


def test_a_real_number_that_python_reads_is_not_traced(x: Tensor) -> None:
    traced = warm(lambda x: x.sin().exp() * x[0].item(), x)
    assert not traced.is_traced
    assert torch.equal(traced(-x), (-x).sin().exp() * -x[0])


def test_transforms_see_the_function(x: Tensor) -> None:
    traced, point = warm(rounded, x), x.detach()
    rows = torch.stack([point, 2 * point])
    assert traced.is_traced
    for transform in (
        lambda f: torch.vmap(f)(rows),
        lambda f: torch.func.grad(lambda v: f(v).sum())(point),
        lambda f: torch.func.jvp(f, (point,), (torch.ones_like(point),))[1],
        lambda f: torch.func.hessian(lambda v: f(v).sum())(point),
        lambda f: make_fx(f)(point)(point),
    ):
        torch.testing.assert_close(transform(traced), transform(rounded), rtol=1e-12, atol=1e-12)


def test_a_block_that_is_computed_again_has_its_own_calls(x: Tensor) -> None:
    traced = warm(rounded, x)
    again = checkpoint(lambda v: traced(v.sin()), x, use_reentrant=False)
    ours, theirs = (torch.autograd.grad(y.sum(), x)[0] for y in (again, rounded(x.sin())))
    assert torch.equal(ours, theirs)


def test_autocast_is_not_traced(x: Tensor) -> None:
    def product(x: Tensor) -> Tensor:
        return (x[None] @ x[:, None]).sin().exp()

    single = x.detach().float().requires_grad_()
    traced = Traced(product)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(3):
            assert torch.equal(traced(single), product(single))
    assert not traced.is_traced


def test_large_tensors_are_not_traced() -> None:
    assert not warm(rounded, torch.rand(200, 100, requires_grad=True)).is_traced
    pairs = warm(lambda x: (x[:, None] - x[None]).sin().exp().sum(), torch.rand(200, requires_grad=True))
    assert not pairs.is_traced


def test_a_function_without_a_gradient_can_be_called(x: Tensor) -> None:
    traced = warm(lambda x: torch.special.zeta(x.abs() + 2, x.exp()).sin().exp(), x)
    assert not traced.is_traced
    with pytest.raises(RuntimeError, match="not implemented"):
        traced(x).sum().backward()


def test_no_call_keeps_a_tensor(x: Tensor) -> None:
    traced = warm(rounded, x)
    kept = []
    for _ in range(3):
        given = (x * 2).detach().requires_grad_()
        result = traced(given)
        result.sum().backward()
        kept += [weakref.ref(given), weakref.ref(result)]
        del given, result
    gc.collect()
    assert all(reference() is None for reference in kept)


def test_what_a_call_gives_is_its_own(x: Tensor) -> None:
    traced = warm(lambda x: (x.exp() + torch.arange(4).double().square().sqrt(), torch.arange(4).double().square()), x)
    first, constant = traced(x)
    wanted = constant.clone()
    constant.mul_(0)
    assert torch.equal(traced(x)[1], wanted)
    assert traced.is_traced
    assert torch.equal(first, traced(x)[0])


def test_results_that_share_memory_share_it_still(x: Tensor) -> None:
    traced = warm(lambda x: ((y := x.sin().exp() * 2), y.view(2, 2)), x)
    y, view = traced(x.detach())
    y.zero_()
    assert not view.any()


def test_views_that_a_call_gives_can_be_written(x: Tensor) -> None:
    traced = warm(lambda x: ((x * 2).sin().exp().neg().view(2, 2), x.exp().cos().neg()), x)
    assert traced.is_traced
    for _ in range(2):
        y, z = traced(x)
        y.mul_(2)
        z.mul_(3)
        wanted = (-2 * (x * 2).sin().exp()).sum() + (-3 * x.exp().cos()).sum()
        ours, theirs = (torch.autograd.grad(total, x)[0] for total in (y.sum() + z.sum(), wanted))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
