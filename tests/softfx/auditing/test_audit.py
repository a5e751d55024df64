"""The audit of planted programs: one whose gradient is right, and one for each way in which it can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.auditing.agreement import agreement
from softfx.auditing.report import noise_of
from softfx.auditing.verdicts import verdict_of
from softfx.errors import TargetError


class _Scaled(torch.autograd.Function):
    """Rounding with a derivative of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return ctx.factor * gradient, None


class _Drawn(torch.autograd.Function):
    """Rounding with a derivative that is mostly noise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient + 50 * torch.randn_like(gradient)


def share(x: Tensor) -> Tensor:
    return (x > 0.1).double().mean()


PLANTED: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "good": (share, 1.0),
    "dead": (share, 1000.0),
    "saturated": (lambda x: _Scaled.apply(3 * x, 0.001).sum(), 1.0),  # type: ignore[no-untyped-call]
    "noisy": (lambda x: _Drawn.apply(3 * x).sum(), 1.0),  # type: ignore[no-untyped-call]
    "opposed": (lambda x: _Scaled.apply(3 * x, -1.0).sum(), 1.0),  # type: ignore[no-untyped-call]
    "cannot_tell": (lambda x: (x > 1e6).double().mean(), 1.0),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("verdict", PLANTED)
def test_a_planted_program_gets_its_verdict(verdict: str, seed: int) -> None:
    program, unit = PLANTED[verdict]
    generator = torch.Generator().manual_seed(seed)
    x = unit * (torch.linspace(-1.05, 1.15, 8) + 0.01 * torch.randn(8, generator=generator))
    report = softfx.audit(program, {"default": {"softness": 0.1}}, example_inputs=(x,), samples=192, seed=seed)
    (found,), (site,) = report.parameters, report.sites
    assert found.verdict == site.verdict == verdict
    assert found.suggestion and site.suggestion


@pytest.mark.parametrize("noise", [0.5, 2.0, 5.0, None])
def test_the_noise_of_a_draw_is_not_hidden_by_that_of_the_mean(noise: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    trials = []
    for _ in range(200):
        draws = torch.randn(32, 50, generator=generator, dtype=torch.float64)
        trials.append(noise_of(draws if noise is None else draws * noise + 1))
    if noise is None:  # no direction at all: nothing, or far above the bound of a noisy gradient, 3
        assert all(each is None or each > 3 for each in trials)
    else:
        assert sum(each is not None and abs(each / noise - 1) < 0.5 for each in trials) >= 180


def test_softness_in_units_of_the_data_mends_a_dead_gradient() -> None:
    x = 1000 * torch.linspace(-1, 1, 8)
    (found,) = softfx.audit(
        share, {"default": {"softness": {"relative": 0.2}}}, example_inputs=(x,), samples=128
    ).parameters
    assert found.verdict == "good" and found.before == 0 < found.after


@pytest.mark.parametrize("cosine", [-0.8, 0.0, 0.5, 0.95])
@pytest.mark.parametrize("size", [20, 200])
def test_the_interval_covers_the_true_cosine(size: int, cosine: float) -> None:
    generator = torch.Generator().manual_seed(0)
    truth, gradient = torch.zeros(size), torch.zeros(size)
    truth[0], gradient[0], gradient[1] = 1.0, cosine, (1 - cosine**2) ** 0.5
    covered = 0
    for _ in range(200):
        found = agreement(gradient, truth + 2 * size**-0.5 * torch.randn(32, size, generator=generator))
        assert found.low is not None and found.high is not None
        covered += found.low <= cosine <= found.high
    assert covered >= 180  # of 200; not bounded above: near a cosine of 1 it covers more than 95 %, which is cautious


@pytest.mark.parametrize("cosine", [0.9, 0.98, -0.98])
def test_an_interval_of_two_numbers_holds_a_cosine_that_hardly_moves_with_the_angle(cosine: float) -> None:
    generator = torch.Generator().manual_seed(0)
    truth, gradient = torch.tensor([1.0, 0.0]), torch.tensor([cosine, (1 - cosine**2) ** 0.5])
    found = [agreement(gradient, truth + 0.6 * torch.randn(32, 2, generator=generator)) for _ in range(200)]
    told = [each for each in found if each.low is not None and each.high is not None]
    assert len(told) >= 199
    # The jackknife's error at the estimate, to both sides alike, holds 0.98 in 86 of 100.
    assert sum(each.low - 1e-6 <= cosine <= each.high + 1e-6 for each in told) >= 0.93 * len(told)


@pytest.mark.parametrize("size", [1, 6, 200])
def test_noise_alone_is_seldom_told_from_no_gradient(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    verdicts = [
        verdict_of(agreement(torch.zeros(size), torch.randn(32, size, generator=generator)), 0.0, 0.0)
        for _ in range(300)
    ]
    assert verdicts.count("dead") <= 3 and verdicts.count("cannot_tell") >= 297  # 0.4 are due


def test_a_rare_answer_is_told_from_noise_where_its_length_is_known_to_a_quarter() -> None:
    generator = torch.Generator().manual_seed(0)
    blocks = 1.0 + 1.1 * torch.randn(32, 1, generator=generator)  # 5 standard errors
    assert verdict_of(agreement(torch.zeros(1), blocks), 0.0, 0.0) == "dead"


class Gate(nn.Module):
    """Buffers, dropout and parameters of which one is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.2)
        self.norm.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(self.drop(self.norm(x))).mean()


