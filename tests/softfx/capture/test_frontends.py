"""The frontends: one plan whichever sees the call, by name, and errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
from softfx.errors import CaptureError, TargetError
from tests.helpers import assert_same, outcome
from tests.softfx.capture.models import (
    FRONTENDS,
    SMALL,
    TRACERS,
    Output,
    line_of,
    plan,
    rgb_to_hsv,
    switch_router,
    vector_quantizer,
)


@pytest.mark.parametrize("policy", ["straight-through", "smooth"])
@pytest.mark.parametrize("frontend", TRACERS)
@pytest.mark.parametrize("name", [name for name in SMALL if name != "contact"])
def test_each_frontend_gives_one_plan_and_the_same_values_and_gradients(name: str, frontend: str, policy: str) -> None:
    soft = {}
    for capture in ("eager", frontend):
        target, args, kwargs = SMALL[name]()
        soft[capture] = softfx.soften(target, policy, example_inputs=args, example_kwargs=kwargs, capture=capture)
    reports = soft["eager"].report, soft[frontend].report
    assert reports[1].frontend == frontend and "bit for bit" in reports[1].why_frontend
    assert plan(reports[0]) == plan(reports[1]) and reports[0].sites
    assert soft["eager"]._softfx.graph is not None and soft[frontend]._softfx.graph is not None
    assert reports[0].static == reports[1].static and reports[0].starved == reports[1].starved
    assert_same(*(outcome(soft[capture], args, kwargs) for capture in ("eager", frontend)))


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_parameters_come_from_the_module_by_their_own_names(frontend: str) -> None:
    target, args, kwargs = SMALL["buffered"]()
    soft = softfx.soften(target, "straight-through", example_inputs=args, capture=frontend)
    assert set(soft._softfx.graph.rewritten.attributes) >= {"mean", "norm.weight", "norm.bias"}
    with torch.no_grad():
        target.norm.weight.fill_(0.0)  # shared with the original: nothing was baked in
    assert soft(*args).grad_fn is not None and not outcome(soft, args, kwargs).results[0].equal(args[0])


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_the_iterations_of_a_loop_are_one_site_and_two_calls_on_a_line_are_two(frontend: str) -> None:
    def looped(x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.relu(x - 0.1) + torch.relu(x)
        return x

    report = softfx.check(looped, example_inputs=(torch.randn(4),), capture=frontend)
    assert [site.op for site in report.sites] == ["relu", "relu"]
    assert {site.line for site in report.sites} == {line_of(looped, "torch.relu(x - 0.1)")}


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_plain_dataclass_comes_back_whole_or_is_refused(frontend: str) -> None:
    def chosen(x: Tensor) -> Output:
        return Output(x.round())

    x = torch.randn(4)
    if frontend == "fx":
        with pytest.raises(CaptureError, match="would keep proxies, for it returns a Output, which may hold"):
            softfx.check(chosen, example_inputs=(x,), capture=frontend)
        return
    soft = softfx.soften(chosen, "straight-through", example_inputs=(x,), capture=frontend)
    assert soft.report.executor == "eager" and torch.equal(soft(x).chosen, x.round())


def test_auto_takes_the_eager_frontend_and_says_so() -> None:
    report = softfx.check(torch.round, example_inputs=(torch.randn(3),))
    assert report.frontend == "eager" and report.why_frontend


@pytest.mark.zoo
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("frontend", TRACERS)
@pytest.mark.parametrize("build", [vector_quantizer, switch_router, rgb_to_hsv])
def test_a_third_party_model_has_one_plan_or_is_refused_with_its_line(
    build: Callable[[], tuple[Any, tuple[Any, ...]]], frontend: str
) -> None:
    torch.manual_seed(0)
    target, inputs = build()
    expected = softfx.check(target, "straight-through", example_inputs=inputs)
    assert expected.sites
    try:
        report = softfx.check(target, "straight-through", example_inputs=inputs, capture=frontend)
    except CaptureError as refusal:
        assert build is not rgb_to_hsv
        assert re.search(r"site-packages/\w+/.*\.py:\d+: ", str(refusal)), str(refusal)
        return
    assert plan(report) == plan(expected)


def test_a_call_that_fails_is_told_apart_from_one_that_cannot_be_traced() -> None:
    def fails(x: Tensor) -> Tensor:
        return x @ torch.ones(7, 7)

    for frontend in FRONTENDS:
        with pytest.raises(
            CaptureError, match=r"fails: it raised RuntimeError on its example inputs: .* Correct the inputs"
        ):
            softfx.check(fails, example_inputs=(torch.ones(3, 3),), capture=frontend)


def test_an_unknown_frontend_is_named_with_the_legal_ones() -> None:
    message = r"^unknown capture 'jit'\. Legal: auto, eager, dynamo, fx\. Take 'auto'\.$"
    with pytest.raises(TargetError, match=message):
        softfx.soften(torch.round, example_inputs=(torch.ones(2),), capture="jit")


def _hooked(x: Tensor) -> Tensor:
    y = x * 2.0
    y.register_hook(lambda gradient: gradient * 3.0)
    return torch.where(y > 0, y, y.round())


def _differentiated(x: Tensor) -> Tensor:
    x = x * 1.0
    return torch.autograd.grad(x.square().sum(), x, create_graph=True)[0].round()


def _retained(x: Tensor) -> Tensor:
    y = x * 2.0
    y.retain_grad()
    return y.round()


@pytest.mark.parametrize("target", [_hooked, _differentiated, _retained])
def test_a_target_that_needs_inputs_with_a_gradient_is_told_so(target: Callable[[Tensor], Tensor]) -> None:
    x, n = torch.tensor([0.4, -1.3]), torch.tensor([1, 2])
    with pytest.raises(RuntimeError):
        target(x)
    advice = r"on its example inputs: .*\. It runs where these require a gradient\. Give example inputs that do"
    with pytest.raises(CaptureError, match=advice):
        softfx.soften(target, example_inputs=(x,))
    assert not x.requires_grad
    soft = softfx.soften(target, example_inputs=(x.clone().requires_grad_(),))
    a, b = (x.clone().requires_grad_() for _ in range(2))
    assert torch.equal(soft(a), target(b))
    with pytest.raises(CaptureError, match="Correct the inputs, or the model"):  # a gradient does not help here
        softfx.soften(target, example_inputs=(n,))


def test_a_hook_that_the_target_registers_runs_on_the_softened_gradient() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    softfx.soften(_hooked, "keep", example_inputs=(x,))(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [6.0, 6.0]
