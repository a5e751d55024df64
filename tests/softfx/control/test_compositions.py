"""Control flow inside other things: third-party functions, long loops, a training loop that calls twice."""

from __future__ import annotations

import math
import sys
import types

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.pipeline.control_runs import ControlRuns
from tests.softfx.control.programs import policy


def third_party(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module as another package would have it."""
    module = types.ModuleType("third_party")

    def clipped(x: Tensor, limit: Tensor) -> Tensor:
        size = (x * x).sum().sqrt()
        return x * (limit / size) if size > limit else x * 0.5

    module.clipped = clipped  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "third_party", module)
    return module


def test_a_branch_of_a_patched_third_party_function_has_a_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    module = third_party(monkeypatch)
    x, limit = torch.tensor([0.8, 0.65]), torch.tensor(1.0, requires_grad=True)
    expected = module.clipped(x, limit)
    along = torch.autograd.grad(expected.sum(), limit)[0]
    with softfx.patched("third_party:clipped", policy=policy(samples=0, softness=0.3)):
        value = module.clipped(x, limit)
        (found,) = torch.autograd.grad(value.sum(), limit)
    size = (x * x).sum().sqrt()
    scale = 0.3 * (size - 1.0).abs()  # one visit: the spread is the size of its margin
    p = torch.sigmoid((size - limit) / scale)
    turned = torch.autograd.grad(p, limit)[0] * (expected.detach() - 0.5 * x).sum()
    assert torch.equal(value, expected)
    torch.testing.assert_close(found, along + turned)


def counted_down(x: Tensor, edge: Tensor) -> Tensor:
    rounds = 0
    while x > edge:
        x, rounds = x * 0.99, rounds + 1
    return x + 1e-3 * rounds


def test_a_long_loop_is_run_as_often_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are linear in turns, whatever the number of decisions."""
    runs: list[None] = []
    original = ControlRuns.again
    monkeypatch.setattr(ControlRuns, "again", lambda *args, **fields: runs.append(None) or original(*args, **fields))
    edge = torch.tensor(0.1, requires_grad=True)
    for start in (0.2, 1.0):
        x = torch.tensor(start)
        soft = softfx.soften(counted_down, policy(samples=0, turns=4), example_inputs=(x, edge))
        runs.clear()
        value = soft(x, edge)
        assert value == counted_down(x, edge.detach()) and torch.autograd.grad(value, edge)[0].isfinite()
        assert math.log(start / 0.1) / 0.01 > 60 and 1 <= len(runs) <= 5


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.edge, self.layer = nn.Parameter(torch.tensor(0.3)), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y * 2 if y.sum() > self.edge else y - 1


def test_a_model_that_is_called_twice_in_a_step_has_the_sum_of_both_derivatives() -> None:
    torch.manual_seed(0)
    soft = softfx.soften(Gate(), policy(samples=0, softness=1.0), example_inputs=(torch.rand(2),))
    first, second = torch.rand(2), torch.rand(2)
    each = [torch.autograd.grad(soft(x).square().sum(), list(soft.parameters())) for x in (first, second)]
    together = torch.autograd.grad(soft(first).square().sum() + soft(second).square().sum(), list(soft.parameters()))
    for one, other, both in zip(*each, together, strict=True):
        torch.testing.assert_close(both, one + other)
    assert any(gradient.any() for gradient in each[0])


def test_a_transform_in_the_call_finds_its_tensors_as_it_left_them() -> None:
    """Further runs put back what was written: inside a transform tensors are wrapped, and count no writes."""

    def curvature(x: Tensor) -> Tensor:
        second = torch.func.hessian(lambda v: (v.round() * v * v).sum())(x)
        return second.sum() * x.sum().round() * x

    x = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
    soft = softfx.soften(curvature, "lifted", example_inputs=(x,))
    result = soft(x)
    assert torch.equal(result, curvature(x))
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert gradient.isfinite().all() and gradient.any()