def test_a_module_is_left_as_it_was_and_its_trainable_parameters_are_judged() -> None:
    torch.manual_seed(0)
    gate, x = Gate(), torch.randn(20, 3)
    state = {name: value.clone() for name, value in gate.state_dict().items()}
    drawn = torch.get_rng_state()
    report = softfx.audit(gate, example_inputs=(x,), samples=128)
    assert [each.name for each in report.parameters] == ["norm.bias"]
    assert report.parameters[0].verdict == "good"
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(value, state[name]) for name, value in gate.state_dict().items())
    assert all(p.grad is None for p in gate.parameters())


def test_a_loss_a_keyword_and_the_same_seed() -> None:
    def program(x: Tensor, *, t: Tensor) -> Tensor:
        return (x > t).double().sum()

    x, t = torch.linspace(-1, 1, 16), torch.tensor(0.1, requires_grad=True)

    def audited() -> softfx.AuditReport:
        options: dict[str, Any] = {"example_inputs": (x,), "example_kwargs": {"t": t}, "samples": 256, "scale": 8.0}
        return softfx.audit(program, loss=lambda count: (count - 3.0) ** 2, **options)

    report = audited()
    assert [each.name for each in report.parameters] == ["input t"]
    assert report == audited() and json.loads(json.dumps(report.to_dict(), allow_nan=False)) is not None
    assert report.parameters[0].verdict == "good" and "input t" in str(report)


MISTAKES: dict[str, dict[str, Any]] = {
    "no floating result": {"target": lambda x: x > 0},
    "no trainable parameter and no floating input": {"example_inputs": (torch.ones(3, dtype=torch.long),)},
    "loss gives no 0-dim tensor": {"loss": lambda result: [result]},
    "scale = -1": {"scale": -1},
    "samples = 3": {"samples": 3},
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_told(message: str) -> None:
    arguments = {"target": torch.round, "example_inputs": (torch.randn(3),), **MISTAKES[message]}
    with pytest.raises(TargetError, match=message):
        softfx.audit(arguments.pop("target"), **arguments)


def test_inputs_have_the_names_that_reports_give_them() -> None:
    def program(pair: tuple[Tensor, Tensor], n: int, other: Tensor) -> Tensor:
        return (pair[0] > n).double().sum() * (pair[1] < 0.5).double().sum() * other.round().sum()

    x = torch.linspace(-1, 1.5, 8, requires_grad=True)
    inputs = ((x, x.detach().flip(0).requires_grad_()), 0, x)  # one tensor in two places
    report = softfx.audit(program, example_inputs=inputs, samples=64)
    names = [each.name for each in report.parameters]
    assert names == ["input pair[0]", "input pair[1]", "input other"]
    assert softfx.check(program, example_inputs=inputs).starved == names


OF_ONE_DECISION: dict[str, Callable[[Tensor], Tensor]] = {
    "distance of a place": lambda x: (x.view(6, 4).argmax(-1).double() - 1.7).abs().sum(),
    "error of a mask": lambda x: ((x > -0.3).double() - 0.8).square().mean(),
    "relu of a sign": lambda x: torch.relu(torch.sign(x) * 0.7 - 0.2).mean(),
}


@pytest.mark.parametrize("program", OF_ONE_DECISION.values(), ids=OF_ONE_DECISION)
def test_numbers_made_of_one_decision_are_judged_with_it(program: Callable[[Tensor], Tensor]) -> None:
    """An audit watches copies of the operands; what is made of a decision is followed through them."""
    x = torch.randn(24, generator=torch.Generator().manual_seed(41))
    report = softfx.audit(program, example_inputs=(x,), samples=256, seed=3)
    site, *behind = report.sites
    assert site.verdict == report.parameters[0].verdict == "good"
    assert site.cosine is not None and site.cosine > 0.9
    assert all("judged by the site" in later.suggestion for later in behind)


def test_an_original_whose_backward_pass_raises_has_no_gradient() -> None:
    """torch has no derivative of heaviside, and says so by an error."""

    def program(x: Tensor) -> Tensor:
        return torch.heaviside(x, torch.tensor(0.5)).sum() + x.sum()

    report = softfx.audit(program, example_inputs=(torch.linspace(-1, 1, 9),), samples=128)
    (site,) = report.sites
    assert report.parameters[0].before == site.before == 0.0
    assert report.parameters[0].verdict == site.verdict == "good"


def test_a_gradient_that_is_mostly_noise_is_told_where_the_reference_is_lost_in_it() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(x.sign(), 0.98).sum()

    x = torch.randn(12, generator=torch.Generator().manual_seed(1))
    (site,) = softfx.audit(program, example_inputs=(x,), samples=64).sites
    assert site.verdict == "noisy"
