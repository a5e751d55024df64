"""The report as SARIF, which code hosts and editors read."""

from softfx.report.sarif import report_sarif

__all__ = ["report_sarif"]
