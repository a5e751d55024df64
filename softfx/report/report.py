"""`Report`: the data of a report, which prints itself as text."""

from __future__ import annotations

from softfx.report.record import ReportData
from softfx.report.text import report_text

__all__ = ["Report"]


class Report(ReportData):
    """The report that `softfx.check` and the `report` of a softened target return; `print(report)` shows it as text."""

    def __str__(self) -> str:
        return report_text(self)

    def to_html(self) -> str:
        """The page of the report: one HTML file that needs nothing else, as `softfx check --out report.html` has it."""
        from softfx.report.page import page  # Jinja2 is for those who look at a page

        return page(self.to_dict())

    def _repr_html_(self) -> str:
        from softfx.report.page import notebook

        return notebook(self.to_dict())
