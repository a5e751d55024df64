"""The audit of sites: each gets its own verdict, measured where the program meets it, and one thing to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.auditing.report import AuditedSite
from softfx.errors import TargetError
from softfx.report.page.view import view


def audited(target: Any, *inputs: Any, policy: Any = None, samples: int = 128, **options: Any) -> softfx.AuditReport:
    return softfx.audit(target, policy, example_inputs=inputs, samples=samples, **options)


def only(report: softfx.AuditReport, operation: str) -> AuditedSite:
    (found,) = (site for site in report.sites if site.site.op == operation)
    return found


X = torch.linspace(-1.02, 1.1, 16)


class Wrong(torch.autograd.Function):
    """Floor with a derivative that leads the wrong way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.floor()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return -gradient


def several(x: Tensor) -> Tensor:
    good = (x > 0.1).float().sum()
    dead = (1000 * x >= 20.0).float().sum()
    opposed = Wrong.apply(4 * x).sum()  # type: ignore[no-untyped-call]
    far = (x < 1e6).float().sum()
    return good + dead + 0.3 * opposed + far


def test_each_site_of_one_program_gets_its_own_verdict() -> None:
    report = audited(several, X, policy={"default": {"softness": 0.1}})
    verdicts = {site.site.op: site.verdict for site in report.sites}
    assert verdicts == {"gt": "good", "ge": "dead", "floor": "opposed", "lt": "cannot_tell"}
    assert only(report, "ge").suggestion.startswith("softer: 32 times the softness has cosine 0.")
    assert only(report, "floor").suggestion.startswith("no policy entry changes it: inside the custom autograd.Func")
    assert only(report, "lt").suggestion.startswith("no data near the threshold")
    assert only(report, "gt").zeros < only(report, "gt").zeros_before == 1.0
    assert only(report, "gt").sign == 1.0


def branch(x: Tensor) -> Tensor:
    return x.sum() if x.mean() > 0.05 else -x.sum()


def lifted(x: Tensor) -> Tensor:
    with torch.no_grad():
        mask = (x > 0).float()
    return (mask * torch.arange(16.0)).sum() + 0 * x.sum()


def kept(x: Tensor) -> Tensor:
    return x.sign().sum()


HARD: dict[str, tuple[Callable[[Tensor], Tensor], Any, str]] = {
    "a branch": (branch, None, "turn this branch"),
    "a no_grad block": (lifted, None, "lift: "),
    "a policy that keeps": (kept, "keep", 'soften it: op = "sign"'),
}


@pytest.mark.parametrize("kind", HARD)
def test_a_site_that_stays_hard_is_told_what_would_soften_it(kind: str) -> None:
    program, policy, suggestion = HARD[kind]
    (site,) = audited(program, X, policy=policy).sites
    assert site.verdict == "dead" and site.suggestion.startswith(suggestion)


def test_the_operand_is_moved_where_the_program_meets_it() -> None:
    def program(x: Tensor) -> Tensor:
        y = 5.0 * x
        return (y > 0.5).float().sum() + y.sum()  # the sum does not see what the comparison is given

    site = only(audited(program, X, samples=256, policy={"default": {"softness": {"relative": 0.2}}}), "gt")
    assert site.ratio is not None and 0.5 < site.ratio < 2.0
    assert site.sigma == pytest.approx(0.3 * 5 * 0.65, rel=0.1)


@pytest.mark.parametrize(("sign", "verdict"), [(1.0, "good"), (-1.0, "opposed")])
def test_a_site_of_many_numbers_is_told_by_what_its_gradient_predicts(sign: float, verdict: str) -> None:
    class Signed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return sign * gradient

    x = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    program = lambda x: Signed.apply((x > 0.1).float()).mean()  # type: ignore[no-untyped-call]  # noqa: E731
    site = only(audited(program, x, policy={"default": {"softness": "auto"}}), "gt")
    assert site.signal is not None and site.signal < 3 and site.verdict == verdict  # the length is lost in noise
    assert site.predicts is not None and sign * site.predicts > 0.5


def test_a_write_in_place_and_a_loop_are_sites_too() -> None:
    def program(x: Tensor) -> Tensor:
        y = 2.0 * x
        y.clamp_(-0.5, 0.5)
        for _ in range(3):
            y = y + 0.1 * torch.sign(y - 0.05)
        return y.sum()

    report = audited(program, X, policy="straight-through", samples=256)
    assert only(report, "clamp").verdict == "good" and only(report, "sign").verdict == "good"


