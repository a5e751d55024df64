"""Calibration: a site leaves its start on evidence alone, and the policy it writes decides as the table says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
from softfx.auditing.settings import other_ways, softnesses
from softfx.decisions.policy import Policy
from softfx.errors import TargetError


def count(x: Tensor, t: Tensor) -> Tensor:
    return (x > t).float().sum()


def batch(seed: int, size: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator), torch.tensor(0.1)


LOADER = [batch(0), batch(1)]


def calibrated(target: Any, policy: Any, loader: Any = LOADER, **options: Any) -> softfx.Calibration:
    return softfx.calibrate(target, policy, loader, samples=options.pop("samples", 128), **options)


def test_the_rule_of_thumb_stays_where_it_is_right() -> None:
    found = calibrated(count, None)
    (row,) = found.rows
    assert row.outcome == "as it is" and row.before is not None and row.before > 0.8
    assert row.ties and 'softness = "auto"' in found.text and "[[rule]]" not in found.text


@pytest.mark.parametrize("softness", [0.01, 1e-5])
def test_a_softness_that_is_far_off_is_left_and_the_policy_says_so(softness: float) -> None:
    """Far too sharp, and so sharp that there is no gradient at all."""
    found = calibrated(count, {"default": {"softness": softness}})
    (row,) = found.rows
    assert row.outcome == "moved" and row.evidence is not None and min(row.evidence) > 2
    assert row.after is not None and row.after > (row.before or 0.0) + 0.05
    before, after = (
        softfx.check(count, policy, example_inputs=LOADER[0]).sites[0]
        for policy in ({"default": {"softness": softness}}, found.policy)
    )
    assert before.action == after.action == "straight_through" and before.softness != after.softness


def test_the_written_policy_decides_as_the_calibration_does(tmp_path: Path) -> None:
    policy = {"default": {"softness": 0.01}, "rule": [{"op": "round", "softness": 0.2}]}

    def program(x: Tensor, t: Tensor) -> Tensor:
        return (x > t).float().sum() + torch.round(2 * x).sum()

    found = calibrated(program, policy, samples=256)
    path = tmp_path / "policy.toml"
    path.write_text(found.text)
    decided = [
        [(site.op, site.softness, site.mode) for site in softfx.check(program, each, example_inputs=LOADER[0]).sites]
        for each in (found.policy, path)
    ]
    assert decided[0] == decided[1]
    assert found.text.count("# gt at ") == 1 and "standard errors on two measures" in found.text


def test_scores_are_used_again_for_the_same_place_and_inputs() -> None:
    first = calibrated(count, {"default": {"softness": 0.01}})
    scores = json.loads(json.dumps(first.to_dict(), allow_nan=False))["scores"]
    again = calibrated(count, {"default": {"softness": 0.01}}, scores=scores)
    assert first.runs == 2 * 2 * 128 and again.runs == 0 and again.rows == first.rows
    assert calibrated(count, {"default": {"softness": 0.01}}, [batch(3)], scores=scores).runs > 0


def test_places_beyond_the_budget_are_named() -> None:
    def program(x: Tensor, t: Tensor) -> Tensor:
        little = 0.01 * torch.sign(x).sum()
        return (x > t).float().sum() + little

    found = calibrated(program, None, budget=2 * 2 * 64, samples=64)
    assert [row.outcome == "not measured" for row in found.rows] == [True, False]
    assert "beyond the budget of 256 calls" in found.table


class Turned(torch.autograd.Function):
    """Nothing at all, with a derivative of the wrong sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return -gradient


def test_a_site_that_leads_the_wrong_way_whatever_is_set_is_best_hard() -> None:
    def program(x: Tensor, t: Tensor) -> Tensor:
        y: Tensor = Turned.apply((x > t).float())  # type: ignore[no-untyped-call]
        return y.sum()

    found = calibrated(program, None)
    assert found.rows[0].outcome == "best hard" and found.rows[0].fields == {"action": "keep"}
    assert softfx.check(program, found.policy, example_inputs=LOADER[0]).sites[0].action == "keep"


