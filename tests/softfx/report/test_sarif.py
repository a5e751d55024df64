"""The report as SARIF."""

from __future__ import annotations

import json

from softfx.report.sarif import report_sarif
from softfx.rules import RULES
from tests.softfx.fakes import ROUTER, full_report


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
