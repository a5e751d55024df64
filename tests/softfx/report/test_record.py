"""The data of a report: its counts, its documented dictionary, and the way there and back."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import softfx
from softfx.report import Report, record
from softfx.report.record import ACTIONS
from tests.softfx.fakes import empty_report, full_report


def test_counts_sum_to_what_was_found() -> None:
    counts = full_report().counts
    assert counts == {"found": 6, "soft": 2, "straight_through": 1, "guard": 1, "keep": 1, "blocked": 1}
    assert counts["found"] == sum(counts[action] for action in ACTIONS)


def test_the_dictionary_has_the_documented_keys_in_order() -> None:
    data = full_report().to_dict()
    outer = "version target capture executor static sites counts starved cuts known policy upstream gained not_tried"
    assert list(data) == [*outer.split(), "control"]
    assert list(data["capture"]) == ["frontend", "graphs", "breaks", "why"]
    assert list(data["capture"]["breaks"][0]) == ["reason", "file", "line"]
    keys = "id code op module file line source family action mode method softness region decided_by reason"
    assert list(data["sites"][0]) == [*keys.split(), "consumers", "estimator", "unit", "standardize", "scope"]
    assert list(data["sites"][2]["consumers"][0]) == ["op", "file", "line", "takes"]


@pytest.mark.parametrize("report", [full_report(), empty_report()])
def test_a_report_survives_json(report: Report) -> None:
    assert Report.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report


def test_the_record_is_data_alone_and_knows_no_format() -> None:
    nodes = ast.walk(ast.parse(Path(str(record.__file__)).read_text()))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not [name for name in imported if name and name.startswith("softfx")]


def test_a_report_has_one_public_class_and_prints_itself_as_text() -> None:
    assert softfx.Report is Report
    assert str(full_report()).startswith("softfx report for package.module:build\n")
    assert repr(empty_report()).startswith("Report(target='torch.nn:Linear(2, 3)'")
