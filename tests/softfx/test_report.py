"""The report as data, and its formats for machines and pipes."""

from __future__ import annotations

import json

import pytest

from softfx.report.markdown import report_markdown
from softfx.report.record import ACTIONS, Report
from softfx.report.sarif import report_sarif
from softfx.report.text import report_text
from softfx.report.words import by_file, short_path
from softfx.rules import RULES
from tests.softfx.fakes import LAYER, ROUTER, empty_report, full_report


def test_counts_sum_to_what_was_found() -> None:
    counts = full_report().counts
    assert counts == {"found": 6, "soft": 2, "straight_through": 1, "guard": 1, "keep": 1, "blocked": 1}
    assert counts["found"] == sum(counts[action] for action in ACTIONS)


def test_the_dictionary_has_the_documented_keys_in_order() -> None:
    data = full_report().to_dict()
    assert list(data) == ["version", "target", "capture", "executor", "static", "sites", "counts", "starved"]
    assert list(data["capture"]) == ["frontend", "graphs", "breaks", "why"]
    assert list(data["capture"]["breaks"][0]) == ["reason", "file", "line"]
    keys = "id code op module file line source family action mode method softness region decided_by reason"
    assert list(data["sites"][0]) == [*keys.split(), "consumers", "estimator"]
    assert list(data["sites"][2]["consumers"][0]) == ["op", "file", "line", "takes"]


@pytest.mark.parametrize("report", [full_report(), empty_report()])
def test_a_report_survives_json(report: Report) -> None:
    assert Report.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report


def test_sites_that_differ_in_their_module_only_are_told_together() -> None:
    groups = by_file(full_report().sites)
    assert list(groups) == [ROUTER, LAYER]
    assert [(group.first.op, group.first.line, len(group.sites)) for group in groups[ROUTER]] == [
        ("gt", 98, 1),
        ("topk", 107, 2),
    ]
    assert groups[ROUTER][1].modules == ["layers.0.router", "layers.1.router"]


def test_paths_are_shown_without_what_leads_to_a_package() -> None:
    assert short_path(ROUTER) == "pkg/router.py"
    assert short_path("/elsewhere/model.py") == "/elsewhere/model.py"


TEXT = f"""\
softfx report for package.module:build
Seen by dynamo (2 graphs, 1 break), run by the eager executor. One graph cannot hold the call.

{ROUTER}:98: SX304 gt: straight-through
    > mask = scores > self.threshold
    in layers.0.router
    mode smooth, softness 0.1; decided by preset gradients
    cut: nonzero at pkg/router.py:101 takes only the hard value
{ROUTER}:107: SX206 topk: soft (2 sites)
    > weights, index = torch.topk(router_logits, self.top_k, dim=-1)  # [tokens, k]
    in layers.0.router, layers.1.router
    mode smooth, method lapsum, softness 0.05; decided by policy.toml:14 [[rule]] 2

{LAYER}:7: SX201 argmax: blocked
    > best = scores.argmax().item()
    decided by preset gradients
    why: item reads the value into Python at pkg/layers/feed_forward.py:7
"""


def test_the_text_form_is_this() -> None:
    gt = RULES["gt"].code
    assert report_text(full_report()).startswith(TEXT.replace("SX304", gt))
    assert str(full_report()) == report_text(full_report())


def test_the_text_form_ends_with_breaks_starved_parameters_counts_and_hints() -> None:
    text = report_text(full_report())
    assert f"Breaks: what no single graph holds\n    {LAYER}:30: data-dependent branch on a\n    tensor\n" in text
    assert "No gradient at all in the original\n    layers.0.router.weight\n    layers.1.router.weight\n" in text
    counts = "6 sites: 2 soft, 1 straight-through, 1 guarded, 1 kept, 1 blocked. "
    static = "12 static operations (on constants, integers or shapes) were left alone."
    assert counts + static in text.replace("\n", " ")
    assert "`softfx explain SX201`" in text
    assert 'op = "@kink"' in text.replace("\n", " ")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_prose_is_wrapped_and_paths_and_source_are_not(width: int) -> None:
    for line in report_text(full_report(), width).splitlines():
        assert len(line) <= width or line.lstrip().startswith((">", "/"))


def test_a_report_without_sites_says_so() -> None:
    text = report_text(empty_report())
    assert "0 sites." in text
    assert "Nothing to act on" in text
    assert "policy init" not in text


def test_markdown_has_a_row_for_each_group_and_escapes_bars() -> None:
    report = full_report()
    report.sites[0].source = report.sites[1].source = "a | b `c`"
    text = report_markdown(report)
    assert "## `pkg/router.py`" in text
    assert "| 107 | SX206 | topk | soft (2 sites) | `` a \\| b `c` `` | " in text
    assert text.count("\n| ") == 5 + 2  # five groups, two heads


def test_sarif_declares_every_rule_and_points_each_result_at_its_own() -> None:
    run = json.loads(report_sarif(full_report()))["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert {rule["id"] for rule in rules} == {rule.code for rule in RULES.values()}
    assert len(run["results"]) == 6
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert [result["level"] for result in run["results"]] == [
        "note",
        "note",
        "note",
        "note",
        "warning",
        "error",
    ]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "file://" + ROUTER
    assert place["region"]["startLine"] == 107