def test_columns_in_units_of_their_own_count_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    units = torch.tensor([0.01, 1.0, 1000.0])
    x, t = torch.randn(16, 3, generator=generator) * units, (0.1 * units).requires_grad_()
    policy = {"default": {"softness": {"relative": 0.2}}}
    report = audited(lambda x, t: (x > t).float().mean(0).sum(), x, t, policy=policy, samples=512)
    assert only(report, "gt").verdict == "good"


def test_soft_sites_have_their_part_of_the_gap() -> None:
    def program(x: Tensor) -> Tensor:
        return (x > 0.1).float().sum() + x.round().sum()

    report = audited(program, X, policy="smooth", samples=64)
    gaps = [site.gap for site in report.sites]
    assert all(gap is not None for gap in gaps)
    assert report.soft_loss - report.hard_loss == pytest.approx(sum(gap or 0.0 for gap in gaps), abs=1e-4)
    assert "gap" in str(report) and audited(program, X, samples=64).sites[0].gap is None


def test_whole_numbers_are_judged_by_the_site_that_they_come_from() -> None:
    report = audited(lambda x: x.argsort().argsort().float() @ torch.arange(16.0), X, samples=64)
    assert any("whole numbers" in site.suggestion for site in report.sites)


class Router(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.gate(self.norm(x))
        chosen = nn.functional.one_hot(scores.argmax(-1), 3).float()
        return (chosen * torch.tensor([1.0, 2.0, 4.0])).sum(-1)


def test_a_module_over_batches_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    router = Router()
    state = {name: value.clone() for name, value in router.state_dict().items()}
    loader = [(torch.randn(8, 4),), {"x": torch.randn(6, 4)}, [torch.randn(7, 4)]]
    told: list[tuple[int, int]] = []
    report = softfx.audit(
        router, loader=loader, loss=lambda y: y.mean(), samples=64, progress=lambda n, of, _: told.append((n, of))
    )
    assert {each.name for each in report.parameters} == {"gate.weight", "gate.bias", "norm.weight", "norm.bias"}
    assert report.sites[0].site.op == "argmax" and report.sites[0].after > 0 == report.sites[0].before
    assert all(torch.equal(value, state[name]) for name, value in router.state_dict().items())
    assert told[0] == (0, report.runs) and told[-1] == (report.runs, report.runs)
    assert report.runs == 2 * 64 * 3 * (
        1 + sum(site.cosine is not None or site.signal is not None for site in report.sites)
    )


def test_the_report_as_data_and_as_a_page() -> None:
    report = audited(several, X, samples=64)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["version"] == 2 and data["counts"]["found"] == len(data["sites"]) == 4
    measured = data["sites"][0]["measured"]
    assert set(measured) >= {"before", "after", "agreement", "interval", "margins", "verdict", "suggestion", "sign"}
    assert set(data["parameters"][0]) >= {"name", "before", "after", "agreement", "interval", "verdict"}
    shown = view(data)
    assert shown.measures and shown.parameters[0].module == "input x" and "<svg" in report.to_html()
    assert audited(several, X, samples=64) == report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sites": "some"}, "sites = 'some'"),
        ({"loader": 3}, "gives no batches"),
        ({"loader": []}, "gives no batch"),
        ({"loader": [X], "example_inputs": (X,)}, "both a loader and example inputs"),
    ],
)
def test_a_mistake_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        softfx.audit(several, **options)


def test_sites_that_decide_about_whole_numbers_have_the_derivative_of_these() -> None:
    def program(x: Tensor) -> Tensor:
        return ((x.round() - 2).abs() < 1.5).float().sum()

    x = 2 * torch.randn(40, generator=torch.Generator().manual_seed(0))
    report = audited(program, x, samples=512, sites="every")
    assert {site.site.op: site.verdict for site in report.sites} == {"round": "good", "abs": "good", "lt": "good"}


def test_a_decision_made_element_by_element_is_judged_once() -> None:
    report = audited(lambda x: torch.sign(x - 0.1).clamp(min=-0.5).sum(), X, samples=256, sites="every")
    assert only(report, "sign").verdict == "good"
    assert only(report, "clamp").suggestion.startswith("its operands are made of one decision")
