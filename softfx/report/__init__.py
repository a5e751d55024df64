"""The report and its formats: text, markdown, sarif, and the terminal.

`record` holds the data, `words` the sentences that the formats share, and each format is one file; `terminal` has the
views of rich. To add a format, write a function from a `ReportData` to a string in a file of its own
and name it in `softfx.cli.output`.
"""

from softfx.report.report import Report

__all__ = ["Report"]
