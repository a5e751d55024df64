"""Barriers are told, not hidden: where a soft value is lost, by what, and which parameters are starved by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.locations import short_path
from tests.helpers import EXECUTOR


def report_of(program: Callable[..., Tensor], *inputs: Tensor) -> softfx.Report:
    """Its report; the softened program gives the original's values all the same."""
    soft = softfx.soften(program, example_inputs=inputs)
    assert torch.equal(soft(*inputs), program(*inputs))
    report: softfx.Report = soft.report
    return report


def by_places(x: Tensor) -> Tensor:
    return x[(x > 0).nonzero()[:, 0].sort().values] * 2


def by_where(x: Tensor) -> Tensor:
    (places,) = torch.where(x > 0)
    return x.repeat(2, 1)[:, places] * 2


def by_item(x: Tensor) -> Tensor:
    return x * x.argmax().item()


def by_list(x: Tensor) -> Tensor:
    return x[x.argsort().tolist()]


def by_branch(x: Tensor) -> Tensor:
    return x * 2 if (x.round() > 1).any() else x


def by_foreign_code(x: Tensor) -> Tensor:
    return x * torch.from_numpy((x > 0).numpy().astype("float32"))


def by_unknown_operation(x: Tensor) -> Tensor:
    bits = (x > 0).long()
    return x * torch.gcd(bits, bits)