def test_what_draws_is_no_setting_and_a_tail_is_of_thresholds() -> None:
    soft = softfx.soften(lambda x: x.argmax(), "straight-through", example_inputs=(torch.rand(4),))
    (decision,) = soft._softfx.sites
    names = [name for name, _ in other_ways(decision)]
    assert "estimator gumbel" not in names and "mode tailed" not in names and "method neuralsort" in names
    assert len(list(softnesses(decision))) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loader": None}, "no loader is given"),
        ({"budget": 0}, "budget = 0"),
        ({"policy": "smooth"}, "changes values"),
        ({"policy": "keep"}, "no site acts"),
        ({"samples": 3}, "samples = 3"),
    ],
)
def test_a_mistake_is_told(options: dict[str, Any], message: str) -> None:
    arguments = {"policy": None, "loader": LOADER, **options}
    with pytest.raises(TargetError, match=message):
        softfx.calibrate(count, arguments.pop("policy"), arguments.pop("loader"), **arguments)


def test_a_policy_is_written_as_the_data_of_its_file() -> None:
    data = {"default": {"softness": 0.2}, "rule": [{"op": "gt", "module": "a.*", "softness": 0.3}, {"mode": "c1"}]}
    found = softfx.auditing.calibration.data_of(Policy.load(data))
    assert found["default"] == {"softness": 0.2} and found["rule"][0] == {"op": "gt", "module": "a.*", "softness": 0.3}
    assert found["rule"][1] == {"op": "*", "mode": "c1"}


def test_a_tail_that_auto_has_chosen_is_kept() -> None:
    """What it is worth for what is far from a decision shows in training alone."""

    def program(x: Tensor) -> Tensor:
        return (x > 0.1).float() @ torch.zeros_like(x).scatter(0, x.topk(2).indices, 1.0)

    for policy, modes in ((None, 0), ({"default": {"softness": 0.2, "mode": "tailed"}}, 2)):
        soft = softfx.soften(program, policy, example_inputs=(torch.rand(6),))
        decision = soft._softfx.sites[0]
        assert sum(name.startswith("mode") for name, _ in other_ways(decision)) == modes


def test_a_choice_that_auto_has_made_wide_is_kept() -> None:
    """At a start its widths agree less than a narrow choice, by which sensors were then never found."""
    generator = torch.Generator().manual_seed(2)
    x, scores, weights = (torch.randn(size, generator=generator) for size in ((100, 9), (9,), (9,)))
    wanted = x[:, :2] @ torch.tensor([3.0, -2.0])

    def loss(scores: Tensor) -> Tensor:
        chosen = torch.zeros_like(scores).scatter(0, scores.topk(2).indices, 1.0)
        return (x @ (chosen * weights) - wanted).square().mean()

    (row,) = calibrated(loss, None, [scores]).rows
    assert row.outcome == "not measured" and "training" in row.setting and row.fields is None
    (row,) = calibrated(loss, {"default": {"softness": 0.5}}, [scores]).rows
    assert row.outcome != "not measured"


@pytest.mark.parametrize("seed", range(3))
def test_joined_decisions_are_measured_by_less_noise_as_they_are_less_soft(seed: int) -> None:
    """By the noise of single ones they looked too sharp, and a box of rules trained worse by what was chosen."""

    def box(low: Tensor, high: Tensor, x: Tensor) -> Tensor:
        return ((x > low) & (x < high)).all(-1).float()

    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(200, 3, generator=generator)
    wanted = ((x > -1.0) & (x < 1.0)).all(-1).float()

    def loss(low: Tensor, high: Tensor) -> Tensor:
        inside = box(low, high, x)
        return 1.0 - (inside * wanted).sum() / torch.maximum(inside, wanted).sum()

    start = torch.full((3,), 0.2, requires_grad=True), torch.full((3,), 1.6, requires_grad=True)
    found = calibrated(loss, None, [start, start], seed=seed)
    assert all(row.outcome != "moved" for row in found.rows), found.table
    soft = softfx.soften(loss, example_inputs=start)
    assert {decision.share for decision in soft._softfx.sites if decision.rule.unit} >= {3.0**-0.5}


def test_the_rule_of_thumb_is_written_in_spreads_of_each_threshold() -> None:
    """One number for columns of three units would be dead for one of them and nearly flat for another."""

    def program(x: Tensor, low: Tensor) -> Tensor:
        return (x > low).float().mean(0)

    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1000.0, 0.01])
    batch = x, torch.tensor([0.1, 50.0, 0.001], requires_grad=True)
    found = calibrated(program, {"default": {"softness": 1e-6}}, [batch, batch])
    assert found.rows[0].outcome == "moved" and found.rows[0].fields["softness"] == {"relative": 0.2}
    soft = softfx.soften(program, found.policy, example_inputs=batch)
    slopes = torch.autograd.grad(soft(*batch).sum(), batch[1])[0] * torch.tensor([1.0, 1000.0, 0.01])
    assert float(slopes.min() / slopes.max()) > 0.3
