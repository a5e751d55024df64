"""The report as markdown."""

from softfx.report.markdown import report_markdown

__all__ = ["report_markdown"]