PROGRAMS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "nonzero": (by_places, "sort takes the rows that the original selects"),
    "where": (by_where, "getitem takes the rows that the original selects: rows that a soft mask selects, as an index"),
    "item": (by_item, "reads the value into Python"),
    "tolist": (by_list, "reads the value into Python"),
    "numpy": (by_foreign_code, "reads the value into Python"),
    "an unknown operation": (by_unknown_operation, "gcd has no rule for a soft value"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_site_whose_value_is_lost_is_blocked_with_what_cut_it_and_where(name: str) -> None:
    program, reason = PROGRAMS[name]
    report = report_of(program, torch.tensor([0.5, -1.0, 2.0]))
    (site,) = [site for site in report.sites if site.action == "blocked"]
    assert reason in site.reason and f"{short_path(__file__)}:" in site.reason
    line = program.__code__.co_firstlineno
    assert any(c.takes == "hard" and c.file == __file__ and line < c.line <= line + 3 for c in site.consumers)


def test_a_branch_in_python_is_told_as_one_that_has_no_derivative() -> None:
    report = report_of(by_branch, torch.tensor([0.5, -1.0, 2.0]))
    sites = {site.op: site for site in report.sites}
    assert sites["gt"].action == "keep" and "decides a branch in Python" in sites["gt"].reason
    assert f"{short_path(__file__)}:" in sites["gt"].reason
    (seen,) = [seen for seen in report.breaks if "if reads a value" in seen.reason]
    assert seen.file == __file__ and seen.line == by_branch.__code__.co_firstlineno + 1


class Decides(nn.Module):
    """Half of its parameters decide, and learn nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.values = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        index = self.scores(x).argmax(-1, keepdim=True)
        return self.values(y).gather(-1, index)


def test_what_gets_no_gradient_in_the_original_is_named() -> None:
    report = softfx.check(Decides(), example_inputs=(torch.randn(2, 3), torch.randn(2, 3)))
    assert {"scores.weight", "scores.bias"} <= set(report.starved) and "values.weight" not in report.starved
    assert [site.action for site in report.sites] == ["straight_through"]


def test_a_no_grad_block_behind_a_site_is_told_and_lifted_by_the_policy() -> None:
    def metric(x: Tensor) -> Tensor:
        hits = (x > 0).float()
        with torch.no_grad():
            return (hits * 2).mean()

    x = torch.tensor([0.5, -0.1, 2.0])
    (site,) = softfx.check(metric, example_inputs=(x,)).sites
    assert (
        "no_grad block" in site.reason and f"{short_path(__file__)}:" in site.reason and "lift_no_grad" in site.reason
    )
    lifted = {"default": {"action": "straight_through", "lift_no_grad": True}}
    for executor in ("graph", "eager"):
        soft = softfx.soften(metric, lifted, example_inputs=(x,), executor=executor)
        leaf = x.clone().requires_grad_()
        assert torch.equal(soft(leaf), metric(x)) and torch.autograd.grad(soft(leaf), leaf)[0].any()


def test_a_decision_on_detached_numbers_is_kept_because_no_gradient_could_pass() -> None:
    def scaled(x: Tensor) -> Tensor:
        scale = x.detach().amax() / 7
        return (x / scale).round() * scale * (x.detach() > 0)

    x = torch.tensor([0.5, -0.1, 2.0])
    by_op = {site.op: site for site in softfx.check(scaled, "smooth", example_inputs=(x,)).sites}
    assert by_op["gt"].action == "keep" and "detaches its operands" in by_op["gt"].reason
    assert by_op["round"].action == "soft"
    named = {"rule": [{"op": "gt", "action": "soft"}]}
    assert {s.op: s.action for s in softfx.check(scaled, named, example_inputs=(x,)).sites}["gt"] == "soft"


@EXECUTOR
def test_a_detach_that_cuts_a_site_off_is_lifted_by_the_policy(executor: str) -> None:
    def before(x: Tensor) -> Tensor:
        held = x.detach()
        return (held > 0).float() * held.data

    def behind(x: Tensor) -> Tensor:
        return torch.where(x > 0, 0.5, x.detach()).detach() * 3

    lifted = {"default": {"action": "straight_through", "lift_detach": True}}

    def soon(x: Tensor) -> Tensor:
        return (x > 0).float().detach() * torch.ones_like(x)

    def at_once(x: Tensor) -> Tensor:
        return x[x.argmax().detach()] * x.argmin().detach()

    for target in (before, behind, soon, at_once):
        x = torch.tensor([0.5, -0.1, 2.0], requires_grad=True)
        sites = softfx.check(target, example_inputs=(x,)).sites
        assert all(site.action == "keep" and "lift_detach" in site.reason for site in sites)
        soft = softfx.soften(target, lifted, example_inputs=(x,), executor=executor)
        result = soft(x)
        assert torch.equal(result, target(x)) and torch.autograd.grad(result.sum(), x)[0].any()
        with torch.no_grad():
            assert torch.equal(soft(x), target(x)) and not soft(x).requires_grad


def test_a_detach_that_keeps_only_a_part_of_a_site_back_stays() -> None:
    def partly(x: Tensor) -> Tensor:
        hits = (x > 0).float()
        return hits + 2 * hits.detach()

    x = torch.tensor([0.1], requires_grad=True)
    lifted = {"default": {"action": "straight_through", "lift_detach": True}}
    grads = []
    for policy in ("gradients", lifted):
        soft = softfx.soften(partly, policy, example_inputs=(x,))
        grads.append(torch.autograd.grad(soft(x).sum(), x)[0])
    assert torch.equal(*grads)


def test_a_comparison_with_none_is_no_site() -> None:
    report = softfx.check(lambda x: x if x == None else x * 2, example_inputs=(torch.ones(2),))  # noqa: E711
    assert len(report.sites) == 0


def test_the_preset_lifted_reaches_programs_that_were_never_meant_to_be_differentiated() -> None:
    @torch.no_grad()
    def accuracy(scores: Tensor, labels: Tensor) -> Tensor:
        return (scores.detach().argmax(-1) == labels).float().mean()

    scores, labels = torch.rand(6, 4, requires_grad=True), torch.arange(6) % 4
    assert not softfx.soften(accuracy, "straight-through", example_inputs=(scores, labels))(
        scores, labels
    ).requires_grad
    result = softfx.soften(accuracy, "lifted", example_inputs=(scores, labels))(scores, labels)
    assert torch.equal(result, accuracy(scores, labels))
    assert torch.autograd.grad(result, scores)[0].ne(0).any()


READS: dict[str, Callable[[Tensor], Tensor]] = {
    "int()": lambda x: x * int(x.argmax()),
    "float()": lambda x: x * float(x.argmax()),
    "complex()": lambda x: x * complex(x.argmax()).real,
    "an index": lambda x: x * [1, 2, 3][x.argmax()],
    "item": lambda x: x * x.argmax().item(),
    "tolist": lambda x: x * x.argmax().tolist(),
}


@pytest.mark.parametrize("word", READS)
def test_a_number_that_python_reads_is_called_as_the_source_has_it(word: str) -> None:
    report = report_of(READS[word], torch.tensor([0.5, -1.0, 2.0]))
    (site,) = report.sites
    assert site.action == "blocked" and site.reason.startswith(f"{word} reads the value into Python")
    assert [use.op for use in site.consumers] == [word]
    assert [seen.reason for seen in report.breaks] == [f"{word} reads a value into Python"]
    assert "leave it a tensor" in str(report) or word == "tolist"
