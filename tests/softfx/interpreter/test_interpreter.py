"""What the engine decides call by call: sources, cuts, no_grad, existing straight-through, scopes, in-place writes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
import softtorch
from tests.helpers import EXECUTORS, gradient


def ops(report: softfx.Report, action: str | None = None) -> list[str]:
    return [site.op for site in report.sites if action in (None, site.action)]


def test_only_what_depends_on_a_float_input_or_a_parameter_is_a_site() -> None:
    def mixed(x: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(x.shape[-1]) < lengths[:, None]  # integers
        noise = torch.rand(x.shape) > 0.5  # a draw
        kept = torch.where(mask & noise, x, 0.0)
        return kept * (kept > 0.1)

    report = softfx.check(mixed, example_inputs=(torch.randn(2, 3), torch.tensor([1, 3])))
    assert ops(report) == ["gt"] and report.static == 2


def test_the_dependence_is_followed_through_integers() -> None:
    def parity(x: Tensor) -> Tensor:
        odd = x.argmax(-1) % 2 == 1
        return torch.where(odd, x.sum(-1), -x.sum(-1))

    x = torch.randn(4, 5)
    report = softfx.check(parity, example_inputs=(x,))
    assert ops(report, "straight_through") == ["argmax", "remainder", "eq"]
    assert gradient(softfx.soften(parity, example_inputs=(x,)), x).unique(dim=-1).shape[-1] > 1


def test_a_consumer_without_a_rule_gets_the_hard_value_and_is_named() -> None:
    def hashed(x: Tensor) -> Tensor:
        bits = (x > 0).long()
        return x * torch.gcd(bits, bits)

    report = softfx.check(hashed, example_inputs=(torch.randn(3),))
    (site,) = [site for site in report.sites if site.op == "gt"]
    assert site.action == "blocked" and "gcd" in site.reason
    assert ("hard", __file__) in [(consumer.takes, consumer.file) for consumer in site.consumers]


def test_a_blocked_site_can_be_an_error() -> None:
    policy = {"default": {"action": "soft", "on_blocked": "error"}}
    with pytest.raises(softfx.BlockedError, match="gt is blocked"):
        softfx.soften(lambda x: x * (x > 0).int().gcd(torch.tensor(1)), policy, example_inputs=(torch.ones(2),))


def test_a_value_that_only_leaves_as_an_integer_is_kept_with_the_reason() -> None:
    (site,) = softfx.check(lambda x: x.argmax(-1), example_inputs=(torch.randn(3),)).sites
    assert site.action == "keep" and "int64" in site.reason
    soft = softfx.soften(lambda x: x.argmax(-1), "smooth", example_inputs=(torch.randn(3),))
    assert soft(torch.randn(3)).is_floating_point() and soft.report.sites[0].action == "soft"


class NoGrad(nn.Module):
    """A vector quantizer's choice, made under no_grad."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            distance = torch.cdist(x, self.codes)
            index = distance.argmin(-1)
        return self.codes[index]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_no_grad_block_is_kept_and_told_until_the_policy_lifts_it(executor: str) -> None:
    torch.manual_seed(0)
    module, x = NoGrad(), torch.randn(5, 3, requires_grad=True)
    kept = softfx.soften(module, example_inputs=(x,), executor=executor)
    (site,) = kept.report.sites
    assert site.action == "keep" and "no_grad" in site.reason
    policy = {"rule": [{"op": "argmin", "action": "straight_through", "lift_no_grad": True}]}
    lifted = softfx.soften(module, policy, example_inputs=(x,), executor=executor)
    value = lifted(x)
    assert torch.equal(value, module(x)) and torch.is_grad_enabled()
    assert torch.autograd.grad(value.square().sum(), x)[0].any()
    with torch.no_grad():
        assert not lifted(x).requires_grad


def test_existing_straight_through_code_is_recognised_and_left_alone_unless_named() -> None:
    def quantize(x: Tensor) -> Tensor:
        return x + (x.round() - x).detach()

    x = torch.randn(5)
    rounding, existing = softfx.check(quantize, example_inputs=(x,)).sites
    assert rounding.action == "keep" and "detaches" in rounding.reason
    assert existing.op == "existing_straight_through" and existing.action == "keep"
    named = {"rule": [{"op": "round", "action": "soft", "softness": 0.3}]}
    soft = softfx.soften(quantize, named, example_inputs=(x,))
    assert soft.report.sites[0].action == "soft" and not torch.equal(soft(x), quantize(x))


class RoundFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * 7


