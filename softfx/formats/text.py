"""The report as plain text."""

from softfx.report.text import report_text

__all__ = ["report_text"]
