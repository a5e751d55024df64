"""The report as markdown."""

from __future__ import annotations

from softfx.report.markdown import report_markdown
from tests.softfx.fakes import full_report


def test_markdown_has_a_row_for_each_group_and_escapes_bars() -> None:
    report = full_report()
    report.sites[0].source = report.sites[1].source = "a | b `c`"
    text = report_markdown(report)
    assert "## `pkg/router.py`" in text
    assert "| 107 | SX206 | topk | soft (2 sites) | `` a \\| b `c` `` | " in text
    assert text.count("\n| ") == 5 + 2  # five groups, two heads