def test_a_custom_function_keeps_its_own_backward() -> None:
    def quantize(x: Tensor) -> Tensor:
        return RoundFunction.apply(x.sign() * x)  # type: ignore[no-untyped-call, no-any-return]

    x = torch.randn(5, requires_grad=True)
    soft = softfx.soften(quantize, example_inputs=(x,))
    by_op = {site.op: site for site in soft.report.sites}
    assert by_op["round"].action == "keep" and "RoundFunction" in by_op["round"].reason
    assert by_op["sign"].action == "straight_through"
    hard, (before,) = quantize(x), torch.autograd.grad(quantize(x).sum(), x)
    assert torch.equal(soft(x), hard) and not torch.equal(gradient(soft, x.detach()), before)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_scope_model_runs_the_whole_call_on_the_shadow(executor: str) -> None:
    def product(x: Tensor) -> Tensor:
        return (x.round() * x.sign()).exp()

    x = torch.randn(6) * 2
    policy = {"default": {"action": "straight_through", "softness": 0.3, "scope": "model"}}
    soft_policy = {"default": {"action": "soft", "softness": 0.3}}
    model = softfx.soften(product, policy, example_inputs=(x,), executor=executor)
    soft = softfx.soften(product, soft_policy, example_inputs=(x,), executor=executor)
    assert torch.equal(model(x), product(x))
    assert torch.allclose(gradient(model, x), gradient(soft, x))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_scope_model_goes_through_kinks_that_are_kept(executor: str) -> None:
    def distance(x: Tensor) -> Tensor:
        return ((x.argmax(-1) - 2.6).abs() - 0.3).relu().square().sum()

    def on_the_mean_place(x: Tensor) -> Tensor:
        return ((softtorch.argmax(x, -1, softness=0.5) @ torch.arange(5.0) - 2.6).abs() - 0.3).relu().square().sum()

    x = torch.randn(4, 5)
    policy = {"default": {"softness": 0.5, "mode": "smooth", "scope": "model"}}
    soft = softfx.soften(distance, policy, example_inputs=(x,), executor=executor)
    assert torch.equal(soft(x), distance(x))
    assert torch.allclose(gradient(soft, x), gradient(on_the_mean_place, x))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_in_place_write_does_not_leave_a_stale_shadow(executor: str) -> None:
    def overwritten(x: Tensor) -> Tensor:
        mask = x > 0
        mask.fill_(True)
        return torch.where(mask, x, -x)

    x = torch.randn(6)
    soft = softfx.soften(overwritten, example_inputs=(x,), executor=executor)
    assert torch.equal(soft(x), overwritten(x)) and torch.equal(gradient(soft, x), torch.ones(6))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_views_and_aliases_see_a_soft_masked_write(executor: str) -> None:
    def written(x: Tensor) -> Tensor:
        y = x * 1
        view = y[1:]
        y[x > 0] = 0.0
        return view * 2

    x = torch.randn(6)
    soft = softfx.soften(written, {"default": {"action": "soft"}}, example_inputs=(x,), executor=executor)
    expected = torch.sigmoid(-x / 0.1) * x
    assert torch.allclose(soft(x), expected[1:] * 2, atol=1e-6)


def test_soft_and_straight_through_sites_meet() -> None:
    def both(x: Tensor) -> Tensor:
        return ((x > 0) & (x < 1)).float() * x

    x = torch.tensor([-0.05, 0.05, 0.95, 1.05])
    policy = {"default": {"action": "straight_through"}, "rule": [{"op": "gt", "action": "soft"}]}
    for executor in EXECUTORS:
        soft = softfx.soften(both, policy, example_inputs=(x,), executor=executor)
        assert torch.allclose(soft(x), torch.sigmoid(x / 0.1) * (x < 1) * x, atol=1e-6)
        assert gradient(soft, x).all()


def test_kept_kinks_pass_soft_counts_on() -> None:
    def share(x: Tensor) -> Tensor:
        return x.sum() / (x > 0).sum().clamp(min=1)

    x = torch.tensor([-1.2, -0.4, 0.1, 0.7, 1.1, 2.3])
    soft = softfx.soften(share, example_inputs=(x,))
    assert ops(soft.report, "straight_through") == ["gt"] and ops(soft.report, "keep") == ["clamp"]
    assert gradient(soft, x).unique().numel() == 6


def test_parameters_and_inputs_without_a_gradient_are_named() -> None:
    class Starved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fed, self.starved = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.fed * (self.starved * 2).round()

    assert softfx.check(Starved(), example_inputs=(torch.ones(3),)).starved == ["starved"]


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_program_may_write_into_what_a_soft_call_has_used(executor: str, policy: str) -> None:
    def reused(x: Tensor) -> Tensor:
        y = x * 2
        above = (y > 0).float()
        chosen = y.topk(2).values.sum()
        y.mul_(3)
        above += 1
        return above * chosen + y

    x = torch.randn(6)
    soft = softfx.soften(reused, policy, example_inputs=(x,), executor=executor)
    assert gradient(soft, x).isfinite().all()
    if policy != "smooth":
        assert torch.equal(soft(x), reused(x))
