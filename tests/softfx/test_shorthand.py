"""`softness`, `mode` and `method` of soften, check and diff: the policy's [default] in one line."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

import softfx
from softfx.decisions.policy.schema import OPTIONS
from softfx.vocabulary import MethodName, ModeName

X = torch.tensor([[0.3, 1.2, -0.5], [0.1, 0.2, 0.9]])
POLICY = {"preset": "smooth", "rule": [{"op": "relu", "softness": 0.7}]}


def ranked(x: Tensor) -> Tensor:
    return torch.sort(x)[0] + torch.relu(x) + torch.argmax(x, -1, keepdim=True)


def settings(report: softfx.Report) -> dict[str, tuple[Any, Any, Any]]:
    return {site.op: (site.softness, site.mode, site.method) for site in report.sites}


@pytest.mark.parametrize(
    "given",
    [{"softness": 0.3}, {"mode": "c1"}, {"method": "lapsum"}, {"softness": "auto"}, {"softness": {"relative": 0.2}},
     {"softness": 0.3, "mode": "c2", "method": "neuralsort"}],
)  # fmt: skip
@pytest.mark.parametrize("policy", ["smooth", None, POLICY])
def test_the_shorthand_is_the_default_entry(given: dict[str, Any], policy: Any) -> None:
    base = policy if isinstance(policy, dict) else {"preset": policy or "gradients"}
    longhand = softfx.check(ranked, {**base, "default": given}, example_inputs=(X,))
    shorthand = softfx.check(ranked, policy, example_inputs=(X,), **given)
    assert settings(shorthand) == settings(longhand)
    soft = softfx.soften(ranked, policy, example_inputs=(X,), **given)
    assert settings(softfx.report_of(soft)) == settings(longhand)


def test_a_rule_of_the_policy_overrides_the_shorthand_and_the_report_names_both() -> None:
    sites = {site.op: site for site in softfx.check(ranked, POLICY, example_inputs=(X,), softness=0.3).sites}
    assert (sites["relu"].softness, sites["sort"].softness) == (0.7, 0.3)
    assert "check(softness=0.3) (softness)" in sites["sort"].decided_by


def test_a_diff_is_of_the_shorthand_too() -> None:
    assert "mode='c1'" in softfx.diff(ranked, "smooth", example_inputs=(X,), mode="c1")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"softness": 0}, r"^soften\(softness=0\): softness = 0 is not legal\. Use a number above 0"),
        ({"softness": torch.tensor(0.3)}, r"softness = tensor\(0\.3000\) is not legal\."),
        ({"mode": "C1"}, r"mode = 'C1' is not legal\. Use one of smooth, .* Did you mean 'c1'\?"),
        ({"method": "Lapsm"}, r"method = 'Lapsm' is not legal\. .* Did you mean 'lapsum'\?"),
        ({"method": "fast_soft_sort"}, "gives no soft indices, which argmax needs"),
    ],
)
def test_a_shorthand_that_is_wrong_is_told_as_a_policy_is(given: dict[str, Any], message: str) -> None:
    with pytest.raises(softfx.PolicyError, match=message):
        softfx.soften(ranked, "smooth", example_inputs=(X,), **given)


def test_the_types_for_checkers_are_the_names_that_policies_take() -> None:
    assert set(get_args(ModeName)) == set(OPTIONS["mode"].names)
    assert set(get_args(MethodName)) == set(OPTIONS["method"].names)
